package journal

import (
	"slices"
	"unique"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// fold adds up changes in the order of the journal: the newest Put of each key,
// but for those that are void, and everything that has no key: segments of no
// length, and every Less and More.
//
// A part of the journal folds to changes that say the same as the part does,
// wherever it stands: fold(a, b, c) is fold(a, fold(b), c), to the order. For
// that, a Void is kept unless nothing comes before it, and what is put again
// after it stands where it was put again.
type fold struct {
	// whole tells that the journal begins here: there is nothing that a Void could void.
	whole   bool
	changes []usage.Change
	keys    map[foldKey]*entry
	dead    int // how many changes are void
}

// foldKey is a usage.SegmentKey in a quarter of the space.
type foldKey struct {
	holder unique.Handle[holder]
	start  int64
}

type holder struct{ resourceUID, instanceUID, container, dimension string }

type entry struct {
	at     int32 // of its Put in changes; -1: there is none
	voided bool  // its Void is in changes
}

// void is what is left of a change that was voided.
const void = usage.ChangeKind(255)

func newFold(whole bool) *fold { return &fold{whole: whole, keys: map[foldKey]*entry{}} }

func (f *fold) add(change *usage.Change) {
	if !change.HasKey() {
		f.changes = append(f.changes, *change)
		return
	}
	key := keyOf(change)
	known := f.keys[key]
	if known == nil {
		known = &entry{at: -1}
		f.keys[key] = known
	}
	switch {
	case change.Kind == usage.Put && known.at >= 0:
		f.changes[known.at] = *change
	case change.Kind == usage.Put:
		known.at = int32(len(f.changes))
		f.changes = append(f.changes, *change)
	default:
		f.void(key, known, change)
	}
}

func (f *fold) void(key foldKey, known *entry, change *usage.Change) {
	if known.at >= 0 {
		f.changes[known.at] = usage.Change{Kind: void}
		f.dead++
		known.at = -1
	}
	switch {
	case f.whole:
		delete(f.keys, key)
	case !known.voided:
		known.voided = true
		f.changes = append(f.changes, *change)
	}
}

// result is what the changes add up to. The fold is of no use afterwards.
func (f *fold) result() []usage.Change {
	f.keys = nil
	if f.dead > 0 {
		f.changes = slices.DeleteFunc(f.changes, func(c usage.Change) bool { return c.Kind == void })
	}
	return f.changes
}

func keyOf(change *usage.Change) foldKey {
	s := change.Subject
	return foldKey{start: change.Start.At, holder: unique.Make(holder{
		resourceUID: s.Resource.UID, instanceUID: s.Instance.UID, container: s.Container, dimension: change.Dimension.Name,
	})}
}
