package ledger

import (
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Cut is what the account held inside the window, in canonical order. Segments
// that are open stay open when the window reaches past now; their figures reach
// to now.
func (l *Ledger) Cut(key usage.Account, w usage.Window, now int64) []usage.Segment {
	a := l.accounts[key]
	if a == nil {
		return nil
	}
	var segments []usage.Segment
	subjects := map[*stream]*usage.Subject{}
	add := func(of *stream, segment usage.Segment) {
		part, ok := segment.Cut(w, now)
		if !ok {
			return
		}
		if subjects[of] == nil {
			subjects[of] = of.subject()
		}
		part.Subject = subjects[of]
		segments = append(segments, part)
	}
	for i := range a.closed {
		add(a.closed[i].of, a.closed[i].segment())
	}
	a.eachOpen(add)
	slices.SortFunc(segments, usage.Segment.Compare)
	return segments
}

func (a *account) eachOpen(visit func(*stream, usage.Segment)) {
	for s := a.streams; s != nil; s = s.next {
		for i := range s.open {
			if s.open[i].level != 0 {
				visit(s, s.segment(i))
			}
		}
	}
}

// Accounts are those with usage inside the window, in order. What is open
// counts when it began before now.
func (l *Ledger) Accounts(w usage.Window, now int64) []usage.Account {
	var keys []usage.Account
	for key, a := range l.accounts {
		if a.touches(w, now) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, usage.CompareAccounts)
	return keys
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
	// The newest are at the end, and asked for most.
	for i := len(a.closed) - 1; i >= 0; i-- {
		if inside(a.closed[i].segment()) {
			return true
		}
	}
	return false
}

// Changed are the accounts whose segments changed since it was last called.
func (l *Ledger) Changed() []usage.Account {
	keys := make([]usage.Account, 0, len(l.changed))
	for _, a := range l.changed {
		a.changed = false
		keys = append(keys, a.key)
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

// Late is how many boundaries were learnt after their interval was sealed.
func (l *Ledger) Late() int64 { return l.late }

// Forget drops segments that ended at or before the moment, whatever their bounds.
func (l *Ledger) Forget(before int64) {
	for key, a := range l.accounts {
		a.closed = slices.DeleteFunc(a.closed, func(c closed) bool { return c.end+int64(c.endSlack) <= before })
		if len(a.closed) == 0 {
			a.closed = nil
		}
		if a.streams == nil && a.closed == nil && !a.changed {
			delete(l.accounts, key)
		}
	}
}
