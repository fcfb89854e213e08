package hub_test

import (
	"testing"

	"github.com/usage-operator/usage-operator/internal/hub"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/postgres"
)

// standsFor merges what a journal has, and returns the block that stands for these sequences.
func standsFor(t *testing.T, s *source, from, to uint64) journal.Stored {
	t.Helper()
	if _, err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	stored, err := s.Get(t.Context(), journal.Key{From: from, To: to})
	if err != nil {
		t.Fatalf("no block stands for %d to %d: %v", from, to, err)
	}
	return stored
}

// A fork whose entry was refused is not taken merged, either: neither from the journal's
// beginning on, nor from a block on that both histories have.
func TestAForkIsNotTakenMerged(t *testing.T) {
	s, _ := database(t, postgres.Start(t))
	for _, from := range []uint64{1, 2} {
		cluster := enrolled(t, s)
		a := newSource(t, cluster, "a", &blocks{}, nil)
		n := 0
		commit := func(to *source, name string, until int) {
			for ; n < until; n++ {
				to.commit(t, holds(name, n, 2))
			}
		}
		if from > 1 {
			large := holds("a", 0, 1)
			for i := range 3900 { // as many as are not merged with what follows
				large.Coverage = append(large.Coverage, usage.Stretch{Meter: "vm", Window: usage.Window{Start: int64(i), End: int64(i) + 1}, Coverage: usage.CoverageUnknown})
			}
			a.commit(t, large)
			n++
		}
		common := n + 8
		commit(a, "a", common)
		b := newSource(t, cluster, "b", a.blocks, a.said) // restored from a backup, or a clone
		commit(a, "a", common+2)
		n = common
		commit(b, "b", common+3)
		for _, stored := range a.all() {
			send(t, s, cluster, stored)
		}
		theirs := b.all()
		last := theirs[len(theirs)-1]
		refused(t, s, cluster, last, hub.Forked)
		block := standsFor(t, b, from, last.Key.To)
		refused(t, s, cluster, block, hub.Forked)
		head, err := s.Head(t.Context(), cluster)
		if err != nil || head.Fork.Sequence != last.Key.To || head.Fork.Digest != whole(t, last).Digest {
			t.Errorf("from %d: the fork on record is %+v, %v", from, head.Fork, err)
		}
		// What the hub has goes on.
		a.commit(t, holds("a", 20, 2))
		theirs = a.all()
		send(t, s, cluster, theirs[len(theirs)-1])
	}
}

// A merged block that does not begin with the corrections that the hub has is of another
// history, also where none of that was refused before.
func TestAMergedBlockOfAnother(t *testing.T) {
	s, _ := database(t, postgres.Start(t))
	cluster := enrolled(t, s)
	_, _, block, _ := merged(t, cluster)
	other := newSource(t, cluster, "other", &blocks{}, nil)
	less := holds("other", 20, 1)
	less.Changes[0].Kind, less.Changes[0].Corrects, less.Changes[0].End = usage.Less, hour0, usage.Boundary{At: hour0, Evidence: usage.Observed}
	other.commit(t, less)
	send(t, s, cluster, other.all()[0])
	refused(t, s, cluster, block, hub.Forked)
	if head, err := s.Head(t.Context(), cluster); err != nil || head.Fork.Sequence != block.Key.To {
		t.Errorf("the fork on record is %+v, %v", head.Fork, err)
	}
}

// A merged block is refused that stands for more of the chain than can be held in memory:
// by the number of blocks, their bytes, and their rows.
func TestAMergedBlockOfMuch(t *testing.T) {
	s, _ := database(t, postgres.Start(t))
	cluster := enrolled(t, s)
	_, entries, block, ack := merged(t, cluster)
	bytes := int64(0)
	for _, stored := range entries[:8] {
		send(t, s, cluster, stored)
		bytes += int64(len(stored.Spec))
	}
	most := hub.Overlap{Blocks: 8, Bytes: bytes, Rows: 16}
	for _, less := range []hub.Overlap{
		{Blocks: most.Blocks - 1, Bytes: most.Bytes, Rows: most.Rows}, {Blocks: most.Blocks, Bytes: most.Bytes - 1, Rows: most.Rows},
		{Blocks: most.Blocks, Bytes: most.Bytes, Rows: most.Rows - 1},
	} {
		s.Most(less)
		refused(t, s, cluster, block, hub.TooLarge)
	}
	s.Most(most)
	if got := send(t, s, cluster, block); got != ack {
		t.Errorf("it is acknowledged with %+v, want %+v", got, ack)
	}
	if head, err := s.Head(t.Context(), cluster); err != nil || head.Fork.Sequence != 0 {
		t.Errorf("a fork is on record: %+v, %v", head.Fork, err)
	}
}
