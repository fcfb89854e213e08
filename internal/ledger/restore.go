package ledger

import (
	"cmp"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Restore makes an empty ledger what the changes say: those of the journal, the
// newest of each segment. Sealed are the intervals that were sealed, in order;
// what ended at or before keptFrom is left out. It returns the meters by name:
// each goes on when it is used in an Observation again.
func (l *Ledger) Restore(meters []*Meter, changes []usage.Change, sealed []usage.Window, keptFrom int64) map[string]*Meter {
	for _, interval := range sealed {
		l.Seal(interval)
	}
	byName := make(map[string]*Meter, len(meters))
	for _, m := range meters {
		byName[m.Name] = m
	}
	r := restoring{Ledger: l, meters: byName, ended: map[usage.Subject]*stream{}}
	for i := range changes {
		if c := &changes[i]; c.Kind == usage.Put && c.End.IsZero() {
			r.open(&c.Segment)
		}
	}
	for i := range changes {
		c := &changes[i]
		if _, latest := c.End.EndBounds(); c.Kind == usage.Put && !c.End.IsZero() && latest > keptFrom {
			r.close(&c.Segment)
		}
	}
	for _, at := range l.objects {
		for ; at != nil; at = at.next {
			slices.SortFunc(at.streams, func(a, b *stream) int { return cmp.Compare(a.container(), b.container()) })
			at.count(false)
		}
	}
	l.unwritten = unwritten{}
	return byName
}

type restoring struct {
	*Ledger
	meters map[string]*Meter
	ended  map[usage.Subject]*stream // of what has ended
}

// meter is the one of that name; one that is applied no more is only remembered.
func (r *restoring) meter(segment *usage.Segment) (m *Meter, dimension uint32) {
	m = r.meters[segment.Meter]
	if m == nil {
		m = NewMeter(segment.Meter, 0, nil)
		r.meters[segment.Meter] = m
	}
	return m, m.numbers([]usage.Dimension{segment.Dimension})[0]
}

func (r *restoring) open(segment *usage.Segment) {
	m, dimension := r.meter(segment)
	i := slices.Index(m.dimensions, dimension)
	if i < 0 {
		m.dimensions = append(m.dimensions, dimension)
		i = len(m.dimensions) - 1
	}
	uid := segment.Subject.Instance.UID
	at := r.find(m, uid)
	if at == nil {
		at = r.add(m, uid)
		at.known = true
	}
	var s *stream
	for _, held := range at.streams {
		if held.is(segment.Subject) {
			s = held
		}
	}
	if s == nil {
		s = r.newStream(at, segment.Subject)
		at.streams = append(at.streams, s)
	}
	for len(s.open) <= i {
		s.open = append(s.open, open{})
	}
	s.open[i] = open{level: segment.Level, start: segment.Start}
	earliest, _ := segment.Start.StartBounds()
	at.seen = max(at.seen, earliest)
	at.unreadable = at.unreadable || segment.Start.Evidence == usage.LastKnown
}

func (r *restoring) close(segment *usage.Segment) {
	m, dimension := r.meter(segment)
	s := r.ended[*segment.Subject]
	if s == nil || s.meter != m {
		// An object of its own: closed segments need a stream, and no object.
		at := &object{uid: segment.Subject.Instance.UID, meter: m}
		s = r.newStream(at, segment.Subject)
		s.leave()
		r.ended[*segment.Subject] = s
	}
	s.account.closed = append(s.account.closed, closed{
		of: s, level: segment.Level, dimension: dimension,
		start: segment.Start.At, startSlack: segment.Start.Slack, startEvidence: segment.Start.Evidence,
		end: segment.End.At, endSlack: segment.End.Slack, endEvidence: segment.End.Evidence,
	})
	if at := r.find(m, segment.Subject.Instance.UID); at != nil {
		at.began = max(at.began, segment.Start.At)
		at.seen = max(at.seen, segment.End.At)
	}
}

// Held is the subject of what the meter's member of the object holds, and false
// when it holds nothing.
func (l *Ledger) Held(m *Meter, uid, container string) (*usage.Subject, bool) {
	at := l.find(m, uid)
	if at == nil {
		return nil, false
	}
	for _, s := range at.streams {
		if s.container() == container {
			return s.subject(), true
		}
	}
	return nil, false
}
