package ledger

import (
	"cmp"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Remove takes in that an object is gone. o.Members is what the meter read from
// its last state: a member that says when it ended is believed.
func (l *Ledger) Remove(o *Observation) {
	at := l.objects.find(o.Meter, o.UID)
	if at == nil {
		return
	}
	end := Between(o.Origin, max(o.After, at.seen), o.latest()).End
	l.remove(at, func(s *stream) usage.Boundary {
		i, found := slices.BinarySearchFunc(o.Members, s.container(), func(m usage.Member, container string) int {
			return cmp.Compare(m.Subject.Container, container)
		})
		if found && !o.Members[i].Active {
			return s.memberEnd(&o.Members[i], o, end)
		}
		return end
	})
}

// Missing takes in that a list does not have an object any more: it went at
// some moment in [earliest, latest].
func (l *Ledger) Missing(m *Meter, uid string, earliest, latest int64) {
	at := l.objects.find(m, uid)
	if at == nil {
		return
	}
	end := Between(Resumed, min(max(earliest, at.seen), latest), latest).End
	l.remove(at, func(*stream) usage.Boundary { return end })
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
	moments.Start.Evidence, moments.Start.Slack = usage.LastKnown, 0
	for _, s := range at.streams {
		levels := s.levels()
		if !l.inOrder(s, moments) {
			l.derive(s, levels, moments, every)
			at.seen = max(at.seen, moments.End.At)
			continue
		}
		for i, level := range levels {
			l.endOne(s, i, moments.End)
			l.openOne(s, i, level, moments.Start)
		}
	}
}

// levels are what the stream holds, by the meter's dimensions.
func (s *stream) levels() []int64 {
	levels := make([]int64, len(s.open))
	for i := range s.open {
		levels[i] = s.open[i].level
	}
	return levels
}

func every(int) bool { return true }

// Reattribute puts the object's usage where place says, from the moment on: what
// it holds, and what it held after the moment and has ended. It is called when not
// the object, but something around it changed. The error is a ConflictError: what
// another meter holds there already has ended.
func (l *Ledger) Reattribute(uid string, moments Moments, place func(*Meter, *usage.Subject)) error {
	return l.reattribute(uid, moments, place, false)
}

// Retrace is Reattribute for a moment after which the object may have been elsewhere, and
// come back to where it is now: what place says counts until it was.
func (l *Ledger) Retrace(uid string, moments Moments, place func(*Meter, *usage.Subject)) error {
	return l.reattribute(uid, moments, place, true)
}

func (l *Ledger) reattribute(uid string, moments Moments, place func(*Meter, *usage.Subject), again bool) error {
	var conflict error
	for _, at := range l.all(uid) {
		wasActive := at.active()
		placed := func(s *stream) *stream { // of what it held then, each as it was
			subject := s.subject()
			if place(at.meter, subject); s.is(subject) {
				return s
			}
			return l.streamOf(s.member, at, subject)
		}
		for n, s := range at.streams {
			subject := s.subject()
			place(at.meter, subject)
			if s.is(subject) {
				if again && s.member.latest > moments.End.At {
					l.replace(s.member, s, moments, nil, placed)
				}
				continue
			}
			to, err := l.move(s, subject, moments, placed)
			if err != nil {
				conflict = err
			}
			at.streams[n] = to
		}
		for m := at.members; m != nil; m = m.next {
			if m.latest <= moments.End.At || slices.ContainsFunc(at.streams, func(s *stream) bool { return s.member == m }) {
				continue
			}
			if all := ordered(l.lines(m, at, moments.End.At)); len(all) > 0 {
				subject := all[len(all)-1].of.subject()
				place(at.meter, subject)
				to := l.streamOf(m, at, subject)
				l.replace(m, to, moments, nil, placed)
				l.release(to)
			}
		}
		at.count(wasActive)
	}
	return conflict
}

// Amend puts right what was wrong of the object's placements from the moment on: of
// each of them what amend says. Unlike Reattribute it leaves where the object was put
// later as it is, but for that. It may not change the resource.
func (l *Ledger) Amend(uid string, moment usage.Boundary, amend func(*Meter, *usage.Subject)) {
	m := Moments{End: moment, Start: moment}
	for _, at := range l.all(uid) {
		to := func(s *stream) *stream {
			subject := s.subject()
			if amend(at.meter, subject); s.is(subject) {
				return s
			}
			return l.streamOf(s.member, at, subject)
		}
		active := slices.Clone(at.streams)
		for n, s := range active {
			at.streams[n] = to(s)
		}
		for of := at.members; of != nil; of = of.next {
			if of.latest <= moment.At && !slices.ContainsFunc(active, func(s *stream) bool { return s.member == of }) {
				continue
			}
			lines := l.lines(of, at, m.earliest())
			for i := range lines {
				k := &lines[i]
				now, _ := l.moved(k, to, m.End, m.Start, nil)
				l.rewrite(of, k, m.earliest(), now, m.End)
			}
		}
		at.eachStream(func(s *stream) {
			if !slices.Contains(at.streams, s) {
				l.release(s)
			}
		})
	}
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
			levels := s.levels()
			for i, level := range levels {
				if level == 0 || slices.Contains(after, before[i]) {
					continue
				}
				if levels[i] = 0; l.inOrder(s, Moments{End: end, Start: end}) {
					l.closeOne(s, i, end)
				} else {
					l.derive(s, levels, Moments{End: end, Start: end}, func(concerned int) bool { return concerned == i })
				}
			}
		}
		at.eachStream(func(s *stream) { s.remap(before, after) })
		at.count(wasActive)
	})
	m.dimensions, m.Defined, m.History = after, now, usage.Redefined(m.History, dimensions, now)
}

// remap puts what the stream holds in the places of other dimensions.
func (s *stream) remap(before, after []uint32) {
	remapped := make([]open, len(after))
	for i := range s.open {
		if s.open[i].level == 0 {
			continue // it may be of before the meter was changed last
		}
		if to := slices.Index(after, before[i]); to >= 0 {
			remapped[to] = s.open[i]
		}
	}
	s.open = remapped
}

// eachStream calls visit with each stream of the object that has segments, or
// will have. visit may release it.
func (at *object) eachStream(visit func(*stream)) {
	for m := at.members; m != nil; m = m.next {
		for s := m.newest; s != nil; {
			older := s.older
			visit(s)
			s = older
		}
	}
}

// Stop ends all of a meter's segments, at some moment in [earliest, latest]: it
// was deleted or suspended then.
func (l *Ledger) Stop(m *Meter, earliest, latest int64) {
	end := usage.Boundary{At: earliest, Slack: uint32(max(0, latest-earliest)), Evidence: usage.MeteringStopped}
	l.each(m, func(at *object) {
		l.remove(at, func(*stream) usage.Boundary { return end })
	})
}

// all is what the meters know of an object, whether it is there or not.
func (l *Ledger) all(uid string) []*object {
	l.recall(uid)
	var all []*object
	for _, x := range []index{l.objects, l.past.index} {
		for at := x[uid]; at != nil; at = at.next {
			all = append(all, at)
		}
	}
	return all
}

// Objects calls visit with the UID of each object of the meter's that is there.
func (l *Ledger) Objects(m *Meter, visit func(uid string)) {
	l.each(m, func(at *object) { visit(at.uid) })
}

// each calls visit with each object of the meter's that is there. visit may remove it.
func (l *Ledger) each(m *Meter, visit func(*object)) {
	for uid := range l.objects {
		if at := l.objects.find(m, uid); at != nil {
			visit(at)
		}
	}
}

// remove ends an object's segments. It is kept for as long as they are.
func (l *Ledger) remove(at *object, end func(*stream) usage.Boundary) {
	wasActive := at.active()
	for _, s := range at.streams {
		l.cease(s, end(s))
	}
	clear(at.streams)
	at.streams = at.streams[:0]
	at.count(wasActive)
	at.known, at.absent, at.gone, at.unreadable = true, true, true, false
	l.objects.remove(at)
	l.past.add(at)
	l.forgetObject(at)
}

// forgetObject drops an object that is gone, and of which no segment is left.
func (l *Ledger) forgetObject(at *object) {
	if at.gone && !at.hasSegments() && len(l.corrected[at]) == 0 && l.past.find(at.meter, at.uid) == at {
		l.past.remove(at)
	}
}

func (at *object) hasSegments() bool {
	for m := at.members; m != nil; m = m.next {
		if m.newest != nil {
			return true
		}
	}
	return false
}
