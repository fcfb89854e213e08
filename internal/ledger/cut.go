package ledger

import (
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Cut is what the account held inside the window, in canonical order. Segments
// that are open stay open when the window reaches past now; their figures reach
// to now.
func (l *Ledger) Cut(key usage.Account, w usage.Window, now int64) []usage.Segment {
	var g Gathering
	l.Gather(&g, key, w, now)
	segments, _ := g.Next(nil, math.MaxInt)
	slices.SortFunc(segments, usage.Segment.Compare)
	return segments
}

// Size is how many accounts have, or may have, segments.
func (l *Ledger) Size() int { return len(l.accounts) }

// Keys appends these accounts, in no particular order.
func (l *Ledger) Keys(keys []usage.Account) []usage.Account {
	return slices.AppendSeq(keys, maps.Keys(l.accounts))
}

// Accounts are those with usage inside the window, in order. What is open
// counts when it began before now.
func (l *Ledger) Accounts(w usage.Window, now int64) []usage.Account {
	keys := l.Touched(l.KeysIn(nil, w), w, now)
	slices.SortFunc(keys, usage.CompareAccounts)
	return keys
}

// Touched are those of the accounts with usage inside the window, in keys' own room.
func (l *Ledger) Touched(keys []usage.Account, w usage.Window, now int64) []usage.Account {
	packed := l.packed.touches(w, now)
	return slices.DeleteFunc(keys, func(key usage.Account) bool {
		if _, is := packed[key]; is {
			return false
		}
		a := l.accounts[key]
		return a == nil || !a.touches(w, now)
	})
}

func (a *account) touches(w usage.Window, now int64) bool {
	inside := func(segment usage.Segment) bool {
		_, ok := segment.Cut(w, now)
		return ok
	}
	for s := a.streams; s != nil; s = s.next {
		for i := range s.open {
			if s.open[i].level != 0 && inside(s.segment(i)) {
				return true
			}
		}
	}
	if a.latest <= w.Start {
		return false
	}
	for s := a.streams; s != nil; s = s.next { // the newest first, which are asked for most
		for i := range s.ended {
			if inside(s.segmentOf(&s.ended[i])) {
				return true
			}
		}
	}
	return false
}

// Within are the objects, by UID and in order, of which the ledger has segments
// under the namespace's name, and under another UID than that. Those that were created
// before the moment, at which the one of that UID was, or that a known namespace held
// before it, are not among them: nothing is older than its namespace, and nothing outlives
// it, whether its end was seen yet or not.
func (l *Ledger) Within(namespace, otherThan string, created int64) []string {
	found, former := map[string]struct{}{}, map[string]struct{}{}
	look := func(s *stream) {
		key := &s.account.key
		if key.Namespace != namespace || key.NamespaceUID == otherThan {
			return
		}
		found[s.object.uid] = struct{}{}
		older := s.object.created != 0 && s.object.created < created
		if key.NamespaceUID != "" && (older || s.heldBefore(created)) {
			former[s.object.uid] = struct{}{}
		}
	}
	for key, a := range l.accounts {
		if key.Namespace != namespace || key.NamespaceUID == otherThan {
			continue
		}
		for s := a.streams; s != nil; s = s.next {
			look(s)
		}
	}
	l.lookAgain(namespace, otherThan, created, maps.Keys(found), look)
	maps.DeleteFunc(found, func(uid string, _ struct{}) bool { _, was := former[uid]; return was })
	return slices.Sorted(maps.Keys(found))
}

// lookAgain looks at all that there is of the objects, for another meter may have had them, too,
// and at what is packed that Within may be about.
func (l *Ledger) lookAgain(namespace, otherThan string, created int64, uids iter.Seq[string], look func(*stream)) {
	if l.packed.objects == 0 {
		return
	}
	again := map[string]struct{}{}
	l.packed.within(namespace, otherThan, created, again)
	for uid := range uids {
		again[uid] = struct{}{}
	}
	for uid := range again {
		for _, at := range l.all(uid) {
			at.eachStream(look)
		}
	}
}

// heldBefore tells whether the stream held anything before the moment.
func (s *stream) heldBefore(moment int64) (held bool) {
	s.pieces(math.MinInt64, func(_ uint32, p piece) { held = held || p.start.At < moment })
	return held
}

// Changed are the accounts whose segments changed since it was last called.
func (l *Ledger) Changed() []usage.Account {
	keys := make([]usage.Account, 0, len(l.changed))
	for _, a := range l.changed {
		a.changed = false
		keys = append(keys, a.key)
		l.closeAccount(a)
	}
	l.changed = l.changed[:0]
	return keys
}

// Seal closes the interval for good. Intervals are sealed in order.
func (l *Ledger) Seal(interval usage.Window) {
	if interval.End > l.sealed {
		l.sealed = interval.End
		l.seals = append(l.seals, interval.Start)
	}
}

// Sealed is the end of the last sealed interval.
func (l *Ledger) Sealed() int64 { return l.sealed }

// Late is how many changes were learnt after their interval was sealed.
func (l *Ledger) Late() int64 { return l.late }
