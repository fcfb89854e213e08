package journal

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
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
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
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
		if diff := cmp.Diff(want, folded(true, changes), cmpopts.EquateEmpty()); diff != "" {
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
