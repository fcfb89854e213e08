package journal_test

import (
	"context"
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
