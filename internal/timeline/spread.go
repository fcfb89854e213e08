package timeline

import (
	"cmp"
	"context"
	"hash/maphash"
	"math"
	"slices"
	"strings"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// spread estimates how many groups a query has, and how they are distributed in their
// order, from a sample of fixed size. Each group has a hash, and the groups with the
// smallest hashes are the sample (k minimum values): each group is as likely to be in
// it as any other, whatever its number of segments, and the largest hash of the sample
// gives the number of groups.
type spread struct {
	seed  maphash.Seed
	kept  map[uint64][]label
	bound uint64 // hashes above it are not in the sample
}

// sampled is how many groups a sample has.
const sampled = 2048

func newSpread(seed maphash.Seed) *spread {
	return &spread{seed: seed, kept: map[uint64][]label{}, bound: math.MaxUint64}
}

// wants tells whether a group is in the sample for now, and is not there yet.
func (s *spread) wants(hash uint64) bool {
	return hash <= s.bound && s.kept[hash] == nil
}

func (s *spread) add(hash uint64, labels []label) {
	s.kept[hash] = labels
	if len(s.kept) < 2*sampled {
		return
	}
	hashes := s.hashes()
	for _, hash := range hashes[sampled:] {
		delete(s.kept, hash)
	}
	s.bound = hashes[sampled-1]
}

func (s *spread) hashes() []uint64 {
	hashes := make([]uint64, 0, len(s.kept))
	for hash := range s.kept {
		hashes = append(hashes, hash)
	}
	slices.Sort(hashes)
	return hashes
}

// groups is how many there are: exactly, if they are few, and to some percent otherwise.
func (s *spread) groups() int {
	if len(s.kept) < sampled {
		return len(s.kept)
	}
	largest := s.hashes()[sampled-1]
	return int(float64(sampled-1) / (float64(largest) / math.MaxUint64))
}

// cuts are labels that divide the groups into so many ranges of about as many: each is
// the last of its range.
func (s *spread) cuts(ranges int) [][]label {
	var all, cuts [][]label
	for _, labels := range s.kept {
		all = append(all, labels)
	}
	slices.SortFunc(all, compareLabels)
	for i := 1; i < ranges && len(all) > 0; i++ {
		if cut := all[min(len(all)-1, i*len(all)/ranges)]; len(cuts) == 0 || compareLabels(cuts[len(cuts)-1], cut) < 0 {
			cuts = append(cuts, cloneLabels(cut))
		}
	}
	return cuts
}

// cloneLabels are labels to be kept: names of what has ended are parts of a text that
// would be kept as a whole.
func cloneLabels(labels []label) []label {
	copied := make([]label, len(labels))
	for i := range labels {
		copied[i] = label{strings.Clone(labels[i].value), strings.Clone(labels[i].uid)}
	}
	return copied
}

// spread looks at the groups of what may matter to a window.
func (t *Tally) spread(ctx context.Context, s *Snapshot, w usage.Window, seed maphash.Seed) (*spread, error) {
	found := newSpread(seed)
	looked := 0
	var failed error
	done := func() bool {
		if looked++; looked%lookedAtOnce == 0 && failed == nil {
			failed = pause(ctx)
		}
		return failed != nil
	}
	frozen := map[int]spreadOf{}
	s.since(w.Start, func(id int, c *class) {
		if done() || !t.query.matches(&c.words) {
			return
		}
		labels := t.appendLabels(nil, &c.words, &anybody)
		common := appendJoined(nil, labels)
		if !t.grouping.byHolder {
			if hash := maphash.Bytes(seed, common); found.wants(hash) {
				found.add(hash, labels)
			}
			return
		}
		of := spreadOf{class: c, common: string(common)}
		if c.hasCold(w) {
			frozen[id] = of
		}
		c.each(w, t.spreading(found, of, done))
	})
	if len(frozen) > 0 {
		err := s.cold.eachIn(ctx, w, func(id int) bool { return frozen[id].class != nil }, func(id int, c *chunk) {
			c.each(w, t.spreading(found, frozen[id], done))
		})
		if err != nil {
			return nil, err
		}
	}
	return found, cmp.Or(failed, ctx.Err())
}

// spreadOf is a class, and what its groups have in common.
type spreadOf struct {
	*class
	common string
}

// spreading looks at the groups of a class, by holder.
func (t *Tally) spreading(found *spread, c spreadOf, done func() bool) func(who, span) {
	asked := map[uint64]bool{}
	return func(of who, _ span) {
		if done() || asked[of.number()] {
			return
		}
		asked[of.number()] = true
		h := of.holder()
		if !t.query.holds(h) {
			return
		}
		hash := maphash.Comparable(found.seed, inCommon{c.common, t.identity(h)})
		if found.wants(hash) {
			found.add(hash, t.appendLabels(nil, &c.words, h))
		}
	}
}

// inCommon is a holder of what has the same labels but for who holds it.
type inCommon struct {
	common string
	identity
}

// groupRange are groups in a row: those after low, up to high; nil is no bound.
type groupRange struct{ low, high []label }

// has tells whether a group is in the range.
func (r *groupRange) has(labels []label) bool {
	return (r.low == nil || compareLabels(labels, r.low) > 0) && (r.high == nil || compareLabels(labels, r.high) <= 0)
}

// mayHave tells whether groups may be in the range that have these labels first.
func (r *groupRange) mayHave(first []label) bool {
	n := len(first)
	return (r.low == nil || compareLabels(first, r.low[:n]) >= 0) && (r.high == nil || compareLabels(first, r.high[:n]) <= 0)
}

// rangeOf is a range of those that cuts make, by its number.
func rangeOf(cuts [][]label, i int) groupRange {
	var r groupRange
	if i > 0 {
		r.low = cuts[i-1]
	}
	if i < len(cuts) {
		r.high = cuts[i]
	}
	return r
}

// rangeWith is the number of the range that labels are in.
func rangeWith(cuts [][]label, labels []label) int {
	i, _ := slices.BinarySearchFunc(cuts, labels, compareLabels)
	return i
}
