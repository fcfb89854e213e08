package journal_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/go-logr/logr"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/journal"
)

// What is committed can be read as soon as it is, and nothing before.
func TestWhatIsCommittedCanBeReadElsewhere(t *testing.T) {
	store := newMemory()
	j := open(store, "a")
	committed := j.Committed()
	if _, err := committed.Keys(t.Context()); !errors.Is(err, journal.ErrNotLoaded) {
		t.Errorf("before it was loaded: %v", err)
	}
	if _, err := committed.Get(t.Context(), journal.Key{From: 1, To: 1}); !errors.Is(err, journal.ErrNotLoaded) {
		t.Errorf("before it was loaded: %v", err)
	}
	leading(t, j)
	if end, at := committed.Reached(0); end != 0 || at != 0 {
		t.Errorf("of nothing, %d, %d", end, at)
	}
	for n := range int64(9) {
		appended(t, j, &journal.Batch{Time: now + n, Changes: holds(int(n), now)})
	}
	if stored, err := committed.Get(t.Context(), journal.Key{From: 9, To: 9}); err != nil || stored.Key.To != 9 {
		t.Errorf("the last: %v", err)
	}
	if _, err := committed.Get(t.Context(), journal.Key{From: 10, To: 10}); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("the next: %v", err)
	}
	if end, at := committed.Reached(4); end != 9 || at != now+3 {
		t.Errorf("who has four is at %d, and there are %d", at, end)
	}
	if _, at := committed.Reached(0); at != now {
		t.Errorf("who has nothing lacks what was written since %d", at)
	}
	compactedWith(t, j)
	appended(t, j, &journal.Batch{Time: now + 9})
	keys, err := committed.Keys(t.Context())
	if want := []journal.Key{{From: 1, To: 9}, {From: 10, To: 10}}; err != nil || !slices.Equal(keys, want) {
		t.Errorf("the blocks are %v, want %v: %v", keys, want, err)
	}
}

// An entry of another writer, that this one does not know of, ends it.
func TestNothingIsReadAfterAnotherWrites(t *testing.T) {
	store := newMemory()
	j := leading(t, open(store, "a"))
	appended(t, j, &journal.Batch{Time: now})
	committed := j.Committed()
	other := leading(t, open(store, "b"))
	appended(t, other, &journal.Batch{Time: now + 10})
	if err := j.Append(t.Context(), &journal.Batch{Time: now + 11}); !errors.Is(err, journal.ErrFenced) {
		t.Fatal(err)
	}
	if _, err := committed.Get(t.Context(), journal.Key{From: 1, To: 1}); !errors.Is(err, journal.ErrFenced) {
		t.Errorf("after another writes: %v", err)
	}
}

// hubbed is a journal that is cut, and somebody who is to have all of it first.
type hubbed struct {
	store *memory
	past  journal.Past
	*journal.Journal
	// has is what they have, and told what the writer knows of that.
	has, told uint64
	// at is when it was appended to last.
	at int64
}

// begin is another writer, which was told nothing yet.
func (h *hubbed) begin(t *rapid.T) {
	h.told = 0
	h.Journal = journal.New(journal.Options{
		Store: h.store, Writer: "w" + rapid.StringMatching("[a-z]{9}").Draw(t, "writer"), Cluster: "cluster-1", Clock: clockAt(now), Log: logr.Discard(),
		Past: h.past, Cuts: true, Acknowledged: func() uint64 { return h.told },
	})
	if _, err := h.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (h *hubbed) append(t *rapid.T, batch *journal.Batch) {
	if err := h.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

// compact merges, and leaves out what it may.
func (h *hubbed) compact(t *rapid.T) {
	if err := h.Recall(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// send gives them the block that comes next, which is to be whole. It is the smallest, as a sender has it.
func (h *hubbed) send() {
	h.told = h.has
	var next *journal.Key
	for key := range h.store.blocks {
		if key.From <= h.has+1 && h.has < key.To && (next == nil || key.To-key.From < next.To-next.From) {
			next = &key
		}
	}
	if next != nil {
		h.has, h.told = next.To, next.To
	}
}

// whole fails if something was left out of a block that they have not.
func (h *hubbed) whole(t *rapid.T) (leftOut int) {
	for key, stored := range h.store.blocks {
		block, err := journal.Open(stored)
		if err != nil {
			t.Fatal(err)
		}
		if !block.LeftOut {
			continue
		}
		if leftOut++; key.To > h.has {
			t.Fatalf("something was left out of block %s, and they have all up to %d", key, h.has)
		}
	}
	return leftOut
}

// more appends an entry, which says what is archived, or nothing.
func (h *hubbed) more(t *rapid.T, archived *journal.Archived) {
	h.at++
	h.append(t, &journal.Batch{Time: h.at, Archived: archived})
}

// settle has all sent that there is, and left out what may be.
func (h *hubbed) settle(t *rapid.T, archived *journal.Archived) {
	h.more(t, archived)
	for range 8 {
		for before := h.has + 1; before != h.has; h.send() {
			before = h.has
		}
		h.compact(t)
		h.whole(t)
		h.more(t, nil)
	}
	if _, withheld := h.Committed().Withheld(); withheld || h.whole(t) == 0 {
		t.Fatalf("all is acknowledged, and nothing is left out")
	}
}

// Whatever is merged, cut, sent and begun anew, nothing is left out of a block that was not
// acknowledged; and once all is, the cut goes on.
func TestTheCutWaitsForWhatIsAcknowledged(t *testing.T) {
	defer journal.SetCutAtOnce(10)()
	const days = 2
	rapid.Check(t, func(t *rapid.T) {
		entries, past, said := someDays(days)
		h := &hubbed{store: newMemory(), past: past, at: midnight}
		h.begin(t)
		done := int64(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch step := rapid.IntRange(0, 11).Draw(t, "step"); {
			case step < 3 && len(entries) > 0:
				n := rapid.IntRange(1, len(entries)).Draw(t, "entries")
				for _, entry := range entries[:n] {
					h.append(t, entry)
				}
				entries = entries[n:]
			case step == 4 && done < days-int64(len(entries)+23)/24:
				done++
				h.more(t, said(done))
			case step == 5:
				h.begin(t)
			case step < 8:
				h.compact(t)
			case step == 8:
				h.more(t, nil)
			default:
				h.send()
			}
			h.whole(t)
		}
		if len(entries) == 0 {
			h.settle(t, said(max(done, 1)))
		}
	})
}

// What was cut is not merged with what was not sent, by a leader that does not know yet how far
// they are, too; and what was not sent is merged all the same.
func TestWhatWasCutIsNotMergedWithWhatWasNotSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries, past, said := someDays(1)
		h := &hubbed{store: newMemory(), past: past, at: midnight}
		h.begin(t)
		for _, entry := range entries {
			h.append(t, entry)
		}
		h.settle(t, said(1))
		if rapid.Bool().Draw(t, "another leader") {
			h.begin(t)
		}
		before := h.Size().Blocks
		for range 4 {
			for range 8 {
				h.more(t, nil)
			}
			h.compact(t)
			h.whole(t)
		}
		if size := h.Size(); size.Blocks >= before+32 {
			t.Fatalf("%d blocks: nothing is merged", size.Blocks)
		}
	})
}
