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
	"unique"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Ledger holds all segments: open ones, and closed ones until they are forgotten.
type Ledger struct {
	objects  map[string]*object // by UID
	accounts map[usage.Account]*account
	changed  []*account
	before   []*stream // of the object that changes, kept to be used again
	sealed   int64     // end of the last sealed interval
	seals    []int64   // starts of the sealed intervals, in order
	late     int64     // boundaries that came after their interval was sealed
	unwritten
}

// New is an empty ledger.
func New() *Ledger {
	return &Ledger{objects: map[string]*object{}, accounts: map[usage.Account]*account{}}
}

// Meter is what the ledger knows of one UsageMeter. It owns the segments that
// its observations make.
type Meter struct {
	Name       string
	Since      int64             // from when on the meter sees everything; seconds since the epoch
	Defined    int64             // from when on it is defined as it is; seconds since the epoch
	History    []usage.Metered   // what it measured when
	dimensions []uint32          // what it measures, by number
	measured   []usage.Dimension // all that it ever measured
	active     int
	words      struct { // that were asked for last
		value  words
		handle unique.Handle[words]
	}
}

// NewMeter is a meter that has seen nothing yet.
func NewMeter(name string, since int64, dimensions []usage.Dimension) *Meter {
	m := &Meter{Name: name, Since: since, Defined: since, History: usage.Redefined(nil, dimensions, since)}
	m.dimensions = m.numbers(dimensions)
	return m
}

// numbers are the dimensions' places in m.measured.
func (m *Meter) numbers(dimensions []usage.Dimension) []uint32 {
	numbers := make([]uint32, len(dimensions))
	for i, d := range dimensions {
		n := slices.Index(m.measured, d)
		if n < 0 {
			n = len(m.measured)
			m.measured = append(m.measured, d)
		}
		numbers[i] = uint32(n)
	}
	return numbers
}

// dimension is the meter's dimension i.
func (m *Meter) dimension(i int) usage.Dimension { return m.measured[m.dimensions[i]] }

// Dimensions are what the meter measures, in order.
func (m *Meter) Dimensions() []usage.Dimension {
	dimensions := make([]usage.Dimension, len(m.dimensions))
	for i := range dimensions {
		dimensions[i] = m.dimension(i)
	}
	return dimensions
}

// Active is how many objects have an open segment.
func (m *Meter) Active() int { return m.active }

// object is what one meter knows of one object. Objects that two meters read
// are chained.
type object struct {
	uid        string
	meter      *Meter
	next       *object
	streams    []*stream
	seen       int64 // the latest moment at which what the streams say was known to be so
	began      int64 // the latest start of a segment that has ended
	known      bool  // it has been read at least once
	unreadable bool
	absent     bool   // it was not metered when last read: excluded, or not selected
	fields     uint32 // how many of its fields somebody managed then
	// Most objects have one member, and keep it: it is here, where it is found soonest.
	one   [1]*stream
	first stream
}

// stream is one member of an object under one attribution, with its open segments.
type stream struct {
	open       []open  // by the meter's dimensions
	few        [3]open // where open begins: most meters have no more
	meter      *Meter
	prev, next *stream // in the account
	holder             // never changed, for closed segments are of it
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
	at := l.objects[uid]
	for at != nil && at.meter != m {
		at = at.next
	}
	return at
}

func (l *Ledger) add(m *Meter, uid string) *object {
	at := &object{uid: uid, meter: m, next: l.objects[uid]}
	at.streams = at.one[:0]
	l.objects[uid] = at
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

// change closes what ended or changed, and opens what began.
func (l *Ledger) change(at *object, o *Observation) error {
	moments := o.moments(at)
	end, start := moments.End, moments.Start
	wasActive := at.active()
	var conflict error
	over := func(open) usage.Boundary { return end }
	l.before = append(l.before[:0], at.streams...)
	previous := l.before
	clear(at.streams)
	at.streams = at.streams[:0]
	for i := range o.Members {
		member := &o.Members[i]
		// Both are in the order of their containers: what comes before is gone.
		for len(previous) > 0 && previous[0].container() < member.Subject.Container {
			l.close(at, previous[0], over)
			previous = previous[1:]
		}
		var s *stream
		if len(previous) > 0 && previous[0].container() == member.Subject.Container {
			s, previous = previous[0], previous[1:]
		}
		if err := l.follow(at, s, member, o, end, start); err != nil {
			conflict = err
		}
	}
	for _, s := range previous {
		l.close(at, s, over)
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
func (l *Ledger) follow(at *object, s *stream, member *usage.Member, o *Observation, end, start usage.Boundary) error {
	switch {
	case !member.Active && s == nil:
		return nil
	case !member.Active:
		l.close(at, s, memberEnd(member, o, end))
		return nil
	case s == nil:
		start = o.begins(member, at, start)
	}
	return l.hold(at, s, member, end, start)
}

// hold makes the member's stream say what the member holds. s is its stream so
// far, or nil: then it begins now.
func (l *Ledger) hold(at *object, s *stream, member *usage.Member, end, start usage.Boundary) error {
	var conflict error
	if s == nil || !s.is(&member.Subject) {
		before := s
		s = l.newStream(at, &member.Subject)
		if before != nil {
			l.move(at, before, s, end, start)
		}
	}
	at.streams = append(at.streams, s)
	for i, level := range member.Levels {
		now := &s.open[i]
		if level != 0 && now.level == 0 {
			if other := l.rival(at, s, at.meter.dimension(i).Name); other != "" {
				conflict = &ConflictError{Dimension: at.meter.dimension(i).Name, Object: member.Subject.Instance.Kind + " " + member.Subject.Instance.Name, Meter: other}
				continue
			}
		}
		if now.level != level || at.unreadable {
			l.closeOne(at, s, i, end)
			l.openOne(s, i, level, start)
		}
	}
	return conflict
}

// rival names another meter that holds the same dimension of the same member.
func (l *Ledger) rival(at *object, s *stream, dimension string) string {
	for other := l.objects[s.instance.uid]; other != nil; other = other.next {
		if other.meter == at.meter {
			continue
		}
		for _, held := range other.streams {
			if held.container() != s.container() || held.resource.uid != s.resource.uid {
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
		for i := range s.open {
			if s.open[i].level != 0 {
				return true
			}
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
