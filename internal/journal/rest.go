package journal

import (
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Rest is what merged, a merged block, adds to had, what the first of the blocks said that it stands
// for: rest after had amounts to merged. whole tells that it stands for the journal from its
// beginning on: it has no Void then, and what was put and voided later is not in it. ok is false if
// merged contradicts had.
func Rest(had, merged []usage.Change, whole bool) (rest []usage.Change, ok bool) {
	keys := map[usage.SegmentKey]bool{}
	for i := range merged {
		if merged[i].HasKey() {
			keys[merged[i].Key()] = true
		}
	}
	f := newFold(false)
	for i := range had {
		f.add(&had[i])
	}
	var first []usage.Change
	for _, c := range f.result() {
		switch {
		case !c.HasKey():
			first = append(first, c)
		case keys[c.Key()]:
		case !whole:
			return nil, false
		case c.Kind == usage.Put:
			c.Kind = usage.Void
			rest = append(rest, c)
		}
	}
	for i := range merged {
		if !merged[i].HasKey() && len(first) > 0 {
			if !same(&merged[i], &first[0]) {
				return nil, false
			}
			first = first[1:]
			continue
		}
		rest = append(rest, merged[i])
	}
	return rest, len(first) == 0
}

// same tells whether two changes say the same.
func same(a, b *usage.Change) bool {
	x, y := *a, *b
	x.Subject, y.Subject = nil, nil
	return x == y && *a.Subject == *b.Subject
}
