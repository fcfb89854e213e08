package archive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/audit"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/timelines"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// pastIn is a journal.Past of an archive in any store.
type pastIn struct{ store }

func (p pastIn) Recall(ctx context.Context, said *journal.Archived, from int64, day func(*journal.Batch) error, open func(*usage.Change)) error {
	return (&Archive{store: p.store, name: "archive", cluster: clusterA}).recall(ctx, said, from, day, open)
}

// site is where a ledger is: a journal and an archive.
type site struct {
	blocks  journal.Store
	objects store
}

func (p site) journal(o journal.Options) *journal.Journal {
	o.Store, o.Cluster, o.Clock, o.Log = p.blocks, clusterA, someClock(), logr.Discard()
	o.Writer = "operator"
	return journal.New(o)
}

// operator appends batches, archives what is sealed, and cuts the journal: with each
// batch, or where the test asks for it.
type operator struct {
	site
	written *journal.Journal
	proven  *journal.Archived
}

func (p site) start() (*operator, *journal.State, error) {
	o := &operator{site: p, written: p.journal(journal.Options{Past: pastIn{p.objects}, Cuts: true})}
	state, err := o.written.Load(context.Background())
	return o, state, err
}

func (o *operator) append(batch *journal.Batch) error {
	said := *batch
	said.Archived, o.proven = o.proven, nil
	return o.written.Append(context.Background(), &said)
}

// archive writes the chapters of what is sealed, and finds out what the journal may say.
func (o *operator) archive(through int64) error {
	a, err := open(context.Background(), o.objects, "archive", Options{Cluster: clusterA, Writes: true})
	from := Journal{Store: o.blocks, Clock: someClock(), Log: logr.Discard()}
	for n := -1; err == nil && n != 0; {
		n, err = a.CatchUp(context.Background(), from, through)
	}
	if err != nil {
		return err
	}
	o.proven, err = a.Prove(context.Background(), from, o.written.Archived())
	return err
}

// run does all that comes after what is there, and says nothing more in the end, until
// the blocks are deleted that others stand for.
func (p site) run(batches []*journal.Batch) error {
	o, state, err := p.start()
	if err != nil {
		return err
	}
	last := batches[len(batches)-1].Time
	for more := range int64(3) {
		batches = append(batches, &journal.Batch{Time: last + more + 1})
	}
	for _, batch := range batches {
		if batch.Time <= state.Time {
			continue
		}
		if err := o.append(batch); err != nil {
			return err
		}
		if err := o.archive(batch.Time); err != nil {
			return err
		}
		if _, err := o.written.Compact(context.Background()); err != nil {
			return err
		}
	}
	return nil
}

// said is a state in a form that does not depend on the order of segments.
func said(s *journal.State) map[string]any {
	var segments []string
	var late []usage.Change
	for i := range s.Segments {
		if c := &s.Segments[i]; c.Kind == usage.Put {
			segments = append(segments, fmt.Sprintf("%+v %s %v %d %+v %+v", *c.Subject, c.Meter, c.Dimension, c.Level, c.Start, c.End))
		} else {
			late = append(late, *c)
		}
	}
	slices.Sort(segments)
	return map[string]any{
		"segments": segments, "corrections": late, "seals": s.Seals, "meters": s.Meters, "positions": s.Positions, "time": s.Time,
		"coverage": usage.CutCoverage(s.Coverage, usage.Window{End: 1 << 40}),
	}
}

// read is what a ledger says to who does not cut it.
func (p site) read() (map[string]any, error) {
	state, err := p.journal(journal.Options{Past: pastIn{p.objects}}).Load(context.Background())
	if err != nil {
		return nil, err
	}
	return said(state), nil
}

// crashing is a site at which the operator ends before or after its nth write.
type crashing struct {
	blocks blockStore
	objects
	writes, at int
	after      bool
}

func (c *crashing) write(do func() error) error {
	c.writes++
	switch {
	case c.at == 0 || c.writes < c.at:
		return do()
	case c.writes == c.at && c.after:
		_ = do()
	}
	return errStopped
}

func (c *crashing) create(ctx context.Context, name string, content []byte) error {
	return c.write(func() error { return c.objects.create(ctx, name, content) })
}

// crashingBlocks are the journal's part of it.
type crashingBlocks struct {
	blockStore
	*crashing
}

func (c crashingBlocks) Create(ctx context.Context, key journal.Key, spec []byte) error {
	return c.write(func() error { return c.blockStore.Create(ctx, key, spec) })
}

func (c crashingBlocks) Delete(ctx context.Context, key journal.Key) error {
	return c.write(func() error { return c.blockStore.Delete(ctx, key) })
}

func (c *crashing) site() site { return site{crashingBlocks{c.blocks, c}, c} }

// leftOut tells whether something was left out of the blocks, as far as a moment.
func leftOut(blocks blockStore, until int64) bool {
	for _, b := range blocks {
		if strings.Contains(string(b.Spec), `"leftOut":{`) && strings.Contains(string(b.Spec), `"endTime":"`+moment(until)+`"`) {
			return true
		}
	}
	return false
}

// An operator that ends before any write to the archive or to the journal, or before the
// answer to it comes, leaves a ledger that says what it said; and the next one completes
// it to the same ledger, cut as far.
func TestACrashAtAnyWriteOfACut(t *testing.T) {
	h := someDays(t)
	plain := blockStore{}
	all := site{plain, objects{}}
	var states []map[string]any
	o, state, err := all.start()
	for _, batch := range append([]*journal.Batch{nil}, h.batches...) {
		if err == nil && batch != nil {
			err = o.append(batch)
			state, _ = all.journal(journal.Options{}).Load(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, said(state))
	}
	calm := &crashing{blocks: blockStore{}, objects: objects{}}
	if err := calm.site().run(h.batches); err != nil {
		t.Fatal(err)
	}
	want, err := calm.site().read()
	if err != nil {
		t.Fatal(err)
	}
	end := int64(DayOf(h.end()))
	if !leftOut(calm.blocks, end) || len(calm.blocks) > 8 {
		t.Fatalf("%d blocks are left, and nothing was left out of them until %s", len(calm.blocks), moment(end))
	}
	finish := maps.Clone(states[len(states)-1])
	finish["time"] = want["time"]
	if diff := cmp.Diff(finish, want); diff != "" {
		t.Fatalf("before and after the cut, want - got +:\n%s", diff)
	}
	for at := 1; at <= calm.writes; at++ {
		for _, after := range []bool{false, true} {
			crashed(t, h, states, want, at, after)
		}
	}
	t.Logf("%d writes", calm.writes)
}

// crashed has an operator end at a write, and another one complete its work.
func crashed(t *testing.T, h *history, states []map[string]any, want map[string]any, at int, after bool) {
	t.Helper()
	c := &crashing{blocks: blockStore{}, objects: objects{}, at: at, after: after}
	if err := c.site().run(h.batches); !errors.Is(err, errStopped) {
		t.Fatalf("write %d: %v", at, err)
	}
	left := site{c.blocks, c.objects}
	got, err := left.read()
	if err != nil {
		t.Fatalf("write %d, after: %t: what is left: %v", at, after, err)
	}
	if !slices.ContainsFunc(states, func(s map[string]any) bool {
		s = maps.Clone(s)
		if got["time"].(int64) > h.batches[len(h.batches)-1].Time {
			s["time"] = got["time"] // one of those that say nothing more
		}
		return cmp.Equal(s, got)
	}) {
		t.Fatalf("write %d, after: %t: what is left is no state that there was: %v", at, after, got)
	}
	if err := left.run(h.batches); err != nil {
		t.Fatalf("write %d, after: %t: the next operator: %v", at, after, err)
	}
	got, err = left.read()
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("write %d, after: %t: the next operator (%v), want - got +:\n%s", at, after, err, diff)
	}
}

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
			if _, err := o.written.Compact(context.Background()); err != nil {
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
		retention := rapid.SampledFrom([]int64{0, 0, 3 * aDay}).Draw(t, "retention")
		hot := timeline.Hot{Days: rapid.SampledFrom([]int64{0, 1, 40}).Draw(t, "hot days")}
		lines := map[bool]timelines.Follower{}
		states := map[bool]map[string]any{}
		for _, isCut := range []bool{false, true} {
			from := site{h.blocks, objects{}}
			if isCut {
				from = cut
			}
			lines[isCut] = timelines.NewHot(hot)
			state, err := from.journal(journal.Options{Past: pastIn{from.objects}, Follower: lines[isCut], Retention: retention}).Load(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			states[isCut] = said(state)
		}
		if diff := cmp.Diff(states[false], states[true]); diff != "" {
			t.Fatalf("want - got +:\n%s", diff)
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
			if _, err := o.written.Compact(t.Context()); err != nil {
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

// advanced commits what is not sealed yet, and seals until a moment.
func (h *history) advanced(t *testing.T, until int64, changes ...usage.Change) {
	t.Helper()
	if err := h.advance(until, changes, nil); err != nil {
		t.Fatal(err)
	}
}

// cutLedger is a ledger that was cut.
func cutLedger(t *testing.T) (blockStore, objects, map[string]any) {
	t.Helper()
	h := someDays(t)
	c := &crashing{blocks: blockStore{}, objects: objects{}}
	if err := c.site().run(h.batches); err != nil {
		t.Fatal(err)
	}
	says, err := c.site().read()
	if err != nil {
		t.Fatal(err)
	}
	return c.blocks, c.objects, says
}

// What a journal has left out, and is not in the archive as it was, is named, and nothing
// is built on it; once it is there again, all is as it was.
func TestACutJournalWithoutItsArchive(t *testing.T) {
	blocks, there, says := cutLedger(t)
	manifest := (firstDay + aDay).manifest()
	m, err := parseManifest(there[manifest])
	if err != nil {
		t.Fatal(err)
	}
	other := objects{} // of the same cluster, and another history
	a, err := open(t.Context(), other, "archive", Options{Cluster: clusterA, Writes: true})
	if err != nil {
		t.Fatal(err)
	}
	caughtUp(t, a, rapid.Custom(anyHistory).Example(4))
	for name, broken := range map[string]struct {
		in   func(objects) journal.Past
		want []string
	}{
		"no archive":      {func(objects) journal.Past { return nil }, []string{"there is none here", "--archive"}},
		"an empty one":    {func(objects) journal.Past { return pastIn{objects{}} }, []string{"Missing", firstDay.manifest()}},
		"another history": {func(objects) journal.Past { return pastIn{other} }, []string{"the journal was cut after"}},
		"another cluster": {func(o objects) journal.Past {
			o[manifest] = []byte(strings.ReplaceAll(string(o[manifest]), clusterA, "another"))
			return pastIn{o}
		}, []string{"OtherCluster", manifest}},
		"a newer version": {func(o objects) journal.Past {
			o[manifest] = []byte(strings.Replace(string(o[manifest]), `"format": 1`, `"format": 99`, 1))
			return pastIn{o}
		}, []string{"NewerFormat", manifest}},
		"a manifest is gone": {func(o objects) journal.Past { delete(o, manifest); return pastIn{o} }, []string{"Missing", manifest}},
		"a file is gone":     {func(o objects) journal.Past { delete(o, m.Segments.Name); return pastIn{o} }, []string{"Missing", m.Segments.Name}},
		"a bit flipped":      {func(o objects) journal.Past { o[m.Segments.Name][40] ^= 1; return pastIn{o} }, []string{"Damaged", m.Segments.Name}},
	} {
		t.Run(name, func(t *testing.T) {
			copied := objects{}
			for name, content := range there {
				copied[name] = slices.Clone(content)
			}
			before := maps.Clone(blocks)
			j := site{blocks: blocks}.journal(journal.Options{Past: broken.in(copied), Cuts: true})
			_, err := j.Load(t.Context())
			damage, is := errors.AsType[*journal.DamageError](err)
			if !is || damage.Problems[0].Fault != journal.NotArchived {
				t.Fatalf("got %v", err)
			}
			for _, want := range append(broken.want, "accept-gap") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("it does not say %q: %v", want, err)
				}
			}
			if err := j.Append(t.Context(), &journal.Batch{Time: 1}); err == nil {
				t.Error("something was appended")
			}
			if _, err := j.Compact(t.Context()); err == nil {
				t.Error("something was merged")
			}
			if !maps.EqualFunc(before, blocks, func(a, b journal.Stored) bool { return string(a.Spec) == string(b.Spec) }) {
				t.Error("the blocks are others")
			}
		})
	}
	got, err := site{blocks, there}.read()
	if diff := cmp.Diff(says, got); err != nil || diff != "" {
		t.Errorf("%v, want - got +:\n%s", err, diff)
	}
}

// noRecords are none.
type noRecords struct{}

func (noRecords) List(context.Context, func(*audit.Published) error) error { return nil }

// An audit goes on across the cut: every interval is computed again, and what changed in
// a chapter is found like what changed in a block.
func TestAnAuditOfACutJournal(t *testing.T) {
	blocks, there, says := cutLedger(t)
	seals := says["seals"].([]journal.Seal)
	verified := func() *audit.Report {
		report, err := audit.Verify(t.Context(), audit.Input{
			Blocks: blocks, Records: noRecords{}, Past: pastIn{there}, Clock: someClock(), Seal: seals[0].Digest,
		})
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	if report := verified(); !report.OK() || report.Intervals != len(seals) {
		t.Errorf("%+v, want %d intervals", report, len(seals))
	}
	m, err := parseManifest(there[firstDay.manifest()])
	if err != nil {
		t.Fatal(err)
	}
	there[m.Segments.Name][40] ^= 1
	if report := verified(); report.OK() || !strings.Contains(report.First.Detail, m.Segments.Name) {
		t.Errorf("%+v", report)
	}
}

// errAway is what a store answers that cannot be reached.
var errAway = errors.New("no route to host")

// away is a store that cannot be reached.
type away struct{ store }

func (away) read(context.Context, string) ([]byte, error) { return nil, errAway }

// An archive that cannot be reached damages nothing: it is tried again.
func TestACutJournalWhoseArchiveIsAway(t *testing.T) {
	blocks, there, _ := cutLedger(t)
	j := site{blocks: blocks}.journal(journal.Options{Past: pastIn{away{there}}})
	if _, err := j.Load(t.Context()); !errors.Is(err, errAway) || errors.Is(err, journal.ErrNotArchived) {
		t.Errorf("got %v", err)
	}
}

// What the archive does not have as the journal says is not left out, though the journal
// says that it is archived.
func TestNothingIsCutThatTheArchiveLost(t *testing.T) {
	h := someDays(t)
	there := objects{}
	in := site{blockStore{}, there}
	o, _, err := in.start()
	if err != nil {
		t.Fatal(err)
	}
	for _, batch := range h.batches {
		if err := o.append(batch); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.archive(h.end()); err != nil {
		t.Fatal(err)
	}
	if err := o.append(&journal.Batch{Time: h.end() + 1}); err != nil {
		t.Fatal(err)
	}
	manifest := (DayOf(h.end()) - aDay).manifest()
	content := there[manifest]
	delete(there, manifest)
	if _, err := o.written.Compact(t.Context()); !errors.Is(err, journal.ErrNotArchived) || !strings.Contains(err.Error(), manifest) {
		t.Fatalf("got %v", err)
	}
	if leftOut(in.blocks.(blockStore), int64(DayOf(h.end()))) {
		t.Error("something was left out")
	}
	there[manifest] = content
	if _, err := o.written.Compact(t.Context()); err != nil || !leftOut(in.blocks.(blockStore), int64(DayOf(h.end()))) {
		t.Errorf("nothing was left out: %v", err)
	}
}

// A journal that has something else of a day than its chapter may not say that it is archived.
func TestWhatDiffersIsNotProven(t *testing.T) {
	h := someDays(t)
	a := opened(t, t.TempDir())
	caughtUp(t, a, h)
	if said, err := a.Prove(t.Context(), h.source(), nil); err != nil || said.End != int64(DayOf(h.end())) {
		t.Fatalf("%+v: %v", said, err)
	}
	stray := held(99, 1, usage.Boundary{At: int64(firstDay) + aDay + 60, Evidence: usage.Observed})
	if err := h.journal.Append(t.Context(), &journal.Batch{Time: h.end(), Changes: []usage.Change{stray}}); err != nil {
		t.Fatal(err)
	}
	_, err := a.Prove(t.Context(), h.source(), nil)
	if problem, is := errors.AsType[*Problem](err); !is || problem.Fault != Unproven || problem.Object != (firstDay+aDay).manifest() {
		t.Errorf("got %v", err)
	}
}

// What a journal was cut after begins with the day that it says. An archive that has lost that day proves no other.
func TestAnArchiveThatHasLostItsFirstDayProvesNothing(t *testing.T) {
	h := someDays(t)
	a := opened(t, t.TempDir())
	caughtUp(t, a, h)
	said, err := a.Prove(t.Context(), h.source(), nil)
	if err != nil {
		t.Fatal(err)
	}
	before := *said
	before.End = before.Start + aDay
	if _, err := a.Prove(t.Context(), h.source(), &before); err != nil {
		t.Errorf("the days after the first are not proven: %v", err)
	}
	before.Start -= aDay
	_, err = a.Prove(t.Context(), h.source(), &before)
	if problem, is := errors.AsType[*Problem](err); !is || problem.Fault != Missing || problem.Object != Day(before.Start).manifest() {
		t.Errorf("got %v", err)
	}
}
