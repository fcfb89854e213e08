package timeline_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// cluster is a batch cluster that goes on for days: pods of CronJobs that last three
// minutes each, committed and published once a minute and sealed once an hour, beside
// virtual machines that last.
type cluster struct {
	line    *timeline.Timeline
	clock   func() time.Duration
	perHour int
	uid     func(n int) string // of a pod; nil: its number
	now     int64              // the end of what is sealed
	started int
	ended   int
}

const (
	cronJobs = 200 // in forty namespaces
	machines = 2_000
)

func newCluster(line *timeline.Timeline, perHour int, clock func() time.Duration) *cluster {
	c := &cluster{line: line, clock: clock, perHour: perHour, now: second0 - second0%86400}
	var lasting timeline.Commit
	for i := range machines {
		object := usage.Object{APIVersion: "v1", Kind: "VM", Name: fmt.Sprint("vm-", i), UID: fmt.Sprintf("%036d", i)}
		namespace := fmt.Sprint("team-", i%40)
		lasting.Changes = append(lasting.Changes, usage.Change{Segment: usage.Segment{
			Meter: "vm", Dimension: usage.Dimension{Name: "vcpu", Unit: usage.Core}, Level: 4000,
			Subject: &usage.Subject{
				ResourceType: "vm", Resource: object, Instance: object,
				Account: usage.Account{Namespace: namespace, NamespaceUID: namespace, Deployment: fmt.Sprint("app-", i/100)},
			},
			Start: usage.Boundary{At: c.now, Evidence: usage.Observed},
		}})
	}
	apply(c.line, lasting)
	return c
}

func (c *cluster) start(n int) int64 { return second0 - second0%86400 + int64(n)*3600/int64(c.perHour) }

// minute is what a minute brings.
func (c *cluster) minute(until int64) timeline.Commit {
	commit := timeline.Commit{Time: until}
	for ; c.start(c.started) < until; c.started++ {
		commit.Changes = append(commit.Changes, c.pod(c.started, false)...)
	}
	for ; c.start(c.ended)+jobLasts <= until; c.ended++ {
		commit.Changes = append(commit.Changes, c.pod(c.ended, true)...)
	}
	return commit
}

func (c *cluster) pod(n int, ended bool) []usage.Change {
	changes := job(n, c.start(n), ended)
	namespace := fmt.Sprint("team-", n%40)
	deployment := fmt.Sprint("cron-", n%cronJobs)
	for i := range changes {
		if c.uid != nil {
			changes[i].Subject.Resource.UID = c.uid(n)
			changes[i].Subject.Instance.UID = changes[i].Subject.Resource.UID
		}
		changes[i].Subject.Account = usage.Account{Namespace: namespace, NamespaceUID: namespace, Deployment: deployment}
	}
	return changes
}

// hour lets an hour pass, and tells what it took to commit and publish all of its
// minutes, and what to seal it.
func (c *cluster) hour() (publish, seal time.Duration) {
	for minute := range int64(60) {
		commit := c.minute(c.now + 60*(minute+1))
		publish += c.took(func() { apply(c.line, commit) })
	}
	c.now += 3600
	seal = c.took(func() { apply(c.line, timeline.Commit{Sealed: []usage.Window{{Start: c.now - 3600, End: c.now}}}) })
	return publish, seal
}

func (c *cluster) took(work func()) time.Duration {
	began := c.clock()
	work()
	return c.clock() - began
}

// report is what a new report of the last hour takes.
func (c *cluster) report(tb testing.TB, by ...timeline.Key) time.Duration {
	return c.took(func() {
		s := c.line.Snapshot()
		tally, err := timeline.NewTally(timeline.Query{Window: usage.Window{Start: c.now - 3600, End: c.now}, Size: timeline.Hour, GroupBy: by})
		if err == nil {
			err = tally.Advance(s, s.Sealed())
		}
		if err == nil {
			_, err = tally.Page("", 500)
		}
		if err != nil {
			tb.Fatal(err)
		}
	})
}

// BenchmarkGrowth is what a day costs that is not the first: for each hour of it what
// was committed and published, and the seal; then a report of the last hour. What is
// printed is the least of the day's hours, for other work may run beside. Days older than
// two are packed into a folder, as the operator does by default.
func BenchmarkGrowth(b *testing.B) {
	timeline.PackInBlocksOf(timeline.BlockRecords)
	defer timeline.PackInBlocksOf(5)
	for perHour, days := range map[int]int{2_000: 365, 20_000: 30} {
		b.Run(fmt.Sprint(perHour), func(b *testing.B) {
			for b.Loop() {
				before, dir := live(), scratchDir(b)
				hot := timeline.Hot{Days: 2, Bytes: timeline.DefaultColdBytes, NewShelf: func() timeline.Shelf { return dir.NewFile() }}
				c := newCluster(timeline.NewHot(hot), perHour, b.Elapsed)
				c.uid = uid
				for day := 1; day <= days; day++ {
					publish, seal := time.Hour, time.Hour
					for range 24 {
						p, s := c.hour()
						publish, seal = min(publish, p), min(seal, s)
					}
					if day > 4 && day%(days/10) != 0 && day != days {
						continue
					}
					report, byPod := time.Hour, time.Hour
					for range 5 {
						report = min(report, c.report(b, timeline.Namespace, timeline.Deployment))
						byPod = min(byPod, c.report(b, timeline.Resource))
					}
					runtime.GC()
					held, segments := live()-before, c.line.Snapshot().Segments()
					b.Logf("day %2d: an hour committed %v, sealed %v; its report %v, by pod %v; %.1f MiB held and %.1f in the folder, %.1f bytes/segment", day,
						publish, seal, report, byPod, held/(1<<20), float64(dir.Bytes())/(1<<20), held/float64(segments))
				}
				runtime.KeepAlive(c)
			}
		})
	}
}
