package archive

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/timelines"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// asked are the answers to a question in some shapes, as text.
func asked(t *rapid.T, s *timeline.Snapshot, q timeline.Query) map[string]string {
	answers := map[string]string{}
	tally, err := timeline.NewTally(q)
	if err == nil {
		err = tally.Advance(s, s.Sealed())
	}
	if err != nil {
		t.Fatal(err)
	}
	page, err := tally.Page("", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	answers["rows"] = fmt.Sprintf("%+v", []any{*page, tally.Totals(), tally.Coverage(), tally.Corrected()})
	var held []string
	for holding := range s.Holdings(&q.Filters, q.Window, nil) {
		held = append(held, fmt.Sprint(holding.HoldingKey))
		for i := range holding.Segments {
			g := &holding.Segments[i]
			held = append(held, fmt.Sprintf("%+v %v %d %+v %+v", *g.Subject, g.Dimension, g.Level, g.Start, g.End))
		}
	}
	answers["holdings"] = strings.Join(held, "\n")
	answers["counts"] = fmt.Sprint(s.Segments(), s.Corrections(), s.Sealed(), s.Since(), s.Namespaces(), s.Coverage(q.Window), s.Intervals(q.Window))
	return answers
}

// cutSometimes is the ledger of a history that is archived and cut at random moments.
func cutSometimes(t *rapid.T, h *history) site {
	cut := site{blockStore{}, objects{}}
	o, _, err := cut.start()
	if err != nil {
		t.Fatal(err)
	}
	for _, batch := range h.batches {
		if err := o.append(batch); err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "archived") {
			if err := o.archive(batch.Time); err != nil {
				t.Fatal(err)
			}
		}
		if rapid.Bool().Draw(t, "merged") {
			if err := o.compact(); err != nil {
				t.Fatal(err)
			}
		}
		if rapid.IntRange(0, 9).Draw(t, "another") == 0 {
			if o, _, err = cut.start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return cut
}

// Whatever happened, and whenever the journal was cut: a reader that has the archive
// has the same state as if it had not been, and answers any question with the same bytes.
func TestACutChangesNoAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHistory(t)
		cut := cutSometimes(t, h)
		retention := rapid.SampledFrom([]int64{0, 0, 3600, aDay, 2*aDay + 5000, 3 * aDay}).Draw(t, "retention")
		clock := clocktesting.NewFakeClock(time.Unix(h.batches[len(h.batches)-1].Time+rapid.SampledFrom([]int64{0, 5000, aDay, 40 * aDay}).Draw(t, "later"), 0))
		hot := timeline.Hot{Days: rapid.SampledFrom([]int64{0, 1, 40}).Draw(t, "hot days")}
		lines := map[bool]timelines.Follower{}
		states := map[bool]map[string]any{}
		for _, isCut := range []bool{false, true} {
			from := site{h.blocks, objects{}}
			if isCut {
				from = cut
			}
			lines[isCut] = timelines.NewHot(hot)
			state, err := from.journal(journal.Options{Past: pastIn{from.objects}, Follower: lines[isCut], Retention: retention, Clock: clock}).Load(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			states[isCut] = said(state)
		}
		if diff := cmp.Diff(states[false], states[true]); diff != "" {
			t.Fatalf("want - got +:\n%s", diff)
		}
		lately, err := cut.journal(journal.Options{Past: pastIn{cut.objects}, Retention: retention, Lately: true, Clock: clock}).Load(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(states[false], said(lately)); diff != "" {
			t.Fatalf("without what is only in the archive, want - got +:\n%s", diff)
		}
		for range 3 {
			from := rapid.Int64Range(began-aDay, h.end()).Draw(t, "from")
			q := timeline.Query{
				Window: usage.Window{Start: from, End: from + rapid.SampledFrom([]int64{1, 3600, 5000, aDay, 10 * aDay}).Draw(t, "seconds")},
				Size:   rapid.SampledFrom(timeline.Sizes).Draw(t, "size"), Zeros: rapid.Bool().Draw(t, "zeros"),
			}
			if rapid.Bool().Draw(t, "by resource") {
				q.GroupBy = []timeline.Key{timeline.Resource}
			}
			if diff := cmp.Diff(asked(t, lines[false].Snapshot(), q), asked(t, lines[true].Snapshot(), q)); diff != "" {
				t.Fatalf("%+v: want - got +:\n%s", q, diff)
			}
		}
	})
}

// What may have ended on another day than it did, with a length or without, is in the
// chapters of both days, and in the ledger once; wherever the cut is.
func TestWhatMayHaveEndedOnAnotherDayIsThereOnce(t *testing.T) {
	for days := int64(1); days <= 4; days++ {
		h, err := newHistory()
		if err != nil {
			t.Fatal(err)
		}
		seen := usage.Boundary{At: began + 3600, Evidence: usage.Observed}
		late := usage.Boundary{At: int64(firstDay) + aDay - 60, Slack: 2 * aDay, Evidence: usage.ReplayBound}
		long, brief, open := held(1, 5, seen), held(2, 7, late), held(3, 9, seen)
		brief.Start.Slack = 30
		h.advanced(t, began+2*3600, long, open)
		long.End, brief.End = late, late
		h.advanced(t, int64(firstDay)+aDay+3600, long, brief)
		for day := int64(1); day < 4; day++ {
			h.advanced(t, int64(firstDay)+(day+1)*aDay, held(10+int(day), 1, usage.Boundary{At: int64(firstDay) + day*aDay + 7200, Evidence: usage.Observed}))
		}
		cut := site{blockStore{}, objects{}}
		o, _, err := cut.start()
		if err != nil {
			t.Fatal(err)
		}
		for _, batch := range append(h.batches, &journal.Batch{Time: h.end() + 1}, &journal.Batch{Time: h.end() + 2}) {
			if err := errors.Join(o.append(batch), o.archive(min(batch.Time, int64(firstDay)+days*aDay))); err != nil {
				t.Fatal(err)
			}
			if err := o.compact(); err != nil {
				t.Fatal(err)
			}
		}
		if !leftOut(cut.blocks.(blockStore), int64(firstDay)+days*aDay) {
			t.Fatalf("%d days: nothing was left out", days)
		}
		want, err := site{h.blocks, objects{}}.read()
		if err != nil {
			t.Fatal(err)
		}
		want["time"] = h.end() + 2
		got, err := cut.read()
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%d days: %v, want - got +:\n%s", days, err, diff)
		}
	}
}
