package journal_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// errCrash is what a writer gets that ends at this moment.
var errCrash = errors.New("crash")

// work is what a writer does in these tests: batches of one part and of
// several, and now and then a compaction.
func work() []*journal.Batch {
	var batches []*journal.Batch
	for n := range 15 {
		b := &journal.Batch{Time: now - 100 + int64(n), Positions: []journal.Position{{Kind: "Pod", ResourceVersion: fmt.Sprint(n)}}}
		b.Changes = append(holds(n%5, int64(n%5)), holds(n%7+10, int64(n%3), now)...)
		if n%6 == 5 { // in three parts
			for more := range 4 {
				b.Changes = append(b.Changes, holds(n+100*more, now)...)
			}
			b.Coverage = []usage.Stretch{{Meter: fmt.Sprint("meter-", n), Coverage: usage.CoverageUnknown}}
		}
		if n%4 == 3 {
			b.Changes[0].Kind, b.Changes[1].Kind, b.Changes[1].Corrects = usage.Void, usage.Less, now
			b.Seals = []journal.Seal{{Interval: usage.Window{Start: int64(n), End: int64(n + 1)}, Digest: journal.Digest{byte(n)}}}
		}
		batches = append(batches, b)
	}
	return batches
}

// run works until it is done or fails, and counts the batches that were committed.
func run(j *journal.Journal, batches []*journal.Batch, committed *int) error {
	for n, batch := range batches {
		if err := j.Append(context.Background(), batch); err != nil {
			return err
		}
		*committed++
		if n%3 == 2 {
			if _, err := j.Compact(context.Background()); err != nil {
				return err
			}
		}
	}
	return nil
}

var whoAndWhere = cmpopts.IgnoreFields(journal.State{}, "Sequence", "Head", "Writer")

// A writer that ends before or after any of its writes leaves the state before
// or after the batch that it was at; and the next writer goes on from there to
// the same state in the end.
func TestACrashAtAnyWrite(t *testing.T) {
	defer journal.SetRowsPerBlock(4)()
	batches := work()
	calm := newMemory()
	j, _ := opened(t, calm, "a")
	states := []*journal.State{state(t, calm)} // by how many batches were committed
	for _, batch := range batches {
		appended(t, j, batch)
		states = append(states, state(t, calm))
	}
	end := states[len(states)-1]

	// What a writer leaves behind that ends just before its next write, or before the
	// answer to the one before comes.
	type crash struct {
		left      *memory
		committed int
	}
	var crashes []crash
	store, committed := newMemory(), 0
	store.before = func(int) error {
		crashes = append(crashes, crash{&memory{blocks: maps.Clone(store.blocks)}, committed})
		return nil
	}
	j, _ = opened(t, store, "a")
	if err := run(j, batches, &committed); err != nil {
		t.Fatal(err)
	}
	same(t, end, state(t, store), whoAndWhere)

	for write, c := range crashes {
		next, got := opened(t, c.left, "b")
		switch {
		case cmp.Equal(states[c.committed], got, whoAndWhere, cmpopts.EquateEmpty()):
		case c.committed < len(batches) && cmp.Equal(states[c.committed+1], got, whoAndWhere, cmpopts.EquateEmpty()):
			c.committed++
		default:
			t.Fatalf("write %d: neither the state after %d batches nor after one more", write, c.committed)
		}
		if err := run(next, batches[c.committed:], &c.committed); err != nil {
			t.Fatalf("write %d: the next writer: %v", write, err)
		}
		same(t, end, state(t, c.left), whoAndWhere)
	}
	t.Logf("%d writes", len(crashes))
}

// Merged, the journal says what it said, to the order.
func TestCompactionChangesNothing(t *testing.T) {
	defer journal.SetRowsPerBlock(4)()
	merged, plain := newMemory(), newMemory()
	a, _ := opened(t, merged, "a")
	b, _ := opened(t, plain, "a")
	deleted := 0
	for _, batch := range append(work(), work()...) {
		appended(t, a, batch)
		appended(t, b, batch)
		n, err := a.Compact(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		deleted += n
		same(t, state(t, plain), state(t, merged))
	}
	if size, without := a.Size(), b.Size(); size.Blocks*2 > without.Blocks || size.Bytes > without.Bytes || size.Sequence != without.Sequence || deleted == 0 {
		t.Errorf("%+v, and without compaction %+v; %d blocks were deleted", size, without, deleted)
	}
	if size := a.Size(); size.Blocks != len(merged.blocks) {
		t.Errorf("%d blocks, and it says %+v", len(merged.blocks), size)
	}
}

// asked counts what a store is asked, by what.
type asked struct {
	*memory
	gets, keys, lists, creates int
	failing                    int // which of the next reads of one block fails; 0: none
}

func (a *asked) Create(ctx context.Context, key journal.Key, spec []byte) error {
	a.creates++
	return a.memory.Create(ctx, key, spec)
}

func (a *asked) Get(ctx context.Context, key journal.Key) (journal.Stored, error) {
	a.gets++
	if a.failing > 0 {
		if a.failing--; a.failing == 0 {
			return journal.Stored{}, errNoAnswer
		}
	}
	return a.memory.Get(ctx, key)
}

func (a *asked) Keys(ctx context.Context) ([]journal.Key, error) {
	a.keys++
	return a.memory.Keys(ctx)
}

func (a *asked) List(ctx context.Context, each func(journal.Stored) error) error {
	a.lists++
	return a.memory.List(ctx, each)
}

// What an append asks of the store does not grow with the journal: one block to
// write, and one to read. All names are asked for once.
func TestAppendsListNothing(t *testing.T) {
	const appends = 500
	store := &asked{memory: newMemory()}
	j, _ := opened(t, store, "a")
	for n := range appends {
		appended(t, j, &journal.Batch{Time: now, Changes: holds(n, now)})
	}
	if store.lists != 1 || store.keys != 1 || store.creates != appends || store.gets != appends-1 {
		t.Errorf("%d appends: everything was listed %d times, all names %d times; %d blocks were written and %d read",
			appends, store.lists, store.keys, store.creates, store.gets)
	}
}

// A write whose outcome is not known is looked for among all names.
func TestAppendsListAfterNoAnswer(t *testing.T) {
	store := &asked{memory: newMemory()}
	j, _ := opened(t, store, "a")
	appended(t, j, &journal.Batch{Time: now}, &journal.Batch{Time: now})
	store.after = func(int) error { return errNoAnswer }
	batch := &journal.Batch{Time: now}
	if err := j.Append(t.Context(), batch); !errors.Is(err, errNoAnswer) {
		t.Fatal(err)
	}
	store.after = nil
	appended(t, j, batch, &journal.Batch{Time: now})
	if store.keys != 2 {
		t.Errorf("all names were listed %d times", store.keys)
	}
}

// An entry of another writer keeps its place for as long as the one before it.
func TestAWritersFirstEntryKeepsItsPlace(t *testing.T) {
	defer journal.SetRowsPerBlock(4000)()
	store := newMemory()
	stale, _ := opened(t, store, "stale")
	// Large enough never to be merged.
	var large []usage.Change
	for n := range 6000 {
		large = append(large, holds(n, now)...)
	}
	appended(t, stale, &journal.Batch{Time: now, Changes: large})
	end := stale.Size().Sequence
	leader, _ := opened(t, store, "leader")
	for range 3 {
		for n := range 20 {
			appended(t, leader, &journal.Batch{Time: now, Changes: holds(n, now+1)})
		}
		if _, err := leader.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, there := store.blocks[at(end)]; !there {
		t.Fatal("the stale writer's last entry was merged")
	}
	if _, there := store.blocks[at(end+2)]; there {
		t.Fatal("nothing was merged")
	}

	if err := stale.Append(t.Context(), &journal.Batch{Time: now, Changes: holds(99, now)}); !errors.Is(err, journal.ErrFenced) {
		t.Errorf("got %v", err)
	}
}

// Appending does not wait for a compaction, and neither disturbs the other.
func TestCompactionBesideAppends(t *testing.T) {
	merged, plain := newMemory(), newMemory()
	a, _ := opened(t, merged, "a")
	b, _ := opened(t, plain, "a")
	done := make(chan struct{})
	ended := make(chan error)
	go func() {
		for {
			_, err := a.Compact(context.Background())
			select {
			case <-done:
				ended <- err
				return
			default:
			}
			if err != nil {
				ended <- err
				return
			}
			a.Size()
		}
	}()
	for n := range 60 {
		batch := &journal.Batch{Time: now, Changes: holds(n%9, int64(n%4))}
		appended(t, a, batch)
		appended(t, b, batch)
	}
	close(done)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	same(t, state(t, plain), state(t, merged))
}

// What a compaction writes may be missing again, as long as nothing came after it.
func TestWhatWasMergedIsDeletedOnlyAfterAnAppend(t *testing.T) {
	store := newMemory()
	j, _ := opened(t, store, "a")
	for n := range 8 {
		appended(t, j, &journal.Batch{Time: now, Changes: holds(n, now)})
	}
	for range 2 {
		if deleted, err := j.Compact(context.Background()); err != nil || deleted != 0 {
			t.Fatalf("%d were deleted: %v", deleted, err)
		}
	}
	appended(t, j, &journal.Batch{Time: now})
	if deleted, err := j.Compact(context.Background()); err != nil || deleted != 8 {
		t.Fatalf("%d were deleted: %v", deleted, err)
	}
	if got := state(t, store); len(got.Segments) != 16 {
		t.Errorf("got %+v", got)
	}
}

func TestWhatStandsForDeletedBlocksIsLookedFor(t *testing.T) {
	store := newMemory()
	j, _ := opened(t, store, "a")
	for n := range 8 {
		appended(t, j, &journal.Batch{Time: now, Changes: holds(n, now)})
	}
	if _, err := j.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	appended(t, j, &journal.Batch{Time: now})
	delete(store.blocks, journal.Key{From: 1, To: 8})

	if deleted, err := j.Compact(context.Background()); err != nil || deleted != 0 {
		t.Fatalf("%d were deleted: %v", deleted, err)
	}
	if got := state(t, store); len(got.Segments) != 16 {
		t.Errorf("got %+v", got)
	}
}

// A place becomes free again when its block is merged and deleted. A writer that
// was away for so long is fenced all the same, and does no harm.
func TestAPlaceThatIsFreeAgain(t *testing.T) {
	defer journal.SetRowsPerBlock(2)()
	for name, batch := range map[string]*journal.Batch{
		"one part":      {Time: now, Changes: holds(99, now)},
		"several parts": {Time: now, Changes: append(holds(99, now), holds(98, now)...)},
	} {
		t.Run(name, func(t *testing.T) {
			store := newMemory()
			stale, _ := opened(t, store, "stale")
			appended(t, stale, &journal.Batch{Time: now})
			j, _ := opened(t, store, "a")
			for n := range 9 {
				appended(t, j, &journal.Batch{Time: now, Changes: holds(n, now)})
			}
			for range 2 {
				if _, err := j.Compact(context.Background()); err != nil {
					t.Fatal(err)
				}
				appended(t, j, &journal.Batch{Time: now})
			}
			want := state(t, store)

			for range 2 {
				if err := stale.Append(context.Background(), batch); !errors.Is(err, journal.ErrFenced) {
					t.Fatalf("got %v", err)
				}
			}
			if _, err := stale.Compact(context.Background()); !errors.Is(err, journal.ErrFenced) {
				t.Fatalf("got %v", err)
			}

			same(t, want, state(t, store))
			next, _ := opened(t, store, "b")
			appended(t, next, &journal.Batch{Time: now})
			if deleted, err := next.Compact(context.Background()); err != nil || deleted != 1 {
				t.Errorf("%d of what it left behind were deleted: %v", deleted, err)
			}
		})
	}
}

// A batch without its last part never happened, and the next one goes on after it.
func TestAnIncompleteBatchIsSuperseded(t *testing.T) {
	defer journal.SetRowsPerBlock(2)()
	store := newMemory()
	store.before = func(n int) error {
		if n == 3 {
			return errCrash
		}
		return nil
	}
	j, _ := opened(t, store, "a")
	appended(t, j, &journal.Batch{Time: now, Changes: holds(1, now)})
	large := &journal.Batch{Time: now, Changes: append(append(holds(2, now), holds(3, now)...), holds(4, now)...), Seals: []journal.Seal{{}}}
	if err := j.Append(context.Background(), large); !errors.Is(err, errCrash) {
		t.Fatalf("got %v", err)
	}
	store.before = nil

	next, got := opened(t, store, "b")
	if got.Sequence != 1 || len(got.Segments) != 2 || len(got.Seals) != 0 {
		t.Errorf("got %+v", got)
	}
	appended(t, next, &journal.Batch{Time: now, Changes: holds(5, now)})
	if got := state(t, store); got.Sequence != 4 || len(got.Segments) != 4 {
		t.Errorf("got %+v", got)
	}
	if err := j.Append(context.Background(), large); !errors.Is(err, journal.ErrFenced) {
		t.Errorf("the first writer: %v", err)
	}
}
