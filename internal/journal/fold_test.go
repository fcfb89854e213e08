package journal

import (
	"cmp"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/usage"
)

func folded(whole bool, changes ...[]usage.Change) []usage.Change {
	f := newFold(whole)
	for i := range changes {
		for j := range changes[i] {
			f.add(&changes[i][j])
		}
	}
	return f.result()
}

// What a part of the journal folds to says the same as the part, wherever it stands.
func TestAPartMayBeFoldedFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.SliceOfN(someChange(), 0, 12)
		before, middle, after := part.Draw(t, "before"), part.Draw(t, "middle"), part.Draw(t, "after")
		want := folded(true, before, middle, after)
		for name, got := range map[string][]usage.Change{
			"the first":  folded(true, folded(true, before), middle, after),
			"the middle": folded(true, before, folded(false, middle), after),
			"the last":   folded(true, before, middle, folded(false, after)),
			"two":        folded(true, before, folded(false, folded(false, middle), after)),
		} {
			if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("%s folded first: want -, got +:\n%s", name, diff)
			}
		}
	})
}

// The oracle: every change in turn, in the plainest way.
func TestFoldIsTheNewestOfEachKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		changes := rapid.SliceOfN(someChange(), 0, 30).Draw(t, "changes")
		var want []usage.Change
		for _, c := range changes {
			at := slices.IndexFunc(want, func(w usage.Change) bool { return w.Kind == usage.Put && w.HasKey() && w.Key() == c.Key() })
			switch {
			case !c.HasKey() || c.Kind == usage.Put && at < 0:
				want = append(want, c)
			case c.Kind == usage.Put:
				want[at] = c
			case at >= 0:
				want = slices.Delete(want, at, at+1)
			}
		}
		if diff := gocmp.Diff(want, folded(true, changes), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("want -, got +:\n%s", diff)
		}
	})
}

func TestAVoidIsKeptWhereItMayVoidSomething(t *testing.T) {
	put := usage.Change{Segment: usage.Segment{Subject: &usage.Subject{}, Start: usage.Boundary{At: 1}}}
	voided := put
	voided.Kind = usage.Void
	if got := folded(false, []usage.Change{put, voided}); len(got) != 1 || got[0].Kind != usage.Void {
		t.Errorf("in the middle: got %v", got)
	}
	if got := folded(true, []usage.Change{put, voided}); len(got) != 0 {
		t.Errorf("at the beginning: got %v", got)
	}
}

// With a horizon, what is left out is what had ended by then, and nothing else: of
// however many changes, whenever it moves, and whatever comes later of a segment
// that was left out.
func TestFoldLeavesOutWhatHadEnded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		changes := rapid.SliceOfN(someChange(), 0, 60).Draw(t, "changes")
		f := newFold(true)
		f.pruneAt = rapid.IntRange(1, 8).Draw(t, "prune at")
		horizon := int64(0)
		for i := range changes {
			if rapid.IntRange(0, 3).Draw(t, "move") == 0 {
				horizon = max(horizon, rapid.Int64Range(0, 6).Draw(t, "horizon"))
				f.after(horizon)
			}
			if rapid.IntRange(0, 3).Draw(t, "prune") == 0 {
				f.prune()
			}
			f.add(&changes[i])
		}
		f.after(horizon)
		got := f.result()

		want := slices.DeleteFunc(folded(true, changes), func(c usage.Change) bool {
			_, latest := c.End.EndBounds()
			return !c.End.IsZero() && max(c.Start.At, latest) <= horizon
		})
		// What was left out and came again stands where it came again.
		inOrder := func(list []usage.Change) []usage.Change {
			return slices.SortedStableFunc(slices.Values(list), func(a, b usage.Change) int {
				return cmp.Or(cmp.Compare(a.Kind, b.Kind), a.Compare(b.Segment))
			})
		}
		if diff := gocmp.Diff(inOrder(want), inOrder(got), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("after %d: want -, got +:\n%s", horizon, diff)
		}
	})
}

// A fold keeps about what is left, and not what there ever was.
func TestFoldLetsGoOfWhatHadEnded(t *testing.T) {
	f := newFold(true)
	for at := range int64(50 * pruneLeast) {
		f.after(at - 100)
		put := usage.Change{Segment: usage.Segment{
			Subject: &usage.Subject{}, Start: usage.Boundary{At: at, Evidence: usage.Observed}, End: usage.Boundary{At: at + 1, Evidence: usage.Observed},
		}}
		f.add(&put)
		if len(f.changes) > pruneLeast || len(f.keys) > pruneLeast {
			t.Fatalf("after %d changes it keeps %d, and %d keys", at, len(f.changes), len(f.keys))
		}
	}
	if got := f.result(); len(got) != 101 {
		t.Errorf("%d are left, want those that ended in the last 100 s, which are 101", len(got))
	}
}

// Keys are told apart by every part, and by where one part ends and the next begins.
func TestFoldKeys(t *testing.T) {
	h := newHasher()
	seen := map[foldKey]usage.SegmentKey{}
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom([]string{"", "a", "b", "ab", "\x01a", "\x00"})
		c := &usage.Change{Segment: usage.Segment{
			Subject: &usage.Subject{
				Resource: usage.Object{UID: word.Draw(t, "resource")}, Instance: usage.Object{UID: word.Draw(t, "instance")}, Container: word.Draw(t, "container"),
			},
			Dimension: usage.Dimension{Name: word.Draw(t, "dimension")}, Start: usage.Boundary{At: rapid.Int64Range(-1, 1).Draw(t, "start")},
		}}
		key := h.key(c)
		if other, known := seen[key]; known && other != c.Key() {
			t.Fatalf("%+v and %+v have one key", other, c.Key())
		}
		seen[key] = c.Key()
	})
}
