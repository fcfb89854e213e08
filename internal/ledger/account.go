package ledger

import (
	"slices"
	"strings"
	"unique"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// account is what one deployment of one namespace holds and has held.
type account struct {
	streams *stream // those with segments, linked
	latest  int64   // no segment of it that has ended can have lasted longer
	changed bool    // since Changed was last called
	key     usage.Account
}

// closed is a segment that has ended, without what its stream knows. There are
// millions: no pointer and no padding.
type closed struct {
	level                      int64
	start, end                 int64
	startSlack, endSlack       uint32
	startEvidence, endEvidence usage.Evidence
	dimension                  uint32 // among those that the meter ever measured
}

func closedOf(level int64, start, end usage.Boundary, dimension uint32) closed {
	return closed{
		level: level, dimension: dimension,
		start: start.At, startSlack: start.Slack, startEvidence: start.Evidence,
		end: end.At, endSlack: end.Slack, endEvidence: end.Evidence,
	}
}

func (c *closed) startBoundary() usage.Boundary {
	return usage.Boundary{At: c.start, Slack: c.startSlack, Evidence: c.startEvidence}
}

func (c *closed) endBoundary() usage.Boundary {
	return usage.Boundary{At: c.end, Slack: c.endSlack, Evidence: c.endEvidence}
}

// latest is when the segment had ended, whatever its bounds.
func (c *closed) latest() int64 { return c.end + int64(c.endSlack) }

// segment is the closed one, of no subject yet.
func (s *stream) segmentOf(c *closed) usage.Segment {
	m := s.object.meter
	return usage.Segment{Meter: m.Name, Dimension: s.measured(m.measured[c.dimension]), Level: c.level, Start: c.startBoundary(), End: c.endBoundary()}
}

// newStream is a stream that holds nothing yet, entered in its account and with its member.
func (l *Ledger) newStream(at *object, subject *usage.Subject) *stream {
	s := &at.first
	if s.object != nil { // it is somebody's already, and segments are of it
		s = &stream{}
	}
	s.object, s.holder = at, l.holder(at, subject)
	if n := len(at.meter.dimensions); n <= len(s.few) {
		s.open = s.few[:n]
	} else {
		s.open = make([]open, n)
	}
	s.member = at.memberOf(subject.Container)
	s.older, s.member.newest = s.member.newest, s
	s.next = s.account.streams
	if s.next != nil {
		s.next.prev = s
	}
	s.account.streams = s
	return s
}

// memberOf is the object's member of that container, made where there is none.
func (at *object) memberOf(container string) *member {
	var unused *member
	for m := at.members; m != nil; m = m.next {
		switch {
		case m.newest == nil:
			unused = m
		case m.newest.container() == container:
			return m
		}
	}
	switch {
	case unused != nil:
		*unused = member{next: unused.next}
		return unused
	case at.members == nil:
		at.members = &at.lone
		return at.members
	}
	m := &member{next: at.members}
	at.members = m
	return m
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

// release lets go of a stream that has no segment any more.
func (l *Ledger) release(s *stream) {
	if len(s.ended) > 0 || s.holdsAny() || slices.ContainsFunc(l.corrected[s.object], func(c correction) bool { return c.of == s }) {
		return
	}
	s.leave()
	l.closeAccount(s.account)
	if s.member.newest == s {
		s.member.newest = s.older
		return
	}
	for newer := s.member.newest; newer != nil; newer = newer.older {
		if newer.older == s {
			newer.older = s.older
			return
		}
	}
}

// closeAccount drops an account without segments, unless somebody is still to be
// told that it has none.
func (l *Ledger) closeAccount(a *account) {
	if a.streams == nil && !a.changed {
		delete(l.accounts, a.key)
	}
}

// leave takes the stream out of its account.
func (s *stream) leave() {
	if s.prev != nil {
		s.prev.next = s.next
	} else if s.account.streams == s {
		s.account.streams = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.prev, s.next = nil, nil
}

// endOne ends the stream's segment of dimension i, when there is one, because
// the object says so.
func (l *Ledger) endOne(s *stream, i int, end usage.Boundary) {
	if s.open[i].level == 0 {
		return
	}
	at := s.object
	at.seen, at.began = max(at.seen, end.At), max(at.began, s.open[i].start.At)
	l.closeOne(s, i, end)
}

// closeOne ends the stream's segment of dimension i, when there is one. One
// that surely lasted no time leaves no trace; one that may have lasted some,
// within its bounds, stays as one of no length.
func (l *Ledger) closeOne(s *stream, i int, end usage.Boundary) {
	segment := s.open[i]
	if segment.level == 0 {
		return
	}
	s.open[i] = open{}
	s.member.latest = max(s.member.latest, end.At)
	l.touch(s.account)
	c := closedOf(segment.level, segment.start, end, s.object.meter.dimensions[i])
	if end.At <= segment.start.At {
		l.noteClosed(usage.Void, s, c) // as it was: what has no length has no key
		if !c.shorten(l.sealed) {
			return
		}
	}
	l.put(s, c)
}

// put enters a segment that has ended.
func (l *Ledger) put(s *stream, c closed) {
	if s.ended == nil { // most end all that they hold at once, and nothing after
		s.ended = make([]closed, 0, max(1, len(s.open)))
	}
	s.ended = append(s.ended, c)
	s.member.latest = max(s.member.latest, c.end)
	s.account.latest = max(s.account.latest, c.latest())
	l.ends.note(s.object, c.latest())
	l.noteClosed(usage.Put, s, c)
}

// shorten gives a segment that ended no later than it started no length, and
// tells whether it may have lasted some time all the same: it then lies
// somewhere between its start's earliest moment and its end's latest. Where its
// bounds reach into what is sealed it has left a trace there, which stays.
func (c *closed) shorten(sealed int64) bool {
	earliest, latest := c.start-int64(c.startSlack), c.latest()
	at := max(min(c.start, c.end), earliest)
	if earliest < sealed {
		at = max(at, sealed)
		latest = max(latest, at)
	}
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
	start = l.free(s, s.object.meter.dimension(i).Name, start)
	if earliest, _ := start.StartBounds(); earliest < l.sealed {
		brief := piece{of: s, level: level, start: start, end: usage.Boundary{At: start.At, Evidence: usage.IntervalCut}}
		l.noteCorrection(&correction{piece: brief, dimension: s.object.meter.dimensions[i]})
		start.Slack = uint32(start.At - l.sealed)
	}
	s.open[i] = open{level: level, start: start}
	s.member.latest = max(s.member.latest, start.At)
	l.noteOpened(s)
	l.touch(s.account)
}

// free is the start, or the later moment from which on no other meter holds the
// dimension of the stream's member and resource: it is held once.
func (l *Ledger) free(s *stream, dimension string, start usage.Boundary) usage.Boundary {
	l.others(s.object, func(other *object) {
		if !other.meter.measures(dimension) {
			return
		}
		for m := other.members; m != nil; m = m.next {
			for held := m.newest; held != nil && held.container() == s.container(); held = held.older {
				if held.resource.uid != s.resource.uid {
					continue
				}
				held.pieces(start.At, func(measured uint32, p piece) {
					if other.meter.measured[measured].Name == dimension {
						start = usage.Boundary{At: max(start.At, p.until()), Evidence: start.Evidence}
					}
				})
			}
		}
	})
	return start
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
	m := s.object.meter
	return usage.Segment{Meter: m.Name, Dimension: s.measured(m.dimension(i)), Level: s.open[i].level, Start: s.open[i].start}
}
