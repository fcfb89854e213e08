package journal_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/journal"
)

// writer is one of several that all think they lead.
type writer struct {
	*journal.Journal
	fenced  bool
	pending *journal.Batch
	n       int // what the pending batch says
}

// commit appends what is pending, and notes it where that is known to be done.
func (w *writer) commit(t *rapid.T, committed map[int]bool) {
	switch err := w.Append(context.Background(), w.pending); {
	case err == nil:
		committed[w.n] = true
		w.pending = nil
	case errors.Is(err, journal.ErrFenced):
		w.fenced = true
	case !errors.Is(err, errNoAnswer):
		t.Fatal(err)
	}
}

// Whoever appends, merges, deletes, or is away for as long as it likes: what was
// committed is there, once, and each writer finds that another one has appended.
func TestAnyWriters(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		store := newMemory()
		var writers []*writer
		committed := map[int]bool{}
		n := 0
		load := func() *writer {
			w := &writer{Journal: open(store, fmt.Sprint("writer-", len(writers)))}
			if _, err := w.Load(ctx); err != nil {
				t.Fatal(err)
			}
			return w
		}
		commit := func(w *writer) {
			if w.pending == nil {
				n++
				w.n, w.pending = n, &journal.Batch{Time: now, Changes: holds(n, now)}
			}
			w.commit(t, committed)
		}
		writers = append(writers, load())
		for range rapid.IntRange(1, 15).Draw(t, "steps") {
			if rapid.IntRange(0, 5).Draw(t, "another") == 0 {
				writers = append(writers, load())
			}
			// Mostly the newest: others are away.
			at := len(writers) - 1
			if rapid.IntRange(0, 3).Draw(t, "who") == 0 {
				at = rapid.IntRange(0, at).Draw(t, "which")
			}
			w := writers[at]
			if w.fenced {
				continue
			}
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0, 1:
				_, _ = w.Compact(ctx) // one that is not the last may find other blocks than it knows
			case 2: // no answer
				happens := rapid.Bool().Draw(t, "happens")
				fail := func(int) error { return errNoAnswer }
				if store.before = fail; happens {
					store.before, store.after = nil, fail
				}
				commit(w)
				store.before, store.after = nil, nil
			default:
				for range rapid.IntRange(1, 4).Draw(t, "appends") {
					if commit(w); w.fenced {
						break
					}
				}
			}
		}
		left, err := open(store, "reader").Load(ctx)
		if err != nil {
			t.Fatal(err)
		}
		each(t, left, committed)
	})
}

// each tells whether what every committed batch said is there once.
func each(t *rapid.T, left *journal.State, committed map[int]bool) {
	got := map[int]int{}
	for _, change := range left.Segments {
		var of int
		if _, err := fmt.Sscanf(change.Subject.Resource.Name, "db-%d", &of); err != nil {
			t.Fatal(err)
		}
		got[of]++
	}
	for of := range committed {
		if got[of] != len(holds(of, now)) {
			t.Fatalf("what batch %d said is there %d times", of, got[of])
		}
	}
}
