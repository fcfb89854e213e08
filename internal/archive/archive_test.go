package archive

import (
	"context"
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// opened is the archive in a directory.
func opened(t testing.TB, folder string) *Archive {
	t.Helper()
	a, err := Open(t.Context(), Options{URL: "file://" + folder, Cluster: clusterA, Writes: true})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// someDays is a history of four days with something in each.
func someDays(t testing.TB) *history {
	t.Helper()
	return rapid.Custom(anyHistory).Example(3)
}

// Whatever happened, and in whichever order it was committed and merged: the chapters
// have every day that is sealed as a whole, and each one's segments amount to the day's
// seals. A journal that is restored from them has the same segments in every sealed
// interval, the same seals, corrections and coverage.
func TestChaptersSayWhatTheJournalSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHistory(t)
		in := objects{}
		a, err := open(context.Background(), in, "archive", Options{Cluster: clusterA, Writes: true})
		if err != nil {
			t.Fatal(err)
		}
		for n := -1; n != 0; {
			if n, err = a.CatchUp(context.Background(), h.source(), h.end()); err != nil {
				t.Fatal(err)
			}
		}
		first, last, some := a.Days()
		if !some || first != firstDay || last.Next() != DayOf(h.end()) {
			t.Fatalf("chapters of %s to %s, and %s is sealed", first, last, moment(h.end()))
		}
		read, err := open(context.Background(), in, "archive", Options{})
		if err != nil {
			t.Fatal(err)
		}
		size, err := read.Verify(context.Background(), func(*Manifest) {})
		if err != nil || size.Chapters != int((last-first)/aDay)+1 {
			t.Fatalf("%+v: %v", size, err)
		}

		h.compare(t, restoredFrom(t, read), last)
	})
}

// compare fails unless a journal that was restored from chapters up to a day says the
// same of what was sealed by its end.
func (h *history) compare(t *rapid.T, state *journal.State, last Day) {
	seals := slices.DeleteFunc(slices.Clone(h.seals), func(s journal.Seal) bool { return s.Interval.End > int64(last.Next()) })
	if diff := cmp.Diff(seals, state.Seals); diff != "" {
		t.Fatalf("the restored seals, want - got +:\n%s", diff)
	}
	var restored, late []usage.Change
	for _, c := range state.Segments {
		if c.Kind == usage.Put {
			restored = append(restored, c)
		} else {
			late = append(late, c)
		}
	}
	for _, seal := range seals {
		if diff := cmp.Diff(sealedParts(h.segments, seal.Interval), sealedParts(restored, seal.Interval)); diff != "" {
			t.Fatalf("%s, want - got +:\n%s", moment(seal.Interval.Start), diff)
		}
		if diff := cmp.Diff(usage.CutCoverage(h.coverage, seal.Interval), usage.CutCoverage(state.Coverage, seal.Interval)); diff != "" {
			t.Fatalf("%s, coverage, want - got +:\n%s", moment(seal.Interval.Start), diff)
		}
	}
	if diff := cmp.Diff(h.late, late, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("corrections, want - got +:\n%s", diff)
	}
}

// A chapter does not depend on when it is made: the same day's file is the same one,
// whatever happened since. Corrections that were learnt since are in a later chapter.
func TestAChapterDoesNotDependOnWhatCameAfter(t *testing.T) {
	h := someDays(t)
	late := opened(t, t.TempDir())
	caughtUp(t, late, h)
	_, last, _ := late.Days()

	again := rapid.Custom(anyHistory).Example(3)
	full := again.seals
	early := opened(t, t.TempDir())
	for day := firstDay; day <= last; day = day.Next() {
		through := int64(day.Next())
		if _, err := early.CatchUp(t.Context(), again.source(), through); err != nil {
			t.Fatal(err)
		}
	}
	if len(full) != len(h.seals) {
		t.Fatal("not the same history")
	}
	for day := firstDay; day <= last; day = day.Next() {
		a, err := late.Read(t.Context(), day)
		if err != nil {
			t.Fatal(err)
		}
		b, err := early.Read(t.Context(), day)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(a, b, cmpopts.IgnoreUnexported(Chapter{})); diff != "" {
			t.Errorf("%s, at once - day by day +:\n%s", day, diff)
		}
	}
}

// edit replaces a part of a file.
func edit(t *testing.T, name, old, by string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil || !strings.Contains(string(text), old) {
		t.Fatalf("%s has no %q: %v", name, old, err)
	}
	if err := os.WriteFile(name, []byte(strings.Replace(string(text), old, by, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// flip changes a bit of a file.
func flip(t *testing.T, name string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func manifestIn(folder string, day Day) string { return filepath.Join(folder, day.manifest()) }

func segmentsIn(t *testing.T, folder string, day Day) string {
	t.Helper()
	m, _, err := opened(t, folder).Manifest(t.Context(), day)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, m.Segments.Name)
}

// What is wrong with an archive is named, nothing is built on it, and it is said what to do.
func TestAnArchiveThatIsNotWhatItShouldBe(t *testing.T) {
	h := someDays(t)
	day := firstDay.Next()
	for name, c := range map[string]struct {
		harm   func(t *testing.T, folder string, last Day)
		fault  Fault
		object string
		opens  bool // it is found by verify alone
	}{
		"the bucket of another cluster": {
			func(t *testing.T, folder string, last Day) {
				edit(t, manifestIn(folder, last), clusterA, "another-cluster")
			}, OtherCluster, "manifests/", false},
		"written by a newer version": {
			func(t *testing.T, folder string, last Day) {
				edit(t, manifestIn(folder, last), `"format": 1`, `"format": 2`)
			}, NewerFormat, "manifests/", false},
		"a manifest between others is gone": {
			func(t *testing.T, folder string, _ Day) { remove(t, manifestIn(folder, day)) }, Missing, day.manifest(), false},
		"the last file is gone": {
			func(t *testing.T, folder string, last Day) { remove(t, segmentsIn(t, folder, last)) }, Missing, "chapters/", false},
		"an earlier file is gone": {
			func(t *testing.T, folder string, _ Day) { remove(t, segmentsIn(t, folder, day)) }, Missing, "chapters/day=2026-11-21/", true},
		"a bit of the last file": {
			func(t *testing.T, folder string, last Day) { flip(t, segmentsIn(t, folder, last)) }, Damaged, "chapters/", false},
		"a bit of an earlier file": {
			func(t *testing.T, folder string, _ Day) { flip(t, segmentsIn(t, folder, day)) }, Damaged, "chapters/day=2026-11-21/", true},
		"an earlier manifest was edited": {
			func(t *testing.T, folder string, _ Day) {
				edit(t, manifestIn(folder, day), `"sequence": `, `"sequence": 1`)
			},
			Damaged, day.Next().manifest(), true},
		"no manifest at all": {
			func(t *testing.T, folder string, last Day) {
				edit(t, manifestIn(folder, last), `"sealed"`, `"seals"`)
			}, Damaged, "manifests/", false},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			a := opened(t, folder)
			caughtUp(t, a, h)
			_, last, _ := a.Days()
			c.harm(t, folder, last)

			a, err := Open(t.Context(), Options{URL: "file://" + folder, Cluster: clusterA, Writes: true})
			if c.opens {
				if err != nil {
					t.Fatal(err)
				}
				_, err = a.Verify(t.Context(), func(*Manifest) {})
			}
			problem, is := errors.AsType[*Problem](err)
			if !is || problem.Fault != c.fault || !strings.HasPrefix(problem.Object, c.object) {
				t.Fatalf("got %v, want %s of %s", err, c.fault, c.object)
			}
			if text := err.Error(); !strings.Contains(text, folder) || !strings.HasSuffix(text, problem.Remedy()) {
				t.Errorf("it does not say where, or what to do: %s", text)
			}
		})
	}
}

// A journal that does not go on where the archive ends is refused: it was restored from
// an older snapshot, it is another one, or it was sealed otherwise since.
func TestAJournalThatTheArchiveDoesNotContinue(t *testing.T) {
	folder := t.TempDir()
	h := someDays(t)
	caughtUp(t, opened(t, folder), h)
	_, last, _ := opened(t, folder).Days()
	further := int64(last.Next().Next())

	kept := func(until int64, changes ...usage.Change) *history {
		other, err := newHistory()
		if err != nil {
			t.Fatal(err)
		}
		if err := other.advance(until, changes, nil); err != nil {
			t.Fatal(err)
		}
		return other
	}
	for name, c := range map[string]struct {
		journal *history
		want    Fault
	}{
		"an older snapshot":     {kept(began + aDay), JournalBehind},
		"nothing is in it":      {kept(began), JournalBehind},
		"it was sealed as else": {kept(further, held(1, 7, usage.Boundary{At: began, Evidence: usage.Observed})), Forked},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := opened(t, folder).CatchUp(t.Context(), c.journal.source(), further)
			problem, is := errors.AsType[*Problem](err)
			if n != 0 || !is || problem.Fault != c.want {
				t.Errorf("%d chapters were written, and got %v", n, err)
			}
		})
	}
}

// A journal whose segments are not what their day was sealed with is not archived: what
// is in the archive adds up.
func TestASealThatDoesNotAddUpIsNotArchived(t *testing.T) {
	h, err := newHistory()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.advance(began+3600, []usage.Change{held(1, 4, usage.Boundary{At: began, Evidence: usage.Observed})}, nil); err != nil {
		t.Fatal(err)
	}
	h.segments[0].Level++ // what is sealed from now on is of another level
	if err := h.advance(began+2*aDay, nil, nil); err != nil {
		t.Fatal(err)
	}
	a := opened(t, t.TempDir())
	n, err := a.CatchUp(t.Context(), h.source(), h.end())
	problem, is := errors.AsType[*Problem](err)
	if _, _, some := a.Days(); n != 0 || some || !is || problem.Fault != Unproven || !strings.Contains(problem.Detail, "2026-11-20T07:00:00Z") {
		t.Errorf("%d chapters, %v", n, err)
	}
}

// Where a person accepted that a part of the journal is lost, what is left is archived,
// and the chapter says of which intervals that is not all.
func TestWhatTheJournalLostIsMarked(t *testing.T) {
	h, err := newHistory()
	if err != nil {
		t.Fatal(err)
	}
	since := func(n int, after int64) usage.Change {
		return held(n, 4, usage.Boundary{At: began + after, Evidence: usage.Observed})
	}
	for _, batch := range []struct {
		until   int64
		changes []usage.Change
	}{
		{began + 3600, []usage.Change{since(1, 0)}},
		{began + 3900, []usage.Change{since(2, 3600)}}, // no interval ends with it
		{began + 2*aDay, []usage.Change{since(3, 4000)}},
	} {
		if err := h.advance(batch.until, batch.changes, nil); err != nil {
			t.Fatal(err)
		}
	}
	delete(h.blocks, journal.Key{From: 2, To: 2})
	intact := h.blocks[journal.Key{From: 1, To: 1}]
	intact.Accepts = "2"
	h.blocks[intact.Key] = intact
	h.journal = journalIn(h.blocks)
	if _, err := h.journal.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.journal.Append(t.Context(), &journal.Batch{Time: h.end()}); err != nil {
		t.Fatal(err)
	}

	a := opened(t, t.TempDir())
	caughtUp(t, a, h)

	if _, err := a.Verify(t.Context(), func(*Manifest) {}); err != nil {
		t.Error(err)
	}
	c, err := a.Read(t.Context(), firstDay)
	if err != nil {
		t.Fatal(err)
	}
	if _, whole := c.Incomplete[c.Seals[0].Interval.Start]; whole || len(c.Incomplete) != len(c.Seals)-1 {
		t.Errorf("of %d intervals these are marked: %v", len(c.Seals), c.Incomplete)
	}
}

// A day that does not fit into memory is not archived, and it is said how much it takes;
// several days that do not fit at once are archived one after the other.
func TestADayThatDoesNotFitIntoMemory(t *testing.T) {
	h := someDays(t)
	folder := t.TempDir()
	caughtUp(t, opened(t, folder), h)
	rows := 0
	if _, err := opened(t, folder).Verify(t.Context(), func(m *Manifest) { rows = max(rows, m.Segments.Rows) }); err != nil {
		t.Fatal(err)
	}
	for most, fits := range map[int]bool{1: false, 2*rows + len(h.late): true} {
		a := opened(t, t.TempDir())
		from := h.source()
		from.Most = most
		n, err := a.CatchUp(t.Context(), from, h.end())
		_, large := errors.AsType[*TooLargeError](err)
		if fits != (err == nil && n > 0) || fits == large {
			t.Errorf("at most %d segments: %d chapters, %v", most, n, err)
		}
	}
}

// What is exported of all days adds up to what was held in them, and was corrected.
func TestAnExportAddsUp(t *testing.T) {
	h := someDays(t)
	a := opened(t, t.TempDir())
	caughtUp(t, a, h)
	first, last, _ := a.Days()

	want := map[string]int64{}
	for _, s := range h.segments {
		want[s.Subject.Namespace] += s.Level * s.Part(usage.Window{Start: int64(first), End: int64(last.Next())}).Seconds()
	}
	for _, c := range h.late {
		want[c.Subject.Namespace] -= c.Level * (c.End.At - c.Start.At)
	}
	var out strings.Builder
	if err := a.Export(t.Context(), &out, first-aDay, last.Next()); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(out.String())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, row := range rows[1:] {
		amount, err := strconv.ParseInt(row[len(row)-1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		got[row[slices.Index(rows[0], "namespace")]] += amount
	}
	if len(h.late) == 0 || len(rows) < 10 {
		t.Fatalf("%d corrections, %d rows: the history is of no use", len(h.late), len(rows))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("base-unit-seconds by namespace, want - got +:\n%s", diff)
	}

	var none strings.Builder
	if err := a.Export(t.Context(), &none, last.Next(), last.Next()); err != nil || strings.Count(none.String(), "\n") != 1 {
		t.Errorf("of days that there are none of: %q, %v", none.String(), err)
	}
}
