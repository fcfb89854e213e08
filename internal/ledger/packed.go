package ledger

import (
	"hash/maphash"
	"math"
	"slices"

	"github.com/usage-operator/usage-operator/internal/lru"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// What is gone, and ended before what is still asked for, is packed: some hundred objects to a
// block, and of each a place in a table. Nothing else tells it from what is not: whatever is
// learnt of a packed object makes it what it was first, and then goes on as ever.

// packed is what is packed.
type packed struct {
	seed    maphash.Seed
	table   table
	blocks  map[uint32]*block
	number  uint32 // of the last block
	objects int
	high    int64 // nothing that is packed ended later
	spaces  map[string]map[string]int
	opened  *lru.Cache[*block, *inside]
	touched touchedIn
	pass    pass
}

// openedBytes is about how much memory opened blocks take at most.
const openedBytes = 16 << 20

// openedTimes is about how many times as much memory as its bytes an opened block takes.
const openedTimes = 8

func newPacked() packed {
	return packed{
		seed: maphash.MakeSeed(), blocks: map[uint32]*block{}, high: math.MinInt64, spaces: map[string]map[string]int{},
		opened: lru.New[*block, *inside](openedBytes),
	}
}

func (p *packed) alive(at place) bool {
	b := p.blocks[at.block()]
	return b != nil && at.object() < b.objects && !b.isGone(at.object())
}

func (p *packed) accountHash(key usage.Account) uint32 {
	return uint32(maphash.Comparable(p.seed, key))
}

// open makes a block ready to be looked into, or finds it so.
func (p *packed) open(b *block) *inside {
	if o, kept := p.opened.Get(b); kept {
		return o
	}
	o := p.unpack(b)
	p.opened.Put(b, o, len(o.bytes)*openedTimes)
	return o
}

// unpack makes a block ready to be looked into, once.
func (p *packed) unpack(b *block) *inside {
	o, err := b.open()
	if err != nil {
		panic(b.unreadable(err))
	}
	return o
}

// add enters a block, with the objects' UIDs.
func (p *packed) add(b *block, objects []*object) {
	if p.table.alive == nil {
		p.table.alive = p.alive
	}
	for used := true; used; _, used = p.blocks[p.number] {
		if p.number++; p.number == blockNumbers {
			p.number = 1
		}
	}
	b.number = p.number
	p.blocks[b.number] = b
	for i, at := range objects {
		p.table.add(maphash.String(p.seed, at.uid), placeOf(b.number, i))
	}
	for _, s := range b.spaces {
		key := s.key.Value()
		if p.spaces[key.namespace] == nil {
			p.spaces[key.namespace] = map[string]int{}
		}
		p.spaces[key.namespace][key.uid]++
	}
	p.objects += b.objects
	p.high = max(p.high, b.high)
	p.touched = touchedIn{}
}

// drop drops a block, with what is left in it.
func (p *packed) drop(b *block) {
	delete(p.blocks, b.number)
	p.opened.Drop(b)
	p.objects -= b.objects - b.taken
	for _, s := range b.spaces {
		key := s.key.Value()
		if p.spaces[key.namespace][key.uid]--; p.spaces[key.namespace][key.uid] == 0 {
			delete(p.spaces[key.namespace], key.uid)
		}
		if len(p.spaces[key.namespace]) == 0 {
			delete(p.spaces, key.namespace)
		}
	}
	if len(p.blocks) == 0 {
		p.high = math.MinInt64
	}
	p.touched = touchedIn{}
}

// recall makes what is packed of an object what it was.
func (l *Ledger) recall(uid string) {
	if l.packed.objects == 0 {
		return
	}
	p := &l.packed
	var at []place // mostly none
	p.table.find(maphash.String(p.seed, uid), func(found place) { at = append(at, found) })
	for _, found := range at {
		b := p.blocks[found.block()]
		o := p.open(b)
		if o.uid(found.object()) != uid {
			continue
		}
		b.take(found.object())
		p.objects--
		p.touched = touchedIn{}
		if b.taken == b.objects {
			p.drop(b)
		}
		l.raise(o.object(found.object()), b.forgotten)
	}
}

// forget drops what ended at or before the moment, of what is packed.
func (p *packed) forget(before int64) {
	for _, b := range p.blocks {
		switch {
		case b.high <= before:
			p.drop(b)
		case due(hourOf(b.low), before):
			b.forgotten = max(b.forgotten, before)
			p.touched = touchedIn{}
		}
	}
}

// portion is what a block had at a moment.
type portion struct {
	block *block
	gone  []uint64
}

// overlapping are the blocks in which something may be of the window.
func (p *packed) overlapping(w usage.Window) []portion {
	if p.high <= w.Start {
		return nil // so it nearly always is
	}
	var all []portion
	for _, b := range p.blocks {
		if b.overlaps(w) {
			all = append(all, portion{block: b, gone: b.gone})
		}
	}
	slices.SortFunc(all, func(a, b portion) int { return int(a.block.number) - int(b.block.number) })
	return all
}

// each calls visit with the segments that a block has, as far as they were not forgotten.
func (p *packed) each(of portion, visit func(x *packedObject, s *packedStream, c *closed)) {
	for i, x := range p.open(of.block).objects() {
		if has(of.gone, i) {
			continue
		}
		for m := range x.members {
			for j := range x.members[m].streams {
				s := &x.members[m].streams[j]
				for k := range s.ended {
					if !of.block.hides(s.ended[k].latest()) {
						visit(x, s, &s.ended[k])
					}
				}
			}
		}
	}
}

// segment is a segment that has ended, of its subject.
func (s *packedStream) segment(m *Meter, c *closed) usage.Segment {
	return usage.Segment{
		Meter: m.Name, Subject: s.subject, Dimension: m.measured[c.dimension].Of(s.subject.Of), Level: c.level,
		Start: c.startBoundary(), End: c.endBoundary(),
	}
}

// gather appends the account's segments inside the window, of what is packed.
func (p *packed) gather(segments []usage.Segment, of portion, key usage.Account, w usage.Window, now int64) []usage.Segment {
	var last *packedStream
	var subject *usage.Subject
	p.each(of, func(x *packedObject, s *packedStream, c *closed) {
		if s.subject.Account != key || c.latest() <= w.Start {
			return
		}
		if part, ok := s.segment(x.meter, c).Cut(w, now); ok {
			if s != last {
				copied := *s.subject // what is packed stays as it is, whatever becomes of this
				last, subject = s, &copied
			}
			part.Subject = subject
			segments = append(segments, part)
		}
	})
	return segments
}

// touchedIn are the accounts of which something is packed that is of a window.
type touchedIn struct {
	window   usage.Window
	accounts map[usage.Account]struct{}
}

// touches are the accounts of which something that is packed is of the window.
func (p *packed) touches(w usage.Window, now int64) map[usage.Account]struct{} {
	if p.high <= w.Start {
		return nil
	}
	if t := &p.touched; t.accounts != nil && t.window == w {
		return t.accounts
	}
	found := map[usage.Account]struct{}{}
	for _, of := range p.overlapping(w) {
		p.each(of, func(x *packedObject, s *packedStream, c *closed) {
			if _, known := found[s.subject.Account]; known {
				return
			}
			if _, ok := s.segment(x.meter, c).Cut(w, now); ok {
				found[s.subject.Account] = struct{}{}
			}
		})
	}
	p.touched = touchedIn{window: w, accounts: found}
	return found
}
