package ledger

import (
	"strings"
	"unique"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// account is what one deployment of one namespace holds and has held.
type account struct {
	closed  []closed // in the order in which they were closed
	streams *stream  // those with open segments, linked
	changed bool     // since Changed was last called
	key     usage.Account
}

// closed is a segment that has ended, without what its stream knows. There are
// millions: one pointer and no padding.
type closed struct {
	of                         *stream
	level                      int64
	start, end                 int64
	startSlack, endSlack       uint32
	startEvidence, endEvidence usage.Evidence
	dimension                  uint32 // among those that the meter ever measured
}

// segment is the closed one, of no subject yet.
func (c *closed) segment() usage.Segment {
	return usage.Segment{
		Meter:     c.of.meter.Name,
		Dimension: c.of.meter.measured[c.dimension],
		Level:     c.level,
		Start:     usage.Boundary{At: c.start, Slack: c.startSlack, Evidence: c.startEvidence},
		End:       usage.Boundary{At: c.end, Slack: c.endSlack, Evidence: c.endEvidence},
	}
}

// newStream is a stream that holds nothing yet, entered in its account.
func (l *Ledger) newStream(at *object, subject *usage.Subject) *stream {
	s := &at.first
	if s.meter != nil { // it is somebody's already, and closed segments are of it
		s = &stream{}
	}
	s.meter, s.holder = at.meter, l.holder(at, subject)
	if n := len(at.meter.dimensions); n <= len(s.few) {
		s.open = s.few[:n]
	} else {
		s.open = make([]open, n)
	}
	s.next = s.account.streams
	if s.next != nil {
		s.next.prev = s
	}
	s.account.streams = s
	return s
}

func (l *Ledger) account(key usage.Account) *account {
	a := l.accounts[key]
	if a == nil {
		key = usage.Account{
			Namespace:    unique.Make(key.Namespace).Value(),
			NamespaceUID: unique.Make(key.NamespaceUID).Value(),
			Deployment:   strings.Clone(key.Deployment),
		}
		a = &account{key: key}
		l.accounts[key] = a
	}
	return a
}

// leave takes the stream out of its account.
func (s *stream) leave() {
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		s.account.streams = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.prev, s.next = nil, nil
}

// close ends all segments of a stream, each when end says.
func (l *Ledger) close(at *object, s *stream, end func(open) usage.Boundary) {
	for i := range s.open {
		l.closeOne(at, s, i, end(s.open[i]))
	}
	s.leave()
}

// closeOne ends the stream's segment of dimension i, when there is one. One
// that surely lasted no time leaves no trace; one that may have lasted some,
// within its bounds, stays as one of no length.
func (l *Ledger) closeOne(at *object, s *stream, i int, end usage.Boundary) {
	segment := s.open[i]
	if segment.level == 0 {
		return
	}
	s.open[i] = open{}
	l.touch(s.account)
	if segment.start.At < l.sealed && end.At < l.sealed {
		l.correct(usage.Less, s, at.meter.dimensions[i], segment.level, max(end.At, segment.start.At), end)
		end = l.afterSealed(end, +1)
	}
	at.seen, at.began = max(at.seen, end.At), max(at.began, segment.start.At)
	c := closed{
		of: s, level: segment.level, dimension: at.meter.dimensions[i],
		start: segment.start.At, startSlack: segment.start.Slack, startEvidence: segment.start.Evidence,
		end: end.At, endSlack: end.Slack, endEvidence: end.Evidence,
	}
	if end.At <= segment.start.At && !l.shorten(&c) {
		return
	}
	s.account.closed = append(s.account.closed, c)
	l.noteClosed(usage.Put, c)
}

// shorten gives a segment that ended no later than it started no length, and
// tells whether it may have lasted some time all the same: it then lies
// somewhere between its start's earliest moment and its end's latest.
func (l *Ledger) shorten(c *closed) bool {
	l.noteClosed(usage.Void, *c) // as it was: what has no length has no key
	earliest, latest := c.start-int64(c.startSlack), c.end+int64(c.endSlack)
	at := max(min(c.start, c.end), earliest)
	if latest <= earliest {
		return false
	}
	c.start, c.startSlack = at, uint32(at-earliest)
	c.end, c.endSlack = at, uint32(max(0, latest-at))
	return true
}

// openOne begins a segment of dimension i, unless the level is 0.
func (l *Ledger) openOne(s *stream, i int, level int64, start usage.Boundary) {
	if level == 0 {
		return
	}
	if start.At < l.sealed {
		l.correct(usage.More, s, s.meter.dimensions[i], level, start.At, start)
		start = l.afterSealed(start, -1)
	}
	// Everything before was seen when it was sealed: it did not start there.
	start.Slack = uint32(min(int64(start.Slack), start.At-l.sealed))
	s.open[i] = open{level: level, start: start}
	l.noteOpened(s)
	l.touch(s.account)
}

// afterSealed moves a moment that was learnt too late to the end of the last
// sealed interval: what is sealed is final. direction is where a boundary's
// slack lies: +1 after an end, -1 before a start.
func (l *Ledger) afterSealed(b usage.Boundary, direction int64) usage.Boundary {
	l.late++
	latest := b.At + max(0, direction)*int64(b.Slack)
	return usage.Boundary{At: l.sealed, Slack: uint32(max(0, latest-l.sealed)), Evidence: usage.Late}
}

// touch notes that the account's figures changed.
func (l *Ledger) touch(a *account) {
	if !a.changed {
		a.changed = true
		l.changed = append(l.changed, a)
	}
}

// segment is the stream's open segment of dimension i, of no subject yet.
func (s *stream) segment(i int) usage.Segment {
	return usage.Segment{Meter: s.meter.Name, Dimension: s.meter.dimension(i), Level: s.open[i].level, Start: s.open[i].start}
}
