package growth

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/timelines"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/scratch"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

const (
	// began is when the cluster did, in seconds since the epoch.
	began = 1_900_000_800
	// jobs are the CronJobs, in so many namespaces.
	jobs, namespaces = 200, 40
	// lasts is how long a pod lasts, in seconds.
	lasts = 180
	// flush is how often what happened is written, in seconds. The operator does it each five: what is merged is the same.
	flush = 60
	hour  = 3600
	day   = 24 * hour
)

// replica is what a replica of the operator keeps, without sources and publishing.
type replica struct {
	clock   *clocktesting.FakeClock
	ledger  *ledger.Ledger
	meter   *ledger.Meter
	line    timelines.Follower
	scratch *scratch.Dir
	journal *journal.Journal
	blocks  fileBlocks
	of      *Cluster
	now     int64
	started int // pods
	ended   int
	sealed  []usage.Window
	digest  journal.Digest
	looks   chan error // of a standby
	costs
}

// looked takes how each look of a standby came out.
func (r *replica) looked(err error) {
	if r.looks != nil {
		r.looks <- err
	}
}

// seals are what the next batch seals: an hour that has just ended.
func (r *replica) seals() []journal.Seal {
	if r.now == began || r.now%hour != 0 {
		return nil
	}
	return []journal.Seal{r.seal()}
}

func newReplica(folder string, of *Cluster) (*replica, error) {
	dir, err := scratch.NewDir(folder, 1<<40, func(err error) { fmt.Fprintln(os.Stderr, err) })
	if err != nil {
		return nil, err
	}
	r := &replica{
		clock: clocktesting.NewFakeClock(time.Unix(began, 0)), scratch: dir, ledger: ledger.New(),
		blocks: fileBlocks(folder), of: of, now: began,
	}
	r.line = timelines.NewHot(timeline.Hot{
		Days: 2, Segments: timeline.SegmentsIn(of.Limit), Bytes: timeline.DefaultColdBytes, NewShelf: func() timeline.Shelf { return dir.NewFile() },
	})
	r.meter = ledger.NewMeter("container", began, []usage.Dimension{{Name: "cpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}})
	r.journal = journal.New(journal.Options{
		Store: r.blocks, Writer: "bench", Cluster: "bench", Clock: r.clock, Log: logr.Discard(), Follower: r.line,
		Retention: of.Kept * hour, InPortions: true, Followed: r.looked,
	})
	return r, nil
}

// pod is a UID as Kubernetes gives them, which nothing compresses.
func podUID(n int) string {
	b := sha256.Sum256(strconv.AppendInt(nil, int64(n), 10))
	return fmt.Sprintf("%x-%x-4%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

func (r *replica) start(n int) int64 { return began + int64(n)*3600/int64(r.of.PerHour) }

// pod is the nth, at a moment of its life.
func (r *replica) pod(n int, now int64) *ledger.Observation {
	job := n % jobs
	namespace := fmt.Sprintf("team-%d", job%namespaces)
	subject := usage.Subject{
		ResourceType: "container",
		Resource:     usage.Object{APIVersion: "batch/v1", Kind: "CronJob", Name: fmt.Sprintf("report-%d", job), UID: fmt.Sprintf("%08x-1f3d-4c55-8e0b-000000000000", job)},
		Instance:     usage.Object{APIVersion: "v1", Kind: "Pod", Name: fmt.Sprintf("report-%d-%d-%s", job, 29_000_000+n/jobs, podUID(n)[:5]), UID: podUID(n)},
		Account:      usage.Account{Namespace: namespace, NamespaceUID: namespace + "-5a2e-4d7b-b1c9-000000000000", Deployment: fmt.Sprintf("report-%d", job)},
	}
	o := &ledger.Observation{Meter: r.meter, UID: subject.Instance.UID, Origin: ledger.Live, Written: now, After: now - 2, Now: now}
	for _, container := range []string{"app", "proxy"} {
		m := usage.Member{Active: true, Levels: []int64{250, 512 << 20}, Subject: subject, Start: usage.Boundary{At: r.start(n), Evidence: usage.ObjectTime}}
		m.Subject.Container = container
		o.Members = append(o.Members, m)
	}
	return o
}

// pass lets a minute pass: what happened is in the ledger, the journal and the timeline.
func (r *replica) pass(ctx context.Context, seals []journal.Seal) error {
	r.now += flush
	var seen, gone []*ledger.Observation
	for ; r.start(r.started) < r.now; r.started++ {
		seen = append(seen, r.pod(r.started, r.start(r.started)))
	}
	for ; r.start(r.ended)+lasts <= r.now; r.ended++ {
		gone = append(gone, r.pod(r.ended, r.start(r.ended)+lasts))
	}
	r.clock.SetTime(time.Unix(r.now, 0))
	for _, o := range seen {
		if err := r.ledger.Observe(o); err != nil {
			return err
		}
	}
	for _, o := range gone {
		r.ledger.Remove(o)
	}
	batch := &journal.Batch{Time: r.now, Changes: r.ledger.Unwritten(), Seals: seals, Meters: []journal.Meter{{
		Name: r.meter.Name, ResourceType: "container", Version: "0f2b1c7e-9a11-4c55-8e0b-7d1c2e3f4a5b/1", Kind: "Pod",
		Since: r.meter.Since, Dimensions: r.meter.Dimensions(), Listed: true,
	}}}
	var err error
	r.append += took(func() { err = r.journal.Append(ctx, batch) })
	if err != nil {
		return err
	}
	r.publish += took(r.line.Current)
	r.compact += took(func() { _, err = r.journal.Compact(ctx) })
	return err
}

// seal seals the hour that is over, as the collector does: what is in it is gathered, what is
// old is forgotten, and what is gone is packed.
func (r *replica) seal() journal.Seal {
	sealed := usage.Window{Start: r.now - hour, End: r.now}
	r.costs.seal += took(func() {
		r.ledger.Seal(sealed)
		var all []usage.Segment
		for _, account := range r.ledger.Accounts(sealed, sealed.End) {
			all = append(all, r.ledger.Cut(account, sealed, sealed.End)...)
		}
		r.digest = sha256.Sum256(fmt.Append(r.digest[:], sealed, len(all)))
		r.ledger.Forget(sealed.End - r.of.Kept*hour)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for left := true; left; {
			began := threadTime()
			left = r.ledger.Pack(sealed.Start)
			r.held = max(r.held, threadTime()-began)
		}
	})
	return journal.Seal{Interval: sealed, Digest: r.digest}
}

// restore makes the ledger what the journal has, as a start does.
func (r *replica) restore(state *journal.State) {
	for _, seal := range state.Seals {
		r.sealed = append(r.sealed, seal.Interval)
	}
	packed := int64(math.MinInt64)
	if n := len(r.sealed); n > 0 {
		packed = r.sealed[n-1].Start
	}
	portions, _ := state.InPortions()
	r.ledger.RestorePacked([]*ledger.Meter{r.meter}, portions, r.sealed, r.now-r.of.Kept*hour, packed)
}

// report is what a new report of the last hour takes, by namespace and deployment: the middle of five.
func (r *replica) report() (time.Duration, error) {
	var all []time.Duration
	for range 5 {
		var err error
		all = append(all, took(func() {
			s := r.line.Snapshot()
			var tally *timeline.Tally
			tally, err = timeline.NewTally(timeline.Query{
				Window: usage.Window{Start: s.Sealed() - hour, End: s.Sealed()}, Size: timeline.Hour,
				GroupBy: []timeline.Key{timeline.Namespace, timeline.Deployment},
			})
			if err == nil {
				err = tally.Advance(s, s.Sealed())
			}
			if err == nil {
				_, err = tally.Page("", 500)
			}
		}))
		if err != nil {
			return 0, err
		}
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

// costs are what a day took of CPUs, and how long packing computed with the ledger at once, at most.
type costs struct{ append, publish, compact, seal, held time.Duration }

func took(do func()) time.Duration {
	began := cpuTime()
	do()
	return cpuTime() - began
}
