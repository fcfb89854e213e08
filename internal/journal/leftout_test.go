package journal_test

import (
	"context"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// chapters is a journal.Past of days, each of which ended with its batch; nothing went on.
type chapters []*journal.Batch

func (c chapters) Recall(_ context.Context, said *journal.Archived, from int64, day func(*journal.Batch) error, _ func(*usage.Change)) error {
	for _, batch := range c {
		if batch.Time <= said.End && batch.Time > from {
			copied := *batch
			if err := day(&copied); err != nil {
				return err
			}
		}
	}
	return nil
}

// someDays are the entries of some days, hour by hour, their chapters, and what the journal
// says of as many of them.
func someDays(days int64) (entries []*journal.Batch, past chapters, said func(days int64) *journal.Archived) {
	first := midnight - days*86400
	for day := range days {
		start := first + day*86400
		chapter := &journal.Batch{Time: start + 86400}
		for hour := range int64(24) {
			at := start + hour*3600
			ended := holds(int(day*24+hour), at, at+1800)
			seal := journal.Seal{Interval: usage.Window{Start: at, End: at + 3600}, Digest: journal.Digest{byte(day), byte(hour)}}
			entries = append(entries, &journal.Batch{Time: at + 3600, Changes: ended, Seals: []journal.Seal{seal}})
			chapter.Changes, chapter.Seals = append(chapter.Changes, ended...), append(chapter.Seals, seal)
		}
		past = append(past, chapter)
	}
	return entries, past, func(days int64) *journal.Archived {
		return &journal.Archived{Window: usage.Window{Start: first, End: first + days*86400}, Manifest: "manifests/a.json", Digest: journal.Digest{9}}
	}
}

// leading is a journal that has read what is there.
func leading(t *testing.T, j *journal.Journal) *journal.Journal {
	t.Helper()
	if _, err := j.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return j
}

// However much is left out at once, no more blocks are read for it than fit into some memory.
func TestWhatIsLeftOutIsMergedInPieces(t *testing.T) {
	const most = 100_000
	defer journal.SetMergedBytes(most)()
	defer journal.SetCutAtOnce(1000)()
	entries, past, said := someDays(4)
	store := newMemory()
	leader := leading(t, cutting(store, past))
	appended(t, leader, entries...)
	appended(t, leader, &journal.Batch{Time: midnight + 1, Archived: said(4)})
	before := store.clone().blocks
	if err := leader.Recall(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := journal.LeaveOut(t.Context(), leader); err != nil {
		t.Fatal(err)
	}
	if len(store.blocks) < len(before)+8 {
		t.Errorf("%d blocks were merged from %d", len(store.blocks)-len(before), len(before))
	}
	for key := range store.blocks {
		bytes := 0
		for was, stored := range before {
			if key.From <= was.From && was.To <= key.To {
				bytes += len(stored.Spec)
			}
		}
		if key.From < key.To && bytes > most {
			t.Errorf("block %s was made of %d bytes at once", key, bytes)
		}
	}
	for n := range int64(4) {
		appended(t, leader, &journal.Batch{Time: midnight + 2 + n})
		compactedWith(t, leader)
	}
	if size := leader.Size(); size.Bytes > most {
		t.Errorf("%d bytes are left, nearly all of which is archived", size.Bytes)
	}
	got := took(t, cutting(store, past))
	if len(got.Segments) != 2*4*24 || len(got.Seals) != 4*24 {
		t.Errorf("%d segments and %d seals", len(got.Segments), len(got.Seals))
	}
}

// Nothing is left out by what the archive had long ago.
func TestWhatWasRecalledLongAgoIsReadAgain(t *testing.T) {
	entries, past, said := someDays(1)
	clock := clockAt(now)
	leader := leading(t, journal.New(journal.Options{
		Store: newMemory(), Writer: "a", Cluster: "cluster-1", Clock: clock, Log: logr.Discard(), Past: past, Cuts: true,
	}))
	appended(t, leader, entries...)
	if leader.ToRecall() {
		t.Error("nothing is archived, and there is something to read")
	}
	appended(t, leader, &journal.Batch{Time: midnight + 1, Archived: said(1)})
	for range 2 {
		if !leader.ToRecall() {
			t.Fatal("there is nothing to read, and a day is archived")
		}
		if err := leader.Recall(t.Context()); err != nil {
			t.Fatal(err)
		}
		if leader.ToRecall() {
			t.Error("it was just read")
		}
		clock.Step(time.Hour)
	}
	was := leader.Size()
	if _, err := leader.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	compactedWith(t, leader)
	if leader.ToRecall() || leader.Size().Blocks == was.Blocks {
		t.Error("nothing was left out")
	}
}

// busy is a store beside whose readers a leader is at work: whenever one reads a block
// again, for the first time since it listed them all, it is done something before.
type busy struct {
	*memory
	work         func()
	looks        int
	alreadyAsked bool
}

func (b *busy) List(ctx context.Context, each func(journal.Stored) error) error {
	b.looks++
	b.alreadyAsked = false
	return b.memory.List(ctx, each)
}

func (b *busy) Get(ctx context.Context, key journal.Key) (journal.Stored, error) {
	if !b.alreadyAsked {
		b.alreadyAsked = true
		b.work()
	}
	return b.memory.Get(ctx, key)
}

// A reader beside a leader that leaves out one day after the other, as it reads, has read
// everything once nothing more is left out: however often it has to begin anew until then.
func TestAReaderBesideALeaderThatCutsForLong(t *testing.T) {
	defer journal.SetHeldBytes(0)()
	const days = 12
	entries, past, said := someDays(days)
	store := newMemory()
	leader := leading(t, cutting(store, past))
	appended(t, leader, entries...)
	done := int64(0)
	beside := &busy{memory: store, work: func() {
		if done == days {
			return
		}
		done++
		for n := range int64(3) {
			appended(t, leader, &journal.Batch{Time: midnight + 10*done + n, Archived: said(done)})
			compactedWith(t, leader)
		}
	}}
	got := took(t, cutting(beside, past))
	if beside.looks <= 6 || len(got.Segments) != 2*days*24 {
		t.Errorf("%d looks, %d segments", beside.looks, len(got.Segments))
	}
}

// A reader of more than it holds keeps small blocks, which may be merged before it comes to them.
func TestAReaderBesideALeaderThatMergesAllTheTime(t *testing.T) {
	defer journal.SetLargeHeldBytes(0)()
	entries, past, _ := someDays(3)
	store := newMemory()
	leader := leading(t, cutting(store, past))
	appended(t, leader, entries...)
	more := int64(0)
	beside := &busy{memory: store, work: func() {
		for range 2 {
			more++
			appended(t, leader, &journal.Batch{Time: midnight + more})
			compactedWith(t, leader)
		}
	}}
	got := took(t, cutting(beside, past))
	if beside.looks != 1 || len(got.Segments) != 2*3*24 {
		t.Errorf("%d looks, %d segments", beside.looks, len(got.Segments))
	}
}

// requested is a store that counts what is asked of it.
type requested struct {
	*memory
	requests int
}

func (r *requested) Get(ctx context.Context, key journal.Key) (journal.Stored, error) {
	r.requests++
	return r.memory.Get(ctx, key)
}

func (r *requested) Create(ctx context.Context, key journal.Key, spec []byte) error {
	r.requests++
	return r.memory.Create(ctx, key, spec)
}

// A first cut of a long journal is done in small steps, so that no entry waits for it, and
// comes to its end.
func TestACutTakesSmallSteps(t *testing.T) {
	const atOnce = 10
	defer journal.SetCutAtOnce(atOnce)()
	entries, past, said := someDays(4)
	store := &requested{memory: newMemory()}
	leader := leading(t, cutting(store, past))
	appended(t, leader, entries...)
	appended(t, leader, &journal.Batch{Time: midnight + 1, Archived: said(4)}, &journal.Batch{Time: midnight + 2})
	if err := leader.Recall(t.Context()); err != nil {
		t.Fatal(err)
	}
	steps := 0
	for ; journal.IsCutting(leader); steps++ {
		store.requests = 0
		if err := journal.LeaveOut(t.Context(), leader); err != nil {
			t.Fatal(err)
		}
		if store.requests > 3*atOnce {
			t.Errorf("step %d took %d requests", steps, store.requests)
		}
		if steps > len(entries) {
			t.Fatal("it comes to no end")
		}
	}
	if steps < len(entries)/atOnce {
		t.Errorf("it took %d steps", steps)
	}
	for n := range int64(4) {
		appended(t, leader, &journal.Batch{Time: midnight + 3 + n})
		compactedWith(t, leader)
	}
	if size := leader.Size(); size.Bytes > 100_000 {
		t.Errorf("%d bytes are left, nearly all of which is archived", size.Bytes)
	}
	got := took(t, cutting(store, past))
	if len(got.Segments) != 2*4*24 || len(got.Seals) != 4*24 {
		t.Errorf("%d segments and %d seals", len(got.Segments), len(got.Seals))
	}
}
