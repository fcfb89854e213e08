package ledger

import (
	"maps"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// pass is a look at all that is gone, by which what may be is packed.
type pass struct {
	under bool
	left  int                              // so many are to be looked at
	found map[int64]map[*account][]*object // by the hours in which they ended
	ready []*object                        // of one hour, account by account
}

const (
	// lookedAtOnce is how many objects are looked at, at a time.
	lookedAtOnce = 2048
	// sortedAtOnce is how many accounts are put in order, at a time: of more, the objects of each
	// lie together, in any order.
	sortedAtOnce = 2048
)

// Pack compresses the segments of objects that are gone, and ended at or before the moment, in
// seconds since the epoch. Answers stay the same, and cost more where they are of these. It does some
// hundred objects at a time, so that others use the ledger in between, and tells whether
// something is left.
func (l *Ledger) Pack(before int64) (left bool) {
	p := &l.packed.pass
	if !p.under {
		*p = pass{under: true, left: l.past.count, found: map[int64]map[*account][]*object{}}
	}
	if p.left > 0 {
		l.look(before)
		return true
	}
	if len(p.ready) == 0 && !p.next() {
		*p = pass{}
		return false
	}
	l.packSome(before)
	return true
}

// look looks at what is gone, some of it.
func (l *Ledger) look(before int64) {
	p := &l.packed.pass
	p.left = min(p.left, l.past.count)
	for range min(p.left, lookedAtOnce) {
		p.left--
		at := l.past.first
		l.past.unlink(at)
		l.past.link(at)
		if ended, is := l.packable(at, before); is {
			p.add(at, hourOf(ended))
		}
	}
}

// add notes that an object can be packed.
func (p *pass) add(at *object, hour int64) {
	if p.found[hour] == nil {
		p.found[hour] = map[*account][]*object{}
	}
	a := at.oneAccount()
	p.found[hour][a] = append(p.found[hour][a], at)
}

// oneAccount is an account that the object has something under.
func (at *object) oneAccount() *account {
	for m := at.members; m != nil; m = m.next {
		if m.newest != nil {
			return m.newest.account
		}
	}
	return nil
}

// next makes the objects of the oldest hour ready; false: there are none.
func (p *pass) next() bool {
	if len(p.found) == 0 {
		return false
	}
	hour := slices.Min(slices.Collect(maps.Keys(p.found)))
	accounts := p.found[hour]
	delete(p.found, hour)
	keys := slices.Collect(maps.Keys(accounts))
	if len(keys) <= sortedAtOnce {
		slices.SortFunc(keys, func(a, b *account) int { return usage.CompareAccounts(a.key, b.key) })
	}
	for _, a := range keys {
		p.ready = append(p.ready, accounts[a]...)
	}
	return true
}

// packable tells whether an object can be packed: it is gone, and everything of it ended at or
// before the moment. ended is when the last did.
func (l *Ledger) packable(at *object, before int64) (ended int64, is bool) {
	if !at.gone || at.went == 0 || at.ended > hourOf(before) {
		return 0, false
	}
	note := func(moment int64) { ended, is = max(ended, moment), true }
	at.eachStream(func(s *stream) {
		for i := range s.ended {
			note(s.ended[i].latest())
		}
	})
	for _, c := range l.corrected[at] {
		note(c.end.At)
	}
	return ended, is && ended <= before
}

// packSome packs a block of what is ready.
func (l *Ledger) packSome(before int64) {
	p := &l.packed.pass
	w := l.newPacker()
	var objects []*object
	for len(p.ready) > 0 && !w.isFull() {
		at := p.ready[0]
		p.ready = p.ready[1:]
		if _, is := l.packable(at, before); !is { // it was learnt meanwhile that it is otherwise
			continue
		}
		w.add(at)
		objects = append(objects, at)
		l.detach(at)
	}
	if len(objects) > 0 {
		l.packed.add(w.pack(), objects)
	}
}

// detach takes an object out of the ledger. It stays as it is for those who have it still: what
// was taken for the journal, and what is gathered.
func (l *Ledger) detach(at *object) {
	l.past.remove(at)
	at.eachStream(func(s *stream) {
		s.leave()
		l.closeAccount(s.account)
	})
	delete(l.corrected, at)
	l.ends.drop(at)
}

// within notes, of what is packed, the UIDs of objects that a namespace may take over: see
// Ledger.Within.
func (p *packed) within(namespace, otherThan string, created int64, found map[string]struct{}) {
	uids := p.spaces[namespace]
	if _, own := uids[otherThan]; len(uids) == 0 || own && len(uids) == 1 {
		return
	}
	for _, b := range p.blocks {
		if !slices.ContainsFunc(b.spaces, func(s space) bool {
			key := s.key.Value()
			return key.namespace == namespace && key.uid != otherThan && s.young >= created
		}) {
			continue
		}
		for i, x := range p.open(b).objects() {
			if b.isGone(i) {
				continue
			}
			for m := range x.members {
				if slices.ContainsFunc(x.members[m].streams, func(s packedStream) bool {
					return s.subject.Namespace == namespace && s.subject.NamespaceUID != otherThan
				}) {
					found[x.uid] = struct{}{}
				}
			}
		}
	}
}

// KeysIn appends the accounts of which something is, or may be, of the window, in no particular
// order: all of what is not packed, and those of what is.
func (l *Ledger) KeysIn(keys []usage.Account, w usage.Window) []usage.Account {
	keys = l.Keys(keys)
	if l.packed.high <= w.Start {
		return keys
	}
	more := map[usage.Account]struct{}{}
	for _, of := range l.packed.overlapping(w) {
		l.packed.each(of, func(_ *packedObject, s *packedStream, c *closed) {
			if l.accounts[s.subject.Account] == nil && c.latest() > w.Start {
				more[s.subject.Account] = struct{}{}
			}
		})
	}
	for key := range more {
		keys = append(keys, key)
	}
	return keys
}
