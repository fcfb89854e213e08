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

// closed is a segment that has ended, without what its account knows.
type closed struct {
	subject    *usage.Subject
	dimension  *usage.Dimension
	level      int64
	start, end usage.Boundary
}

func (c *closed) segment() usage.Segment {
	return usage.Segment{Subject: c.subject, Dimension: *c.dimension, Level: c.level, Start: c.start, End: c.end}
}

// newStream is a stream that holds nothing yet, entered in its account.
func (l *Ledger) newStream(at *object, subject *usage.Subject) *stream {
	a := l.account(subject.Account)
	s := &at.first
	if s.meter != nil { // segments point to it
		s = &stream{}
	}
	s.meter, s.account = at.meter, a
	s.subject = at.meter.compact(subject, a)
	if n := len(at.meter.dimensions); n <= len(s.few) {
		s.open = s.few[:n]
	} else {
		s.open = make([]open, n)
	}
	s.next = a.streams
	if s.next != nil {
		s.next.prev = s
	}
	a.streams = s
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

// compact is the subject with every word that others share kept once: a hundred
// thousand pods name the same few kinds, namespaces and regions, and the pods of
// one workload that. No string of the subject's own is kept, lest it keep a whole
// decoded object alive.
func (m *Meter) compact(subject *usage.Subject, a *account) usage.Subject {
	s := *subject
	s.Account = a.key
	share(&s.ResourceType, &m.last.ResourceType)
	share(&s.Resource.APIVersion, &m.last.Resource.APIVersion)
	share(&s.Resource.Kind, &m.last.Resource.Kind)
	share(&s.Instance.APIVersion, &m.last.Instance.APIVersion)
	share(&s.Instance.Kind, &m.last.Instance.Kind)
	share(&s.Container, &m.last.Container)
	share(&s.Region, &m.last.Region)
	share(&s.Bundle, &m.last.Bundle)
	share(&s.Attributes, &m.last.Attributes)
	var own []*string
	if a.streams != nil && a.streams.subject.Resource == s.Resource {
		s.Resource = a.streams.subject.Resource
	} else {
		own = append(own, &s.Resource.Name, &s.Resource.UID)
	}
	namesake, itself := s.Instance.Name == s.Resource.Name, s.Instance.UID == s.Resource.UID
	if !namesake {
		own = append(own, &s.Instance.Name)
	}
	if !itself {
		own = append(own, &s.Instance.UID)
	}
	together(own)
	if namesake {
		s.Instance.Name = s.Resource.Name
	}
	if itself {
		s.Instance.UID = s.Resource.UID
	}
	return s
}

// together copies words into one string, and makes them parts of it: they are
// compared one after the other.
func together(words []*string) {
	size := 0
	for _, word := range words {
		size += len(*word)
	}
	var all strings.Builder
	all.Grow(size)
	for _, word := range words {
		all.WriteString(*word)
	}
	text := all.String()
	for _, word := range words {
		*word, text = text[:len(*word)], text[len(*word):]
	}
}

// share makes word the one that all share. The last that was asked for is the
// likeliest to be asked for again.
func share[T ~string](word, last *T) {
	if *word != *last {
		*last = unique.Make(*word).Value()
	}
	*word = *last
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
// that lasted no time leaves no trace.
func (l *Ledger) closeOne(at *object, s *stream, i int, end usage.Boundary) {
	segment := s.open[i]
	if segment.level == 0 {
		return
	}
	s.open[i] = open{}
	l.touch(s.account)
	if segment.start.At < l.sealed {
		end = l.afterSealed(end, +1)
	}
	at.seen, at.began = max(at.seen, end.At), max(at.began, segment.start.At)
	if end.At <= segment.start.At {
		return
	}
	s.account.closed = append(s.account.closed, closed{
		subject: &s.subject, dimension: at.meter.dimensions[i], level: segment.level, start: segment.start, end: end,
	})
}

// openOne begins a segment of dimension i, unless the level is 0.
func (l *Ledger) openOne(s *stream, i int, level int64, start usage.Boundary) {
	if level == 0 {
		return
	}
	s.open[i] = open{level: level, start: l.afterSealed(start, -1)}
	l.touch(s.account)
}

// afterSealed moves a moment that was learnt too late to the end of the last
// sealed interval: what is sealed is final. direction is where a boundary's
// slack lies: +1 after an end, -1 before a start.
func (l *Ledger) afterSealed(b usage.Boundary, direction int64) usage.Boundary {
	if b.At >= l.sealed {
		return b
	}
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

// segment is the stream's open segment of dimension i.
func (s *stream) segment(i int) usage.Segment {
	return usage.Segment{Subject: &s.subject, Dimension: *s.meter.dimensions[i], Level: s.open[i].level, Start: s.open[i].start}
}
