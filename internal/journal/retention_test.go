package journal_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// days are the work of a fortnight: each day something starts that goes on, and
// something that has ended by the next day, which is when the day is sealed; now
// and then something of long ago is put again, voided, or corrected.
func days() []*journal.Batch {
	var batches []*journal.Batch
	for n := range 14 {
		start := int64(now - (14-n)*86400)
		b := &journal.Batch{Time: start + 86400}
		b.Changes = append(b.Changes, holds(100+n, start+10)...)
		b.Changes = append(b.Changes, holds(200+n, start+20, start+7200)...)
		b.Changes = append(b.Changes, holds(300+n, start+30, start+30)...) // of no length
		switch n {
		case 6:
			b.Changes = append(b.Changes, holds(100, now-14*86400+10, start+50)...) // it ends at last
			b.Changes = append(b.Changes, holds(200, now-14*86400+20, start+50)...) // it ended later
		case 7:
			voided := holds(201, now-13*86400+20, now-13*86400+7200)
			for i := range voided {
				voided[i].Kind = usage.Void
			}
			b.Changes = append(b.Changes, voided...)
		case 12:
			b.Changes = append(b.Changes, holds(202, now-12*86400+20)...) // it goes on
			less := holds(203, now-11*86400+20, now-11*86400+7200)
			for i := range less {
				less[i].Kind = usage.Less
			}
			b.Changes = append(b.Changes, less...)
		}
		if n < 13 {
			b.Seals = []journal.Seal{{Interval: usage.Window{Start: start, End: start + 86400}}}
		}
		batches = append(batches, b)
	}
	return batches
}

// With a retention, a State has what goes on, what ended within it, and what is
// not sealed, however long ago; and says of these what one without says.
func TestRetention(t *testing.T) {
	store := newMemory()
	writer, _ := opened(t, store, "a")
	appended(t, writer, days()...)
	for name, c := range map[string]struct {
		retention int64
		after     int64 // what ended by then is left out
	}{
		"three days":                 {3 * 86400, now - 3*86400},
		"ten minutes":                {600, now - 86400}, // the last day is not sealed
		"more than there is":         {30 * 86400, now - 30*86400},
		"exactly when something was": {86400*3 - 7200, now - 3*86400 + 7200},
	} {
		for role, taken := range map[string]func(*testing.T, *memory, int64) *journal.State{"load": loaded, "follow, then load": followed} {
			t.Run(name+"/"+role, func(t *testing.T) {
				want := state(t, store)
				want.Segments = slices.DeleteFunc(want.Segments, func(c1 usage.Change) bool {
					_, latest := c1.End.EndBounds()
					return !c1.End.IsZero() && latest <= c.after
				})
				got := taken(t, store, c.retention)
				for _, s := range []*journal.State{want, got} {
					slices.SortFunc(s.Segments, func(a, b usage.Change) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), a.Compare(b.Segment)) })
				}
				if len(want.Segments) == 0 {
					t.Fatal("nothing is left to compare")
				}
				same(t, want, got)
			})
		}
	}
}

func loaded(t *testing.T, store *memory, retention int64) *journal.State {
	return took(t, journal.New(journal.Options{
		Store: store, Writer: "b", Cluster: "cluster-1", Clock: clockAt(now), Log: logr.Discard(), Retention: retention,
	}))
}

// followed follows a journal that is written to meanwhile.
func followed(t *testing.T, _ *memory, retention int64) *journal.State {
	all := newMemory()
	leader, _ := opened(t, all, "a")
	clock := clockAt(now - int64(len(days()))*5)
	j := journal.New(journal.Options{Store: all, Writer: "b", Cluster: "cluster-1", Clock: clock, Log: logr.Discard(), Retention: retention})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- j.Follow(ctx) }()
	for _, b := range days() {
		waitFor(t, clock.HasWaiters)
		appended(t, leader, b)
		clock.Step(5 * time.Second)
	}
	waitFor(t, clock.HasWaiters)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return took(t, j)
}

func took(t *testing.T, j *journal.Journal) *journal.State {
	t.Helper()
	s, err := j.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// merging merges a journal's blocks when a block is read for the first time.
type merging struct {
	*memory
	merge func()
}

func (m *merging) Get(ctx context.Context, key journal.Key) (journal.Stored, error) {
	if m.merge != nil {
		m.merge()
		m.merge = nil
	}
	return m.memory.Get(ctx, key)
}

// What blocks say is let go of while the others are listed, where it is too much to
// be kept, and read again: by then the block may be gone, or damaged.
func TestMoreThanIsHeld(t *testing.T) {
	defer journal.SetRowsPerBlock(4)()
	store := newMemory()
	leader, _ := opened(t, store, "a")
	appended(t, leader, work()...)
	want := state(t, store)
	for _, held := range []int{0, 20_000} {
		defer journal.SetHeldBytes(held)()
		same(t, want, state(t, store))

		told := &listener{}
		all := store.clone()
		writer, _ := opened(t, all, "c")
		appended(t, writer, &journal.Batch{Time: now})
		j := journal.New(journal.Options{
			Store: &merging{memory: all, merge: func() {
				for range 2 {
					if _, err := writer.Compact(context.Background()); err != nil {
						t.Error(err)
					}
					appended(t, writer, &journal.Batch{Time: now})
				}
			}},
			Writer: "b", Cluster: "cluster-1", Clock: clockAt(now), Log: logr.Discard(), Follower: told,
		})
		got := took(t, j)
		told.knows(t, got)
		if told.begun < 2 {
			t.Errorf("with %d bytes held, blocks that were merged meanwhile were not read anew", held)
		}
		same(t, state(t, all), got)
	}
}

// What is read is asked for after each block, of all that there is to read, and a
// journal that does not fit ends whoever reads it.
func TestAJournalThatDoesNotFit(t *testing.T) {
	defer journal.SetRowsPerBlock(4)()
	store := newMemory()
	leader, _ := opened(t, store, "a")
	appended(t, leader, work()...)
	full := errors.New("raise the limit")
	var asked [][2]int64
	options := func(most int) journal.Options {
		asked = nil
		return journal.Options{
			Store: store, Writer: "b", Cluster: "cluster-1", Clock: clockAt(now), Log: logr.Discard(),
			Fits: func(read, all int64) error {
				if asked = append(asked, [2]int64{read, all}); len(asked) > most {
					return full
				}
				return nil
			},
		}
	}
	took(t, journal.New(options(1000)))
	last := asked[len(asked)-1]
	if last[0] != last[1] || last[0] == 0 {
		t.Errorf("at the end %d of %d rows were read", last[0], last[1])
	}
	for i, at := range asked[1:] {
		if at[0] < asked[i][0] || at[1] != last[1] {
			t.Errorf("%d of %d rows after %d of %d", at[0], at[1], asked[i][0], asked[i][1])
		}
	}
	for role, read := range map[string]func(*journal.Journal) error{
		"load":   func(j *journal.Journal) error { _, err := j.Load(context.Background()); return err },
		"follow": func(j *journal.Journal) error { return j.Follow(context.Background()) },
	} {
		if err := read(journal.New(options(2))); !errors.Is(err, journal.ErrTooLarge) || !errors.Is(err, full) {
			t.Errorf("%s: got %v", role, err)
		}
	}
}
