package journal_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// large is a journal of this many segments: 15,000 VMs, each with ten stretches of two dimensions.
func large(b *testing.B, segments int) *memory {
	b.Helper()
	store := newMemory()
	j, _ := opened(b, store, "a")
	batch := &journal.Batch{Time: now}
	for n := 0; len(batch.Changes) < segments; n++ {
		changes := holds(n/10, now-int64(n%10+1)*4000-int64(n*7919%3600))
		if n%10 > 0 {
			changes = holds(n/10, now-int64(n%10+1)*4000-int64(n*7919%3600), now-int64(n%10)*4000-int64(n*7919%3600))
		}
		batch.Changes = append(batch.Changes, changes...)
	}
	appended(b, j, batch)
	return store
}

// BenchmarkLoad is a start of the operator, but for the answers of the API server.
func BenchmarkLoad(b *testing.B) {
	store := large(b, 300_000)
	for b.Loop() {
		j := open(store, "b")
		state, err := j.Load(context.Background())
		if err != nil || len(state.Segments) != 300_000 {
			b.Fatal(err)
		}
		b.ReportMetric(float64(j.Size().Blocks), "blocks")
		b.ReportMetric(float64(j.Size().Bytes)/300_000, "bytes/segment")
	}
}

// BenchmarkAppend is one flush: three segments that changed.
func BenchmarkAppend(b *testing.B) {
	store := newMemory()
	j, _ := opened(b, store, "a")
	changes := append(holds(1, now), holds(2, now)[:1]...)
	n := 0
	for b.Loop() {
		appended(b, j, &journal.Batch{Time: now, Changes: changes, Positions: []journal.Position{{Group: "kubevirt.io", Kind: "VirtualMachineInstance", ResourceVersion: "4711", Time: now}}})
		n++
	}
	b.ReportMetric(float64(j.Size().Bytes)/float64(n), "bytes/entry")
}

// BenchmarkEncode is what a compaction writes.
func BenchmarkEncode(b *testing.B) {
	var changes []usage.Change
	for n := range 8192 {
		changes = append(changes, holds(n, now)...)
	}
	for b.Loop() {
		if err := journal.EncodeRows(changes); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkChurn is what one label a second on a pod of 100 containers makes of the
// journal: entries every five seconds, merged each minute, for ten minutes.
func BenchmarkChurn(b *testing.B) {
	const seconds, flush = 600, 5
	for b.Loop() {
		store := newMemory()
		j, _ := opened(b, store, "a")
		var before []usage.Change
		for at := int64(now); at < now+seconds; {
			batch := &journal.Batch{Time: at}
			for range flush {
				for i := range before {
					before[i].End = usage.Boundary{At: at, Evidence: usage.ManagedFields}
				}
				batch.Changes = append(batch.Changes, before...)
				before = relabelled(at)
				at++
			}
			batch.Changes = append(batch.Changes, before...)
			appended(b, j, batch)
			if at%60 == 0 {
				if _, err := j.Compact(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(j.Size().Bytes)/seconds*86400/1e6, "MB/day")
	}
}

// relabelled is what the pod's containers hold from the moment on, under a deployment of
// its own.
func relabelled(at int64) (changes []usage.Change) {
	pod := usage.Object{APIVersion: "v1", Kind: "Pod", Name: "churn", UID: "5f1d6c1e-1e5a-4b8e-9d5b-6a7c4d3e2f10"}
	for c := range 100 {
		s := &usage.Subject{
			ResourceType: "container", Resource: pod, Instance: pod, Container: fmt.Sprintf("container-%03d", c),
			Account: usage.Account{Namespace: "red", NamespaceUID: "0b1f9a52-7c7e-4a53-9a0e-3f1f1a2b3c4d", Deployment: fmt.Sprintf("d%059d", at)},
		}
		for _, d := range []usage.Dimension{{Name: "cpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}} {
			changes = append(changes, usage.Change{Segment: usage.Segment{
				Meter: "container", Subject: s, Dimension: d, Level: 100, Start: usage.Boundary{At: at, Evidence: usage.ManagedFields},
			}})
		}
	}
	return changes
}
