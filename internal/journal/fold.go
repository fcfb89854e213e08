package journal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"

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
//
// A whole journal may be folded without what is of no use to anybody: what ended
// by a horizon. It is dropped as it comes, so that memory is needed for what is
// left alone, and at most a quarter more. What voids or replaces a segment that
// was dropped does the same as if it had not been: there is nothing to void, and
// a Put stands for itself.
type fold struct {
	// whole tells that the journal begins here: there is nothing that a Void could void.
	whole   bool
	changes []usage.Change
	keys    map[foldKey]entry
	dead    int // how many changes are void
	// horizon is the moment by which a segment had ended, at the latest, for it to be
	// dropped, in seconds since the epoch. It never goes back.
	horizon int64
	// pruneAt is how many changes there are when it is looked for what to drop.
	pruneAt int
	hash    hasher
}

// entry is what there is of a key.
type entry struct {
	at     int32 // of its Put in changes; -1: there is none
	voided bool  // its Void is in changes
}

const (
	// void is what is left of a change that was voided.
	void = usage.ChangeKind(255)
	// pruneLeast is how many changes it takes to look for what to drop.
	pruneLeast = 4096
	// everything is the horizon of a fold that drops nothing.
	everything = math.MinInt64
)

func newFold(whole bool) *fold {
	return &fold{whole: whole, keys: map[foldKey]entry{}, horizon: everything, pruneAt: pruneLeast, hash: newHasher()}
}

func (f *fold) add(change *usage.Change) {
	expired := f.expired(change)
	if !change.HasKey() {
		if !expired {
			f.append(change)
		}
		return
	}
	key := f.hash.key(change)
	known, found := f.keys[key]
	if !found {
		known.at = -1
	}
	switch {
	case change.Kind == usage.Void:
		f.void(key, known, change)
	case expired:
		f.drop(known)
		delete(f.keys, key)
	case known.at >= 0:
		f.changes[known.at] = *change
	default:
		known.at = int32(len(f.changes))
		f.keys[key] = known
		f.append(change)
	}
}

// append comes last, once the keys are right: it may prune.
func (f *fold) append(change *usage.Change) {
	f.changes = append(f.changes, *change)
	if f.horizon != everything && len(f.changes) >= f.pruneAt {
		f.prune()
	}
}

// drop leaves nothing of a key's Put.
func (f *fold) drop(known entry) {
	if known.at >= 0 {
		f.changes[known.at] = usage.Change{Kind: void}
		f.dead++
	}
}

func (f *fold) void(key foldKey, known entry, change *usage.Change) {
	f.drop(known)
	if f.whole {
		delete(f.keys, key)
		return
	}
	again := known.voided
	f.keys[key] = entry{at: -1, voided: true}
	if !again {
		f.append(change)
	}
}

// after moves the horizon: what had ended by then is dropped. The journal is whole.
func (f *fold) after(horizon int64) { f.horizon = max(f.horizon, horizon) }

// expired tells whether the change is of no use after the horizon.
func (f *fold) expired(c *usage.Change) bool { return expired(c, f.horizon) }

func expired(c *usage.Change, horizon int64) bool {
	return c.Kind != usage.Void && !c.End.IsZero() && latestOf(c) <= horizon
}

// latestOf is the last moment that a change of what has ended is about.
func latestOf(c *usage.Change) int64 {
	_, latest := c.End.EndBounds()
	return max(latest, c.Start.At)
}

// prune lets go of what is void, or expired.
func (f *fold) prune() {
	moved := make([]int32, len(f.changes)) // to where; -1: nowhere
	n := int32(0)
	for i := range f.changes {
		if c := &f.changes[i]; c.Kind == void || f.expired(c) {
			moved[i] = -1
			continue
		}
		f.changes[n], moved[i] = f.changes[i], n
		n++
	}
	clear(f.changes[n:])
	f.changes, f.dead = f.changes[:n], 0
	f.pruneAt = max(pruneLeast, len(f.changes)+len(f.changes)/4)
	if cap(f.changes) > 2*f.pruneAt {
		f.changes = append(make([]usage.Change, 0, f.pruneAt), f.changes...)
	}
	kept := make(map[foldKey]entry, n) // one that is emptied stays as large as it was
	for key, e := range f.keys {
		if e.at >= 0 {
			e.at = moved[e.at]
		}
		if e.at >= 0 || e.voided {
			kept[key] = e
		}
	}
	f.keys = kept
}

// result is what the changes add up to. The fold is of no use afterwards.
func (f *fold) result() []usage.Change {
	f.keys = nil
	if f.dead > 0 || f.horizon != everything {
		f.changes = slices.DeleteFunc(f.changes, func(c usage.Change) bool { return c.Kind == void || f.expired(&c) })
	}
	return f.changes
}

// foldKey is a usage.SegmentKey in 16 bytes, whatever it says: the first half of
// a SHA-256. That two of ten million segments have the same one is less likely
// than 1 in 10^24. Names and UIDs may be chosen by whoever wants them to meet:
// for that he had to try 2^64 of them, and to know the process's salt.
type foldKey [16]byte

// hasher makes foldKeys.
type hasher struct{ salt, text []byte }

func newHasher() hasher {
	salt := make([]byte, 16)
	rand.Read(salt) // it never fails
	return hasher{salt: salt}
}

func (h *hasher) key(change *usage.Change) foldKey {
	s := change.Subject
	text := append(h.text[:0], h.salt...)
	for _, part := range [...]string{s.Resource.UID, s.Instance.UID, s.Container, change.Dimension.Name} {
		text = append(binary.AppendUvarint(text, uint64(len(part))), part...)
	}
	h.text = binary.BigEndian.AppendUint64(text, uint64(change.Start.At))
	sum := sha256.Sum256(h.text)
	return foldKey(sum[:len(foldKey{})])
}
