// Package ledger turns observations into segments: who held which level of
// what, from when to when, exactly.
//
// It is pure: time comes in with each observation, and no Kubernetes package is
// imported. A Ledger is not safe for concurrent use: a single writer owns it.
//
// What holds at any time, and what the tests prove:
//   - the segments of one (resource, instance, container, dimension) never
//     overlap, whatever order observations come in;
//   - an observation that changes nothing allocates nothing;
//   - nothing before the end of the last sealed interval changes any more: what
//     is learnt later is a correction, beside it;
//   - a ledger that is restored from its changes goes on as if it had never ended.
package ledger

import (
	"fmt"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Ledger holds all segments: open ones, and ended ones until they are forgotten.
type Ledger struct {
	objects   index    // those that are there
	past      departed // those that are gone, as long as their segments are held
	accounts  map[usage.Account]*account
	corrected map[*object][]correction // what was learnt of sealed intervals, by the object that it is of
	changed   []*account
	before    []*stream // of the object that changes, kept to be used again
	sealed    int64     // end of the last sealed interval
	seals     []int64   // starts of the sealed intervals, in order
	late      int64     // changes that were learnt after their interval was sealed
	ends      ends
	packed    packed // of those that are gone
	unwritten
}

// New is an empty ledger.
func New() *Ledger {
	return &Ledger{
		objects: index{}, past: departed{index: index{}}, accounts: map[usage.Account]*account{}, corrected: map[*object][]correction{},
		ends: ends{}, packed: newPacked(),
	}
}

// object is what one meter knows of one object. Objects that two meters read
// are chained. One that is gone is kept for as long as its segments are, so that
// what is learnt of it later is compared with what was said of it.
type object struct {
	// What an observation that changes nothing reads comes first, so that it is in few of the
	// CPU's cache lines.
	uid        string
	meter      *Meter
	next       *object
	streams    []*stream // of the members that are active, by their containers
	seen       int64     // the latest moment at which what the object says of itself was known to be so
	known      bool      // it has been read at least once
	unreadable bool
	absent     bool   // it was not metered when last read: excluded, or not selected
	gone       bool   // it does not exist any more
	fields     uint32 // how many of its fields somebody managed then
	// Most objects have one member, and keep it: it is here, where it is found soonest.
	one   [1]*stream
	first stream

	created int64   // when the object was; 0: it is not known, since a former run saw it last
	began   int64   // the latest start of a segment that the object itself has ended
	ended   int64   // the last hour that ends knows it by
	members *member // that hold or have held something
	lone    member

	went          uint64  // how many had gone when it had; 0: it is there
	before, after *object // in the past
	several       bool    // ends knows it by several hours
}

// member is the object itself, or one of its containers, whatever it is put under.
type member struct {
	next   *member // of the object
	newest *stream // of those that have segments, linked by older
	began  int64   // when its present activity began
	latest int64   // the latest moment at which a segment of it began or ended
}

// stream is a member under one attribution, with its segments.
type stream struct {
	open       []open  // by the meter's dimensions
	holder             // never changed, for segments are of it
	few        [3]open // where open begins: most meters have no more
	ended      []closed
	object     *object
	member     *member
	older      *stream // of the member
	prev, next *stream // in the account
}

// open is a segment without an end; level 0 is none.
type open struct {
	level int64
	start usage.Boundary
}

// ConflictError says that two meters measure the same dimension of one object.
// The first keeps it: counting it twice would be wrong.
type ConflictError struct {
	Dimension, Object, Meter string
	// Refused is the meter that does not hold it.
	Refused string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("dimension %s of %s is already metered by UsageMeter %s: rename the dimension, or suspend one of the two meters",
		e.Dimension, e.Object, e.Meter)
}

// Observe takes in what a meter read from one object. The error is a
// ConflictError; everything that does not conflict is taken in all the same.
func (l *Ledger) Observe(o *Observation) error {
	at := l.find(o.Meter, o.UID)
	if at == nil {
		if len(o.Members) == 0 {
			return nil // not metered, and never was
		}
		at = l.add(o.Meter, o.UID)
		if o.Existed {
			at.known, at.absent, at.seen = true, true, max(0, o.After-skew)
		}
	}
	if at.known && !at.unreadable && at.unchanged(o.Members) {
		at.note(o)
		return nil
	}
	return l.change(at, o)
}

func (l *Ledger) find(m *Meter, uid string) *object {
	if at := l.objects.find(m, uid); at != nil {
		return at
	}
	l.recall(uid)
	return l.past.find(m, uid)
}

func (l *Ledger) add(m *Meter, uid string) *object {
	at := &object{uid: uid, meter: m}
	at.streams = at.one[:0]
	l.objects.add(at)
	return at
}

// unchanged tells whether members are just what the object's streams say.
func (at *object) unchanged(members []usage.Member) bool {
	active := 0
	for i := range members {
		member := &members[i]
		if !member.Active {
			continue
		}
		if active == len(at.streams) || !at.streams[active].holds(member) {
			return false
		}
		active++
	}
	return active == len(at.streams)
}

func (s *stream) holds(member *usage.Member) bool {
	for i, level := range member.Levels {
		if s.open[i].level != level {
			return false
		}
	}
	return s.is(&member.Subject)
}

// change ends what is no more, and begins what is new.
func (l *Ledger) change(at *object, o *Observation) error {
	moments := o.moments(at)
	wasActive := at.active()
	var conflict error
	if at.gone { // it is there again
		l.past.remove(at)
		l.objects.add(at)
		at.gone = false
	}
	l.before = append(l.before[:0], at.streams...)
	previous := l.before
	clear(at.streams)
	at.streams = at.streams[:0]
	for i := range o.Members {
		member := &o.Members[i]
		// Both are in the order of their containers: what comes before is gone.
		for len(previous) > 0 && previous[0].container() < member.Subject.Container {
			l.cease(previous[0], moments.End)
			previous = previous[1:]
		}
		var s *stream
		if len(previous) > 0 && previous[0].container() == member.Subject.Container {
			s, previous = previous[0], previous[1:]
		}
		if err := l.follow(at, s, member, o, moments); err != nil {
			conflict = err
		}
	}
	for _, s := range previous {
		l.cease(s, moments.End)
	}
	known := at.known
	at.known, at.unreadable = true, false
	at.note(o)
	if !known && o.Origin == Resumed {
		at.began = max(at.began, at.seen) // an activity that nobody remembers may have begun then
	}
	at.count(wasActive)
	return conflict
}

// follow brings a member's stream up to date; s is nil where it has none.
func (l *Ledger) follow(at *object, s *stream, member *usage.Member, o *Observation, moments Moments) error {
	switch {
	case !member.Active && s == nil:
		return nil
	case !member.Active:
		l.cease(s, s.memberEnd(member, o, moments.End))
		return nil
	case s == nil:
		start := o.begins(member, at, moments.Start)
		s = l.newStream(at, &member.Subject)
		s.member.began = start.At
		return l.hold(at, s, s, member, Moments{End: start, Start: start})
	}
	before, conflict := s, error(nil)
	if !s.is(&member.Subject) && s.settles(member.Subject.Account, moments.Start.At) {
		// Where it belongs has been so from its start; the rest has changed now.
		placed := s.subject()
		placed.Account, placed.Resource = member.Subject.Account, member.Subject.Resource
		if !s.is(placed) {
			before, conflict = l.move(s, placed, moments, nil)
		}
	}
	now := before
	if !before.is(&member.Subject) {
		now = l.newStream(at, &member.Subject)
	}
	if err := l.hold(at, before, now, member, moments); err != nil {
		conflict = err
	}
	return conflict
}

// hold makes a member, whose stream was before, hold what it says under its
// stream now, from the moment on.
func (l *Ledger) hold(at *object, before, now *stream, member *usage.Member, moments Moments) error {
	at.streams = append(at.streams, now)
	levels, conflict := l.unrivalled(at, member, func(i int) bool {
		return before.open[i].level != 0 && before.resource.uid == now.resource.uid
	})
	differs := func(i int) bool { return before != now || now.open[i].level != levels[i] || at.unreadable }
	if l.inOrder(now, moments) {
		for i, level := range levels {
			if differs(i) {
				l.endOne(before, i, moments.End)
				l.openOne(now, i, level, moments.Start)
			}
		}
	} else {
		l.derive(now, levels, moments, differs)
		at.seen, at.began = max(at.seen, moments.earliest()), max(at.began, now.member.began)
	}
	if before != now {
		l.release(before)
	}
	return conflict
}

// cease ends what the member of the stream holds.
func (l *Ledger) cease(s *stream, end usage.Boundary) {
	if l.inOrder(s, Moments{End: end, Start: end}) {
		for i := range s.open {
			l.endOne(s, i, end)
		}
	} else {
		l.derive(s, nil, Moments{End: end, Start: end}, every)
		at := s.object
		at.seen, at.began = max(at.seen, end.At), max(at.began, s.member.began)
	}
	l.release(s)
}

// inOrder tells whether the moment is later than everything that is known of the
// stream's member, and not sealed: what is open changes then, and nothing else.
func (l *Ledger) inOrder(s *stream, moments Moments) bool {
	return moments.End.At >= max(s.member.latest, l.sealed)
}

// unrivalled are the member's levels, but for those that another meter holds
// already: they are held once. Dimensions that the object's own meter holds are its own.
func (l *Ledger) unrivalled(at *object, member *usage.Member, own func(i int) bool) (levels []int64, conflict error) {
	levels = member.Levels
	if at.next == nil && l.objects[at.uid] == at {
		return levels, nil
	}
	for i, level := range member.Levels {
		if level == 0 || own(i) {
			continue
		}
		dimension := at.meter.dimension(i).Name
		if other := l.rival(at, &member.Subject, dimension); other != "" {
			if conflict == nil {
				levels = slices.Clone(levels)
			}
			levels[i] = 0
			conflict = &ConflictError{
				Dimension: dimension, Object: member.Subject.Instance.Kind + " " + member.Subject.Instance.Name, Meter: other, Refused: at.meter.Name,
			}
		}
	}
	return levels, conflict
}

// rival names another meter that holds the same dimension of the same member.
func (l *Ledger) rival(at *object, subject *usage.Subject, dimension string) string {
	for other := l.objects[at.uid]; other != nil; other = other.next {
		if other == at || !other.meter.measures(dimension) {
			continue
		}
		for _, held := range other.streams {
			if held.container() != subject.Container || held.resource.uid != subject.Resource.UID {
				continue
			}
			for i := range held.open {
				if held.open[i].level != 0 && other.meter.dimension(i).Name == dimension {
					return other.meter.Name
				}
			}
		}
	}
	return ""
}

func (at *object) active() bool {
	for _, s := range at.streams {
		if s.holdsAny() {
			return true
		}
	}
	return false
}

func (s *stream) holdsAny() bool {
	for i := range s.open {
		if s.open[i].level != 0 {
			return true
		}
	}
	return false
}

// count keeps the meter's number of active objects.
func (at *object) count(wasActive bool) {
	switch isActive := at.active(); {
	case isActive && !wasActive:
		at.meter.active++
	case wasActive && !isActive:
		at.meter.active--
	}
}
