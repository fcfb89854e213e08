package ledger

import (
	"cmp"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Remove takes in that an object is gone. o.Members is what the meter read from
// its last state: a member that says when it ended is believed.
func (l *Ledger) Remove(o *Observation) {
	at := l.find(o.Meter, o.UID)
	if at == nil {
		return
	}
	end := Between(o.Origin, max(o.After, at.seen), o.latest()).End
	l.remove(o.Meter, o.UID, func(s *stream) func(open) usage.Boundary {
		i, found := slices.BinarySearchFunc(o.Members, s.container(), func(m usage.Member, container string) int {
			return cmp.Compare(m.Subject.Container, container)
		})
		if found && !o.Members[i].Active {
			return memberEnd(&o.Members[i], o, end)
		}
		return func(open) usage.Boundary { return end }
	})
}

// Missing takes in that a list does not have an object any more: it went at
// some moment in [earliest, latest].
func (l *Ledger) Missing(m *Meter, uid string, earliest, latest int64) {
	at := l.find(m, uid)
	if at == nil {
		return
	}
	end := Between(Resumed, min(max(earliest, at.seen), latest), latest).End
	l.remove(m, uid, func(*stream) func(open) usage.Boundary {
		return func(open) usage.Boundary { return end }
	})
}

// Unreadable takes in that an object changed into something that cannot be
// read. It is taken to hold what it last held, and its segments say so.
func (l *Ledger) Unreadable(o *Observation) {
	at := l.find(o.Meter, o.UID)
	if at == nil {
		l.add(o.Meter, o.UID).unreadable = true
		return
	}
	if at.unreadable {
		return
	}
	at.unreadable = true
	moments := o.moments(at)
	end, start := moments.End, moments.Start
	start.Evidence, start.Slack = usage.LastKnown, 0
	for _, s := range at.streams {
		for i := range s.open {
			level := s.open[i].level
			l.closeOne(at, s, i, end)
			l.openOne(s, i, level, start)
		}
	}
}

// Settle is for how many seconds after its start an unattributed segment can
// still be put under a deployment as a whole. A claim is bound a moment before
// the pod that asked for it is there; nobody wants that second on a bill of its own.
const Settle = 10

// Reattribute puts the object's usage where place says, from the moment on.
// It is called when not the object, but something around it changed.
func (l *Ledger) Reattribute(uid string, moments Moments, place func(*Meter, *usage.Subject)) {
	for at := l.objects[uid]; at != nil; at = at.next {
		for n, s := range at.streams {
			subject := s.subject()
			place(at.meter, subject)
			if s.is(subject) {
				continue
			}
			moved := l.newStream(at, subject)
			l.move(at, s, moved, moments.End, moments.Start)
			at.streams[n] = moved
		}
	}
}

// move puts what a stream holds under another attribution: from the moment on,
// or, where it has not settled yet, as a whole.
func (l *Ledger) move(at *object, from, to *stream, end, start usage.Boundary) {
	for i := range from.open {
		level, end, start := from.open[i].level, end, start
		if start.At <= from.open[i].start.At || l.unsettled(from, i, start.At) {
			start = from.open[i].start
			end = start
		}
		l.closeOne(at, from, i, end)
		l.openOne(to, i, level, start)
	}
	from.leave()
}

func (l *Ledger) unsettled(s *stream, i int, now int64) bool {
	start := s.open[i].start.At
	return s.account.key.Deployment == "" && start >= l.sealed && now-start <= Settle
}

// Redefine changes what the meter measures, from now on. Dimensions that stay
// go on; those that are gone end now. What the meter sees for the first time
// hereafter was none of its own before. What it saw is known as it was.
func (l *Ledger) Redefine(m *Meter, dimensions []usage.Dimension, now int64) {
	before := m.dimensions
	after := m.numbers(dimensions)
	end := usage.Boundary{At: now, Evidence: usage.MeteringStopped}
	l.each(m, func(at *object) {
		wasActive := at.active()
		for _, s := range at.streams {
			remapped := make([]open, len(after))
			for i := range before {
				if to := slices.Index(after, before[i]); to >= 0 {
					remapped[to] = s.open[i]
				} else {
					l.closeOne(at, s, i, end)
				}
			}
			s.open = remapped
		}
		at.count(wasActive)
	})
	m.dimensions, m.Defined, m.History = after, now, usage.Redefined(m.History, dimensions, now)
}

// Stop ends all of a meter's segments, at some moment in [earliest, latest]: it
// was deleted or suspended then.
func (l *Ledger) Stop(m *Meter, earliest, latest int64) {
	end := usage.Boundary{At: earliest, Slack: uint32(max(0, latest-earliest)), Evidence: usage.MeteringStopped}
	for uid := range l.objects {
		l.remove(m, uid, func(*stream) func(open) usage.Boundary {
			return func(open) usage.Boundary { return end }
		})
	}
}

// Objects calls visit with the UID of each object that the meter knows.
func (l *Ledger) Objects(m *Meter, visit func(uid string)) {
	for uid := range l.objects {
		if l.find(m, uid) != nil {
			visit(uid)
		}
	}
}

func (l *Ledger) each(m *Meter, visit func(*object)) {
	for uid := range l.objects {
		if at := l.find(m, uid); at != nil {
			visit(at)
		}
	}
}

// remove ends an object's segments and forgets it.
func (l *Ledger) remove(m *Meter, uid string, end func(*stream) func(open) usage.Boundary) {
	var before *object
	at := l.objects[uid]
	for at != nil && at.meter != m {
		before, at = at, at.next
	}
	if at == nil {
		return
	}
	wasActive := at.active()
	for _, s := range at.streams {
		l.close(at, s, end(s))
	}
	at.count(wasActive)
	switch {
	case before != nil:
		before.next = at.next
	case at.next != nil:
		l.objects[uid] = at.next
	default:
		delete(l.objects, uid)
	}
}
