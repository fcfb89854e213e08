package journal_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// long is a journal.Past that takes long to read: meanwhile something is done.
type long struct {
	chapters
	meanwhile func()
	days      int  // how many were handed out
	lost      bool // in the end something is not there
}

func (l *long) Recall(ctx context.Context, said *journal.Archived, from int64, day func(*journal.Batch) error, open func(*usage.Change)) error {
	l.meanwhile()
	if l.lost {
		return fmt.Errorf("%w: no such object", journal.ErrNotArchived)
	}
	return l.chapters.Recall(ctx, said, from, func(batch *journal.Batch) error { l.days++; return day(batch) }, open)
}

// However long it takes to read a history, and whatever is merged and left out meanwhile:
// each of its days is read once, and the journal as it is then.
func TestALongHistoryIsReadOnce(t *testing.T) {
	defer journal.SetHeldBytes(0)()
	const days, cutBefore = 6, 2
	entries, past, said := someDays(days)
	store, whole := newMemory(), newMemory()
	leader := leading(t, cutting(store, past))
	plain := leading(t, open(whole, "a"))
	appended(t, leader, entries...)
	appended(t, plain, entries...)
	at, done := int64(midnight), int64(cutBefore)
	work := func() {
		for range 3 {
			at++
			appended(t, leader, &journal.Batch{Time: at, Archived: said(done)})
			appended(t, plain, &journal.Batch{Time: at})
			compactedWith(t, leader)
		}
		done = min(done+1, days)
	}
	work()
	slow := &long{chapters: past, meanwhile: work}
	told := &listener{}
	got := took(t, journal.New(journal.Options{
		Store: store, Writer: "b", Cluster: "cluster-1", Clock: clockAt(now), Log: logr.Discard(), Follower: told, Past: slow,
	}))
	if slow.days != days || told.begun != 1 {
		t.Errorf("%d days were read of %d, and it was begun %d times", slow.days, days, told.begun)
	}
	if want := state(t, whole); len(got.Segments) != len(want.Segments) {
		t.Errorf("%d segments, want %d", len(got.Segments), len(want.Segments))
	} else {
		told.knows(t, got)
		same(t, &journal.State{Seals: want.Seals, Coverage: want.Coverage, Time: want.Time},
			&journal.State{Seals: got.Seals, Coverage: got.Coverage, Time: got.Time})
	}
}

// failing is a journal.Past that fails once, after the first day.
type failing struct {
	chapters
	err error
}

func (f *failing) Recall(ctx context.Context, said *journal.Archived, from int64, day func(*journal.Batch) error, open func(*usage.Change)) error {
	return f.chapters.Recall(ctx, said, from, func(batch *journal.Batch) error {
		if err := day(batch); err != nil {
			return err
		}
		err := f.err
		f.err = nil
		return err
	}, open)
}

// A reader that knew of an empty journal, and could not read the history to its end at
// first, has all of it in the end, once.
func TestAHistoryThatWasReadInPart(t *testing.T) {
	entries, past, said := someDays(3)
	cut, store := newMemory(), newMemory()
	leader := leading(t, cutting(cut, past))
	appended(t, leader, entries...)
	for n := range int64(3) {
		appended(t, leader, &journal.Batch{Time: midnight + n, Archived: said(3)})
		compactedWith(t, leader)
	}
	want := took(t, cutting(cut, past))
	broken := &failing{past, errors.New("no route to host")}
	wrong := broken.err
	clock := clockAt(now)
	reader := journal.New(journal.Options{Store: store, Writer: "b", Cluster: "cluster-1", Clock: clock, Log: logr.Discard(), Past: broken})
	looked(t, reader)
	maps.Copy(store.blocks, cut.blocks)
	clock.Step(time.Minute)
	if err := journal.Look(t.Context(), reader); !errors.Is(err, wrong) {
		t.Fatalf("got %v", err)
	}
	looked(t, reader)
	same(t, want, took(t, reader))
}

// refusing is a store that does not answer one request for a block.
type refusing struct {
	*memory
	err error
}

func (r *refusing) Get(ctx context.Context, key journal.Key) (journal.Stored, error) {
	if err := r.err; err != nil {
		r.err = nil
		return journal.Stored{}, err
	}
	return r.memory.Get(ctx, key)
}

// A history is not read again because of a request that failed after it was read.
func TestARequestThatFailsAfterALongHistory(t *testing.T) {
	defer journal.SetHeldBytes(0)()
	const days = 3
	entries, past, said := someDays(days + 1) // the last is not archived
	store := newMemory()
	leader := leading(t, cutting(store, past))
	appended(t, leader, entries...)
	for n := range int64(3) {
		appended(t, leader, &journal.Batch{Time: midnight + n, Archived: said(days)})
		compactedWith(t, leader)
	}
	want := took(t, cutting(store, past))
	beside := &refusing{memory: store}
	wrong := errors.New("too many requests")
	slow := &long{chapters: past, meanwhile: func() { beside.err = wrong }}
	following := func(store journal.Store, past journal.Past, told journal.Follower) *journal.Journal {
		return journal.New(journal.Options{
			Store: store, Writer: "a", Cluster: "cluster-1", Clock: clockAt(now), Log: logr.Discard(), Past: past, Cuts: true, Follower: told,
		})
	}
	told, whole := &listener{}, &listener{}
	reader := following(beside, slow, told)
	if err := journal.Look(t.Context(), reader); !errors.Is(err, wrong) {
		t.Fatalf("got %v", err)
	}
	looked(t, reader)
	looked(t, following(store, past, whole))
	if told.unknown || len(told.segments) != len(whole.segments) || len(told.seals) != len(whole.seals) {
		t.Errorf("after a look that failed and one that did not, %d segments and %d seals are known of %d and %d",
			len(told.segments), len(told.seals), len(whole.segments), len(whole.seals))
	}
	same(t, want, took(t, reader))
	if slow.days != days {
		t.Errorf("%d days were read of %d", slow.days, days)
	}
}

// recent is a journal.LatelyPast of chapters.
type recent struct{ chapters }

func (r recent) RecallLately(ctx context.Context, said *journal.Archived, from int64, day func(*journal.Batch) error, open func(*usage.Change)) error {
	return r.Recall(ctx, said, from, day, open)
}

// How much there is to read is estimated by whole days, since they are handed out as such:
// also where the retention began a minute before midnight.
func TestWhatIsToComeIsEstimatedByDays(t *testing.T) {
	const days = 4
	entries, past, said := someDays(days)
	store := newMemory()
	leader := leading(t, cutting(store, past))
	appended(t, leader, entries...)
	for n := range int64(3) {
		appended(t, leader, &journal.Batch{Time: midnight + n, Archived: said(days)})
		compactedWith(t, leader)
	}
	most := int64(0)
	took(t, journal.New(journal.Options{
		Store: store, Writer: "b", Cluster: "cluster-1", Clock: clockAt(now), Log: logr.Discard(), Past: recent{past},
		Retention: now - midnight + (days-1)*86400 + 60, Lately: true,
		Fits: func(_, all int64) error { most = max(most, all); return nil },
	}))
	if most != 2*24*days {
		t.Errorf("%d rows were to come, and there are %d", most, 2*24*days)
	}
}

// What does not fit is let go of, and read again when that is asked for.
func TestWhatDoesNotFitIsLetGoOf(t *testing.T) {
	store := six(t)
	full := errors.New("raise the limit")
	told := &listener{}
	j := journal.New(journal.Options{
		Store: store, Writer: "b", Cluster: "cluster-1", Clock: clockAt(now), Log: logr.Discard(), Follower: told, OnlyTold: true,
		Fits: func(read, _ int64) error {
			if read > 4 {
				return full
			}
			return nil
		},
	})
	if err := j.Follow(t.Context()); !errors.Is(err, journal.ErrTooLarge) {
		t.Fatalf("got %v", err)
	}
	if len(told.segments) != 0 {
		t.Errorf("%d segments are kept", len(told.segments))
	}
	full = nil
	looked(t, j)
	told.knows(t, state(t, store))
}

// A loss of blocks that is accepted, and not on record yet, stops nothing: the others go on.
func TestALossOfBlocksThatIsNotOnRecord(t *testing.T) {
	store := six(t)
	delete(store.blocks, at(3))
	store.accept(at(1), "3")
	told := &listener{}
	reader := journal.New(journal.Options{
		Store: store, Writer: "b", Cluster: "cluster-1", Clock: clockAt(now), Log: logr.Discard(), Follower: told, OnlyTold: true,
	})
	looked(t, reader)
	leader, _ := opened(t, store, "c")
	appended(t, leader, &journal.Batch{Time: now})
	looked(t, reader)
	told.knows(t, state(t, store))
}

// That a chapter is lost is found also where it takes long, and blocks are merged meanwhile.
func TestALongHistoryOfWhichADayIsLost(t *testing.T) {
	defer journal.SetHeldBytes(0)()
	const days = 3
	entries, past, said := someDays(days)
	store := newMemory()
	leader := leading(t, cutting(store, past))
	appended(t, leader, entries...)
	at := int64(midnight)
	work := func() {
		for range 3 {
			at++
			appended(t, leader, &journal.Batch{Time: at, Archived: said(days)})
			compactedWith(t, leader)
		}
	}
	work()
	slow := &long{chapters: past, meanwhile: work, lost: true}
	_, err := cutting(store, slow).Load(t.Context())
	damage, is := errors.AsType[*journal.DamageError](err)
	if !is || damage.Problems[0].Fault != journal.NotArchived {
		t.Errorf("got %v", err)
	}
}
