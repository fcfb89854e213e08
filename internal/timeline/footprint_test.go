package timeline_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

const (
	jobSegments = 4   // of a pod: two containers of two dimensions
	jobLasts    = 180 // seconds
)

// job is what the nth pod of a batch cluster holds, from a moment on, and until it
// has ended if it has.
func job(n int, start int64, ended bool) []usage.Change {
	object := usage.Object{APIVersion: "v1", Kind: "Pod", Name: fmt.Sprintf("job-%d-%05x", n/50, n*7919%(1<<20)), UID: fmt.Sprintf("%036d", n)}
	namespace := fmt.Sprint("team-", n%40)
	changes := make([]usage.Change, 0, jobSegments)
	for _, container := range []string{"main", "sidecar"} {
		subject := &usage.Subject{
			ResourceType: "container", Resource: object, Instance: object, Container: container,
			Account: usage.Account{Namespace: namespace, NamespaceUID: namespace, Deployment: fmt.Sprint("job-", n/1000)},
		}
		for _, dimension := range []usage.Dimension{{Name: "cpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}} {
			change := usage.Change{Segment: usage.Segment{
				Meter: "container", Subject: subject, Dimension: dimension, Level: 1000,
				Start: usage.Boundary{At: start, Evidence: usage.ObjectTime},
			}}
			if ended {
				change.End = usage.Boundary{At: start + jobLasts, Evidence: usage.ObjectTime}
			}
			changes = append(changes, change)
		}
	}
	return changes
}

// runJobs runs this many pods one after the other over a number of days: each is committed
// when it starts, and again when it has ended; each hour is sealed. With each commit
// readers are shown what there is.
func runJobs(line *timeline.Timeline, pods, days int, published bool) {
	sealed := second0
	ended := 0
	start := func(n int) int64 { return second0 + int64(n)*int64(days)*86400/int64(pods) }
	for from := 0; from < pods; {
		to := min(from+100, pods)
		c := timeline.Commit{Time: start(to - 1)}
		for n := from; n < to; n++ {
			c.Changes = append(c.Changes, job(n, start(n), false)...)
		}
		for ; ended < to && start(ended)+jobLasts <= c.Time; ended++ {
			c.Changes = append(c.Changes, job(ended, start(ended), true)...)
		}
		for ; sealed+3600 <= c.Time; sealed += 3600 {
			c.Sealed = append(c.Sealed, usage.Window{Start: sealed, End: sealed + 3600})
		}
		line.Take(c)
		if published {
			line.Publish()
		}
		from = to
	}
	line.Publish()
}

// BenchmarkFootprint is what a segment takes in a timeline, all together, of pods
// of three minutes with two containers of two dimensions, two days long: as a
// replica has it that was there all the time, and one that has just loaded it.
func BenchmarkFootprint(b *testing.B) {
	const pods = 100_000
	for name, published := range map[string]bool{"committed": true, "loaded": false} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				before := live()
				line := timeline.New()
				runJobs(line, pods, 2, published)
				b.ReportMetric((live()-before)/(pods*jobSegments), "bytes/segment")
				runtime.KeepAlive(line)
			}
		})
	}
}

// live is the heap after garbage collection, in bytes.
func live() float64 {
	runtime.GC()
	runtime.GC() // what the first one finalised
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}
