package timeline_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/scratch"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// asked are the answers to a question in every shape, as text.
func asked(t *rapid.T, s *timeline.Snapshot, q timeline.Query, cells int) map[string]string {
	answers := map[string]string{}
	say := func(shape string, answer ...any) { answers[shape] = fmt.Sprintf("%+v", answer) }
	tally := tallied(t, s, q)
	say("tally", *page(t, tally, "", 1<<30), tally.Totals(), tally.Coverage(), tally.Corrected())
	pager := timeline.NewPager(cells)
	var rows []timeline.Row
	for cursor, first := "", true; first || cursor != ""; first = false {
		var some []timeline.Row
		var err error
		if some, cursor, err = pager.Page(t.Context(), s, q, s.Sealed(), cursor, 7); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, some...)
	}
	say("pages", rows)
	whole := q
	whole.Size = timeline.None
	ranking, err := pager.Top(t.Context(), s, whole, s.Sealed(), 2)
	if err != nil {
		t.Fatal(err)
	}
	say("ranking", *ranking)
	series, err := pager.Series(t.Context(), s, q, s.Sealed(), 2)
	if err == nil {
		say("series", *series)
	} else { // more was taken off a window than it held
		say("series", err)
	}
	var list []timeline.History
	for from, first := (&timeline.Place{}), true; first || from != nil; first = false {
		var some []timeline.History
		var err error
		if some, from, err = s.Resources(t.Context(), &q.Filters, q.Window, *from, timeline.Bounds{Resources: 2, Segments: 8}); err != nil {
			t.Fatal(err)
		}
		list = append(list, some...)
	}
	say("resources", shownHistories(list))
	var held []string
	for h := range s.Holdings(&q.Filters, q.Window, nil) {
		held = append(held, fmt.Sprint(h.HoldingKey), shownSegments(h.Segments))
	}
	say("holdings", held)
	say("names", s.Check(t.Context(), &q.Filters), s.CheckHolders(t.Context(), &q.Filters), s.Metrics(&q.Filters), s.Namespaces())
	totals := timeline.NewRunningTotals(true)
	totals.Advance(s)
	sealed := map[timeline.SeriesKey]string{}
	for _, r := range totals.Awake() {
		sealed[r.SeriesKey] = fmt.Sprint(r.Held(), r.Sealed())
	}
	say("running totals", sealed)
	say("counts", s.Segments(), s.Corrections(), s.Sealed())
	return answers
}

func shownSegments(list []usage.Segment) (text string) {
	for i := range list {
		text += fmt.Sprintf("%v %+v %v %d %+v %+v\n", list[i].Meter, *list[i].Subject, list[i].Dimension, list[i].Level, list[i].Start, list[i].End)
	}
	return text
}

func shownHistories(list []timeline.History) (text []string) {
	for i := range list {
		h := &list[i]
		text = append(text, fmt.Sprint(h.ResourceKey, h.Window), shownSegments(h.Segments), shownSegments(h.Less), shownSegments(h.More))
	}
	return text
}

func scratchDir(t testing.TB) *scratch.Dir {
	t.Helper()
	dir, err := scratch.NewDir(t.TempDir(), 1<<40, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// shelf is a file that may fill up: every third block does not fit.
type shelf struct {
	*scratch.File
	fills bool
	put   int
}

func (s *shelf) Put(block []byte) (read func() ([]byte, error)) {
	if s.put++; s.fills && s.put%3 == 0 {
		return nil
	}
	return s.File.Put(block)
}

// Any question over any window, in any shape, has the same answer, byte by byte, whatever is
// packed; also after what is packed was put otherwise, or is void.
func TestWhatIsColdAnswersAsIfItWereHot(t *testing.T) {
	dir := scratchDir(t)
	rapid.Check(t, func(t *rapid.T) {
		hot := timeline.Hot{Days: rapid.SampledFrom([]int64{0, 0, 1, 40}).Draw(t, "hot days"), Segments: rapid.SampledFrom([]int{0, 0, 1, 3, 8}).Draw(t, "hot segments"), Bytes: rapid.SampledFrom([]int{0, 4 << 10, timeline.DefaultColdBytes}).Draw(t, "unpacked")}
		if where := rapid.SampledFrom([]string{"memory", "folder", "folder that fills up"}).Draw(t, "packed into"); where != "memory" {
			hot.NewShelf = func() timeline.Shelf { return &shelf{File: dir.NewFile(), fills: where != "folder"} }
		}
		packed, whole := timeline.NewHot(hot), timeline.New()
		take := func(c timeline.Commit, published bool) {
			for _, line := range []*timeline.Timeline{packed, whole} {
				line.Take(c)
				if published {
					line.Publish()
				}
			}
		}
		s := &script{open: map[int]*usage.Change{}, now: second0 - second0%86400}
		for range rapid.IntRange(1, 25).Draw(t, "intervals") {
			var c timeline.Commit
			for range rapid.IntRange(0, 3).Draw(t, "changes") {
				if change := s.change(t); change != nil && settled(change, s.now) {
					doubtful(t, change)
					change.Subject = new(*change.Subject)
					change.Subject.Bundle = rapid.SampledFrom([]string{"", "", "m5"}).Draw(t, "bundle")
					c.Changes = append(c.Changes, *change)
				}
			}
			take(c, rapid.Bool().Draw(t, "published"))
			lasts := rapid.SampledFrom([]int64{3600, 86400, 86400, 30 * 3600, 9 * 86400}).Draw(t, "lasts")
			take(timeline.Commit{Sealed: []usage.Window{{Start: s.now, End: s.now + lasts}}}, rapid.Bool().Draw(t, "shown"))
			s.now += lasts
		}
		take(timeline.Commit{}, true)
		for range 2 {
			q := drawQuery(t)
			q.Window.Start = rapid.Int64Range(second0-2*86400, s.now).Draw(t, "from")
			q.Window.End = q.Window.Start + rapid.SampledFrom([]int64{1, 3600, 5000, 86400, 40 * 86400}).Draw(t, "seconds")
			q.ResourceTypes, q.Metrics, q.Dimensions = nil, nil, nil
			if len(q.Namespaces) > 0 {
				q.Namespaces = []timeline.NamespaceRef{{Name: "shop", UID: "n1"}}
			}
			cells := rapid.SampledFrom([]int{512, 1 << 20}).Draw(t, "cells") // of few, a query is added up in parts
			want := asked(t, whole.Snapshot(), q, cells)
			if diff := cmp.Diff(want, asked(t, packed.Snapshot(), q, cells)); diff != "" {
				t.Fatalf("%+v, %+v: want -, got +:\n%s", hot, q, diff)
			}
		}
	})
}

// What is cold is packed, and readers of before see what they saw.
func TestDaysThatAreOldArePacked(t *testing.T) {
	line := timeline.NewHot(timeline.Hot{Days: 1, Bytes: 1 << 20})
	const pods, days = 2_000, 6
	runJobs(line, pods, days, true)
	segments, bytes := line.Snapshot().Cold()
	if least := pods * jobSegments * (days - 3) / days; segments < least || bytes == 0 || bytes > 40*segments {
		t.Errorf("%d segments are packed in %d bytes: want %d of them at least, in at most 40 bytes each", segments, bytes, least)
	}
	all := timeline.New()
	runJobs(all, pods, days, true)
	if segments, _ := all.Snapshot().Cold(); segments != 0 {
		t.Errorf("%d segments are packed where everything is hot", segments)
	}
}

// A question that nobody waits for unpacks nothing more.
func TestNothingIsUnpackedForNobody(t *testing.T) {
	line := timeline.NewHot(timeline.Hot{})
	runJobs(line, 2_000, 6, true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := line.Snapshot()
	all := usage.Window{Start: math.MinInt64, End: math.MaxInt64}
	f := &timeline.Filters{Resources: []string{"no-such"}}
	if err := s.CheckHolders(ctx, f); !errors.Is(err, context.Canceled) {
		t.Errorf("names: %v", err)
	}
	if _, _, err := s.Resources(ctx, &timeline.Filters{}, all, timeline.Place{}, timeline.Bounds{Resources: 10, Segments: 100}); !errors.Is(err, context.Canceled) {
		t.Errorf("resources: %v", err)
	}
	tally, err := timeline.NewTally(timeline.Query{Window: usage.Window{Start: second0 + 1, End: second0 + 86400}, Size: timeline.None, GroupBy: []timeline.Key{timeline.Namespace}})
	if err == nil {
		err = tally.AdvanceFor(ctx, s, s.Sealed())
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a tally: %v", err)
	}
	for h := range s.HoldingsContext(ctx, &timeline.Filters{}, usage.Window{Start: second0, End: second0 + 86400}, nil) {
		t.Errorf("a holding: %v", h.HoldingKey)
	}
}

// However long names are, blocks are no larger than can be unpacked.
func TestBlocksOfLongNamesArePacked(t *testing.T) {
	timeline.PackInBlocksOf(timeline.BlockRecords)
	defer timeline.PackInBlocksOf(5)
	line := timeline.NewHot(timeline.Hot{})
	const things = 12
	midnight := second0 - second0%86400
	for n := range things {
		change := held(fmt.Sprint(n, strings.Repeat("-", 1<<20)), midnight, midnight+3600)
		line.Take(timeline.Commit{Changes: []usage.Change{change}})
	}
	line.Take(timeline.Commit{Sealed: []usage.Window{{Start: midnight, End: midnight + 2*86400}}})
	line.Publish()
	if segments, bytes := line.Snapshot().Cold(); segments != things || bytes > 1<<20 {
		t.Errorf("%d segments are packed in %d bytes", segments, bytes)
	}
	w := usage.Window{Start: midnight, End: midnight + 86400}
	if list := resources(t, line.Snapshot(), &timeline.Filters{}, w); len(list) != things {
		t.Errorf("%d resources, want %d", len(list), things)
	}
}

// Readers unpack, and read what they began with, while the writer packs days and takes out of them.
func TestReadersOfColdDaysAndTheWriterDoNotMeet(t *testing.T) {
	dir := scratchDir(t)
	line := timeline.NewHot(timeline.Hot{Bytes: 4 << 10, NewShelf: func() timeline.Shelf { return dir.NewFile() }})
	const interval = int64(6 * 3600)
	query := timeline.Query{Window: usage.Window{Start: 0, End: 40 * 86400}, Size: timeline.None, GroupBy: []timeline.Key{timeline.Resource}}
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				s := line.Snapshot()
				tally, err := timeline.NewTally(query)
				if err == nil {
					err = tally.Advance(s, s.Sealed())
				}
				if err != nil {
					t.Error(err)
					return
				}
				// In each interval a VM holds a core for an hour.
				want := usage.Held(1000, 3600*(s.Sealed()/interval))
				if totals := tally.Totals(); len(totals) == 1 && totals[0].Amount != want {
					t.Errorf("at %d: %s, want %s", s.Sealed(), totals[0].Amount, want)
					return
				}
			}
		})
	}
	for start := int64(0); start < query.Window.End; start += interval {
		c := timeline.Commit{Changes: []usage.Change{held("vm", start, start+3600)}, Sealed: []usage.Window{{Start: start, End: start + interval}}}
		if old := start - 8*interval; old >= 0 && start/interval%3 == 0 { // it is put again, as it is
			c.Changes = append(c.Changes, held("vm", old, old+3600))
		}
		apply(line, c)
	}
	close(done)
	readers.Wait()
	if segments, bytes := line.Snapshot().Cold(); segments < 100 || dir.Bytes() == 0 || dir.Bytes() > int64(bytes) {
		t.Errorf("%d segments are packed in %d bytes, and %d of these are in the folder", segments, bytes, dir.Bytes())
	}
}
