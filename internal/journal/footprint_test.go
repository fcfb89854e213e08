package journal_test

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

const (
	// podLasts is how long a pod of a batch cluster runs, in seconds.
	podLasts = 180
	// batchDays is how long the history of batchJobs is, in days.
	batchDays = 6
	// retention is how long the operator keeps records, in seconds.
	retention = 3 * 86400
)

// batchJobs is a journal of this many segments as a batch cluster writes them:
// pods of three minutes with two containers of two dimensions each, evenly over
// six days until now, each hour of which is sealed. Blocks are as large as those
// that were merged; one pod in ten starts in one block and ends in the next.
func batchJobs(tb testing.TB, segments int) *memory {
	tb.Helper()
	store := newMemory()
	j, _ := opened(tb, store, "a")
	const perPod, perBlock = 4, 8192
	pods := segments / perPod
	batch := &journal.Batch{}
	var later []usage.Change
	sealed := int64(now - batchDays*86400)
	flush := func(at int64) {
		batch.Time = at
		for ; sealed+3600 <= at; sealed += 3600 {
			batch.Seals = append(batch.Seals, journal.Seal{Interval: usage.Window{Start: sealed, End: sealed + 3600}})
		}
		appended(tb, j, batch)
		batch = &journal.Batch{Changes: later}
		later = nil
	}
	for n := range pods {
		ended := now - batchDays*86400 + int64(n+1)*batchDays*86400/int64(pods)
		changes := shortPod(n, ended-podLasts)
		if n%10 == 0 {
			batch.Changes = append(batch.Changes, changes...)
			later = append(later, endedAt(changes, ended)...)
		} else {
			batch.Changes = append(batch.Changes, endedAt(changes, ended)...)
		}
		if len(batch.Changes) >= perBlock {
			flush(ended)
		}
	}
	flush(now)
	if len(batch.Changes) > 0 {
		flush(now)
	}
	return store
}

// shortPod is what the nth pod's two containers hold from a moment on.
func shortPod(n int, start int64) []usage.Change {
	object := usage.Object{APIVersion: "v1", Kind: "Pod", Name: fmt.Sprintf("job-%d-%05x", n/50, n*7919%(1<<20)), UID: fmt.Sprintf("%08x-5f8e-4a6b-9c1d-%012x", n*7919, n*104729*31)}
	var changes []usage.Change
	for _, container := range []string{"main", "sidecar"} {
		s := &usage.Subject{
			ResourceType: "container", Resource: object, Instance: object, Container: container,
			Account: usage.Account{
				Namespace: fmt.Sprintf("team-%d", n%40), NamespaceUID: fmt.Sprintf("%08x-9d4e-4c3b-a2f1-%012x", n%40*6997, n%40*999331),
				Deployment: fmt.Sprintf("job-%d", n/50),
			},
			Region: "eu-1",
		}
		for i, d := range []usage.Dimension{{Name: "cpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}} {
			changes = append(changes, usage.Change{Segment: usage.Segment{
				Meter: "container", Subject: s, Dimension: d, Level: []int64{500, 1 << 30}[i],
				Start: usage.Boundary{At: start, Evidence: usage.ObjectTime},
			}})
		}
	}
	return changes
}

func endedAt(changes []usage.Change, at int64) []usage.Change {
	ended := append([]usage.Change(nil), changes...)
	for i := range ended {
		ended[i].End = usage.Boundary{At: at, Evidence: usage.ObjectTime}
	}
	return ended
}

// BenchmarkFootprint is what a journal takes of memory while it is read, by a
// leader (Load) and by a standby (Follow), with half of it older than records are
// kept, and by an audit (Load of everything); without those who are told of it:
// the most at a time, by a garbage collector that runs often, and what stays.
func BenchmarkFootprint(b *testing.B) {
	for _, segments := range []int{300_000, 1_000_000} {
		store := batchJobs(b, segments)
		for _, role := range []string{"leader", "standby", "audit"} {
			b.Run(fmt.Sprintf("%s/%d", role, segments), func(b *testing.B) {
				defer debug.SetGCPercent(debug.SetGCPercent(10))
				for b.Loop() {
					before := liveHeap()
					peak := watchHeap()
					kept := hold(b, role, store)
					b.ReportMetric((peak()-before)/float64(segments), "peak-B/segment")
					b.ReportMetric((liveHeap()-before)/float64(segments), "kept-B/segment")
					runtime.KeepAlive(kept)
				}
			})
		}
	}
}

// hold reads the journal, and returns what holds it in memory.
func hold(b *testing.B, role string, store journal.Store) []any {
	clock := clockAt(now)
	o := journal.Options{Store: store, Writer: "b", Cluster: "cluster-1", Clock: clock, Log: logr.Discard(), Retention: retention, InPortions: true}
	if role == "audit" {
		o.Retention, o.InPortions = 0, false
	}
	j := journal.New(o)
	if role != "standby" {
		state, err := j.Load(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		if role == "leader" {
			left := 0
			portions, _ := state.InPortions()
			for portion := range portions { // as the ledger takes it
				left += len(portion)
			}
			b.ReportMetric(float64(left), "segments")
		}
		return []any{j, state}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- j.Follow(ctx) }()
	waitFor(b, clock.HasWaiters)
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	return []any{j}
}

// liveHeap is what is in use after garbage collection, in bytes.
func liveHeap() float64 {
	runtime.GC()
	runtime.GC() // what the first one finalised
	return heapObjects()
}

func heapObjects() float64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return float64(sample[0].Value.Uint64())
}

// watchHeap looks at the heap until the returned function is called, which gives
// the most that was seen, in bytes.
func watchHeap() (peak func() float64) {
	ended, most := make(chan struct{}), make(chan float64)
	go func() {
		ticker := time.NewTicker(2 * time.Millisecond)
		defer ticker.Stop()
		seen := 0.0
		for {
			seen = max(seen, heapObjects())
			select {
			case <-ticker.C:
			case <-ended:
				most <- seen
				return
			}
		}
	}()
	return func() float64 { close(ended); return <-most }
}
