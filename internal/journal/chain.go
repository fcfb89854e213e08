package journal

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// clockTolerance is how far two clocks of one cluster may be apart, in seconds.
const clockTolerance = 10

// found is all that is in a store.
type found struct {
	blocks  []*block      // that are whole by themselves
	broken  map[Key]error // that are not, and why
	gaps    []Gap         // that blocks have on record
	accepts ranges        // what people accepted
	now     int64         // by the clock, in seconds since the epoch
	cluster string        // whose journal it should be; "": anybody's
	// held and heldSmall are bytes of large and of small blocks whose content is kept
	// until it is added up.
	held, heldSmall int
}

// verdict is what to make of it.
type verdict struct {
	// chain are the blocks to read, in order.
	chain []*block
	// spare are the keys of blocks that others stand for.
	spare []Key
	// problems are those that nobody accepted.
	problems []Problem
	// accepted are gaps that a person accepted, and that are not on record yet.
	accepted []Gap
	// end is the last sequence of all.
	end uint64
}

// judge decides which blocks make up the journal, and what is wrong with it.
func (f *found) judge() verdict {
	var v verdict
	var given ranges // lost, and on record
	for _, gap := range f.gaps {
		if gap.Lost {
			given = append(given, Key{From: gap.From, To: gap.To})
		}
	}
	blocks := slices.DeleteFunc(slices.Clone(f.blocks), func(b *block) bool {
		v.end = max(v.end, b.To)
		return given.has(b.Key)
	})
	for key := range f.broken {
		v.end = max(v.end, key.To)
	}
	v.chain = f.link(blocks, v.end)
	problems := f.holes(v.chain, v.end)
	problems = append(problems, f.strangers(v.chain)...)
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(a.From, b.From) })
	f.settle(&v, problems)
	v.spare = f.spare(v.chain)
	return v
}

// tile chooses blocks that do not overlap: those that leave the fewest sequences
// out; of such, the fewest blocks, because a block goes once it was merged.
func tile(blocks []*block, end uint64) []*block {
	slices.SortFunc(blocks, func(a, b *block) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(b.To, a.To)) })
	// From the end: the best choice among the blocks from each one on. first is the
	// block that the choice begins with, missing what it leaves out from there on.
	type choice struct {
		first          int
		missing, count uint64
	}
	best := make([]choice, len(blocks)+1)
	best[len(blocks)] = choice{first: len(blocks)}
	starts := func(i int) uint64 { // where the choice's first block starts
		if first := best[i].first; first < len(blocks) {
			return blocks[first].From
		}
		return end + 1
	}
	next := make([]int, len(blocks))
	for i := len(blocks) - 1; i >= 0; i-- {
		after, _ := slices.BinarySearchFunc(blocks, blocks[i].To+1, func(b *block, from uint64) int { return cmp.Compare(b.From, from) })
		next[i] = best[after].first
		with := choice{first: i, missing: starts(after) - blocks[i].To - 1 + best[after].missing, count: best[after].count + 1}
		without := best[i+1]
		// What is left out before the first block counts too.
		leftOut := starts(i+1) - blocks[i].From + without.missing
		best[i] = with
		if leftOut < with.missing || leftOut == with.missing && without.count < with.count {
			best[i] = without
		}
	}
	var chain []*block
	for i := best[0].first; i < len(blocks); i = next[i] {
		chain = append(chain, blocks[i])
	}
	return chain
}

// link chooses blocks that do not overlap, and each of which is the one that
// the next was written after. A block that is not counts as broken.
func (f *found) link(blocks []*block, end uint64) []*block {
	for {
		chain := tile(blocks, end)
		torn := func(i int) bool { // between a block and the next one
			return i+1 < len(chain) && chain[i+1].From == chain[i].To+1 &&
				chain[i+1].previous != chain[i].link && chain[i+1].previous != (Digest{})
		}
		at := slices.IndexFunc(chain, func(b *block) bool { return f.broken[b.Key] != nil })
		for i := 0; i < len(chain) && at < 0; i++ {
			if !torn(i) {
				continue
			}
			if at = i; torn(i + 1) {
				at = i + 1 // it fits neither side
			}
			b, next := chain[at], chain[at+1]
			f.broken[b.Key] = fmt.Errorf("its digest is %s, and UsageBlock %s was written after one with the digest %s", b.link, next.Key, next.previous)
		}
		if at < 0 {
			return chain
		}
		broken := chain[at]
		blocks = slices.DeleteFunc(blocks, func(b *block) bool { return b == broken })
	}
}

// holes finds the sequences that no whole block has.
func (f *found) holes(chain []*block, end uint64) []Problem {
	var lost ranges
	for _, gap := range f.gaps {
		if gap.Lost {
			lost = append(lost, Key{From: gap.From, To: gap.To})
		}
	}
	var problems []Problem
	at := uint64(1)
	hole := func(to uint64) { // from at
		for at <= to {
			p, next := f.hole(at, to)
			if !lost.has(p.Key) {
				problems = append(problems, p)
			}
			at = next
		}
	}
	for _, b := range chain {
		if b.From > at {
			hole(b.From - 1)
		}
		at = b.To + 1
	}
	hole(end)
	return problems
}

// hole is what is wrong at the beginning of a hole, and where something else begins.
func (f *found) hole(from, to uint64) (Problem, uint64) {
	until := to
	for key, err := range f.broken {
		if key.From <= from && from <= key.To {
			fault := Damaged
			switch {
			case errors.Is(err, ErrNewerFormat):
				fault = NewerFormat
			case errors.Is(err, ErrNotArchived):
				fault = NotArchived
			}
			stretch := Key{From: from, To: min(to, key.To)}
			return Problem{Fault: fault, Key: stretch, Detail: fmt.Sprintf("UsageBlock %s: %v", key, err)}, stretch.To + 1
		}
		if key.From > from {
			until = min(until, key.From-1)
		}
	}
	return Problem{Fault: Missing, Key: Key{From: from, To: until}, Detail: "there is no such UsageBlock, and there are later ones"}, until + 1
}

// strangers finds blocks that can be read, and should not be there.
func (f *found) strangers(chain []*block) []Problem {
	var problems []Problem
	add := func(p Problem) {
		if last := len(problems) - 1; last >= 0 && problems[last].Fault == p.Fault && problems[last].To+1 == p.From {
			problems[last].To = p.To
			return
		}
		problems = append(problems, p)
	}
	for _, b := range chain {
		if of := b.spec.Cluster; f.cluster != "" && of != "" && of != f.cluster {
			add(Problem{Fault: OtherCluster, Key: b.Key, Detail: fmt.Sprintf("written of the cluster %s, and this one is %s", of, f.cluster)})
		}
	}
	for _, b := range chain {
		if at := b.spec.Time.Unix(); at > f.now+clockTolerance {
			add(Problem{Fault: AheadOfClock, Key: b.Key, Detail: fmt.Sprintf("written at %s, and the clock says %s",
				b.spec.Time.UTC().Format(timeFormat), seconds(f.now).Format(timeFormat))})
		}
	}
	onRecord := ranges{}
	for _, gap := range f.gaps {
		onRecord = append(onRecord, Key{From: gap.From, To: gap.To})
	}
	return slices.DeleteFunc(problems, func(p Problem) bool { return onRecord.has(p.Key) })
}

const timeFormat = "2006-01-02T15:04:05Z07:00"

// settle divides problems into those that a person accepted and the others.
func (f *found) settle(v *verdict, problems []Problem) {
	for _, p := range problems {
		if !f.accepts.has(p.Key) {
			v.problems = append(v.problems, p)
			continue
		}
		v.accepted = append(v.accepted, f.gap(p))
	}
}

// unrecorded tells of blocks that a person accepted as lost, while no entry says so: nothing
// is answered without them, as if they had never been.
func (v *verdict) unrecorded() error {
	for _, gap := range v.accepted {
		if gap.Lost {
			return fmt.Errorf("the loss of blocks %d-%d is accepted, and no entry of the journal says so yet: the leader writes it with the next one, "+
				"unless it runs with --archive-cut and can do without these days: start it once without; %s", gap.From, gap.To, gap.Reason)
		}
	}
	return nil
}

// maxReason is how long a gap's reason may be, in bytes.
const maxReason = 1000

func (f *found) gap(p Problem) Gap {
	reason := string(p.Fault) + ": " + p.Detail
	return Gap{From: p.From, To: p.To, Accepted: f.now, Lost: p.lost(), Reason: reason[:min(len(reason), maxReason)]}
}

// spare are the blocks that are covered by one in the chain.
func (f *found) spare(chain []*block) []Key {
	var keys []Key
	isSpare := func(k Key) bool {
		at, _ := slices.BinarySearchFunc(chain, k.From, func(b *block, from uint64) int { return cmp.Compare(b.To, from) })
		return at < len(chain) && chain[at].Key != k && chain[at].covers(k)
	}
	for _, b := range f.blocks {
		if isSpare(b.Key) {
			keys = append(keys, b.Key)
		}
	}
	for key := range f.broken {
		if isSpare(key) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b Key) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	return keys
}
