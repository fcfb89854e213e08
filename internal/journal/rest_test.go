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

// Who has the first of some blocks, and takes what the merged one says beyond them, has what
// all of them say; however often that happens.
func TestRest(t *testing.T) {
	// The order of what has a key does not matter, and that of all else does.
	inOrder := func(list []usage.Change) (keyed, final []usage.Change) {
		for _, c := range list {
			if c.HasKey() {
				keyed = append(keyed, c)
				continue
			}
			final = append(final, c)
		}
		slices.SortStableFunc(keyed, func(a, b usage.Change) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), a.Compare(b.Segment)) })
		return keyed, final
	}
	rapid.Check(t, func(t *rapid.T) {
		some := func(name string) []usage.Change { return rapid.SliceOfN(someChange(), 0, 12).Draw(t, name) }
		before := some("before")
		whole := len(before) == 0
		all := slices.Clone(before)
		has := slices.Clone(before) // what somebody has who takes the rest
		var since, taken []usage.Change
		for range rapid.IntRange(1, 3).Draw(t, "merges") {
			had, later := some("had"), some("later")
			all = slices.Concat(all, had, later)
			since = slices.Concat(since, had, later)
			has, taken = append(has, had...), append(taken, had...)
			rest, ok := Rest(taken, folded(whole, since), whole)
			if !ok {
				t.Fatal("the merged block does not begin as what it stands for")
			}
			has, taken = append(has, rest...), append(taken, rest...)
		}
		wantKeyed, wantFinal := inOrder(folded(true, all))
		gotKeyed, gotFinal := inOrder(folded(true, has))
		if diff := gocmp.Diff(wantKeyed, gotKeyed, cmpopts.EquateEmpty()) + gocmp.Diff(wantFinal, gotFinal, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("want -, got +:\n%s", diff)
		}
	})
}

// A block that does not begin with what is there is none that stands for it.
func TestRestOfAnother(t *testing.T) {
	put := func(uid string, level int64) usage.Change {
		return usage.Change{Segment: usage.Segment{
			Subject: &usage.Subject{Resource: usage.Object{UID: uid}}, Level: level, Start: usage.Boundary{At: 1, Evidence: usage.Observed},
		}}
	}
	less := put("a", 1)
	less.Kind, less.End = usage.Less, usage.Boundary{At: 2, Evidence: usage.Observed}
	other := less
	other.Level = 2
	for name, c := range map[string]struct {
		had, merged []usage.Change
		whole       bool
	}{
		"a segment is gone":         {had: []usage.Change{put("a", 1)}, merged: []usage.Change{put("b", 1)}},
		"a correction is gone":      {had: []usage.Change{less}, merged: []usage.Change{put("a", 1)}, whole: true},
		"a correction is another":   {had: []usage.Change{less}, merged: []usage.Change{other}, whole: true},
		"there are corrections too": {had: []usage.Change{less, less}, merged: []usage.Change{less}},
	} {
		if rest, ok := Rest(c.had, c.merged, c.whole); ok {
			t.Errorf("%s: the rest is %v", name, rest)
		}
	}
}
