package archive

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

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
	if err := o.compact(); !errors.Is(err, journal.ErrNotArchived) || !strings.Contains(err.Error(), manifest) {
		t.Fatalf("got %v", err)
	}
	if leftOut(in.blocks.(blockStore), int64(DayOf(h.end()))) {
		t.Error("something was left out")
	}
	there[manifest] = content
	if err := o.compact(); err != nil || !leftOut(in.blocks.(blockStore), int64(DayOf(h.end()))) {
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

// What had ended before the retention is not read to write the journal: it may be lost, or
// away, and the journal is written all the same. Its manifest is read, which has the seals.
func TestWhatIsOnlyInTheArchiveIsNotNeededToWrite(t *testing.T) {
	blocks, there, says := cutLedger(t)
	clock := clocktesting.NewFakeClock(time.Unix(says["time"].(int64), 0))
	options := journal.Options{Past: pastIn{there}, Retention: aDay / 2, Clock: clock}
	want, err := site{blocks: blocks}.journal(options).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m, err := parseManifest(there[firstDay.manifest()])
	if err != nil {
		t.Fatal(err)
	}
	delete(there, m.Segments.Name)
	if _, err := (site{blocks: blocks}).journal(options).Load(t.Context()); !isDamage(err) {
		t.Errorf("all that is archived is read, and it is not: %v", err)
	}
	options.Lately = true
	got, err := site{blocks: blocks}.journal(options).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(said(want), said(got)); diff != "" {
		t.Errorf("want - got +:\n%s", diff)
	}
	delete(there, firstDay.manifest())
	if _, err := (site{blocks: blocks}).journal(options).Load(t.Context()); !isDamage(err) {
		t.Errorf("a manifest is not there, and it is not missed: %v", err)
	}
}

func isDamage(err error) bool {
	_, is := errors.AsType[*journal.DamageError](err)
	return is
}
