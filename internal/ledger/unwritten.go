package ledger

import (
	"github.com/usage-operator/usage-operator/internal/usage"
)

// unwritten is what has changed since it was last written to the journal.
type unwritten struct {
	closed      []change
	opened      []*stream
	corrections []usage.Change
}

// change is what became of a segment that has ended.
type change struct {
	kind usage.ChangeKind
	of   *stream
	closed
}

func (u *unwritten) noteClosed(kind usage.ChangeKind, s *stream, c closed) {
	u.closed = append(u.closed, change{kind: kind, of: s, closed: c})
}

func (u *unwritten) noteOpened(s *stream) {
	if n := len(u.opened); n == 0 || u.opened[n-1] != s {
		u.opened = append(u.opened, s)
	}
}

// Unwritten are the changes since it, or Take, was last called: what has ended, in
// order, then what is open and new, then corrections.
func (l *Ledger) Unwritten() []usage.Change {
	t := NewTaken(l.Opened())
	l.Take(t)
	return t.Changes()
}

// Taken are changes, as short as the ledger keeps them. They are of the moment at
// which they were taken, whatever becomes of the ledger.
type Taken struct {
	unwritten
	open     []opened
	measured map[*Meter][]usage.Dimension
}

// opened is a segment that is open. There may be all that there are: no pointer.
type opened struct {
	level, at int64
	slack     uint32
	stream    uint32 // in unwritten
	dimension uint32 // among those that the meter ever measured
	evidence  usage.Evidence
}

// NewTaken has room for so many segments that are open.
func NewTaken(most int) *Taken {
	t := &Taken{open: make([]opened, most), measured: map[*Meter][]usage.Dimension{}}
	clear(t.open) // so that the kernel has found the memory before it is needed
	t.open = t.open[:0]
	return t
}

// Opened is about how many segments are open and new.
func (l *Ledger) Opened() int { return 2 * len(l.opened) }

// Take is Unwritten, but for putting it into words: Changes does that, and needs
// the ledger no more.
func (l *Ledger) Take(t *Taken) {
	t.unwritten, l.unwritten = l.unwritten, unwritten{}
	var last *Meter
	of := func(s *stream) *Meter {
		if m := s.object.meter; m != last {
			last, t.measured[m] = m, m.measured
		}
		return last
	}
	for i := range t.closed {
		of(t.closed[i].of)
	}
	for n, s := range t.opened {
		m := of(s)
		for i := range s.open {
			if o := &s.open[i]; o.level != 0 {
				t.open = append(t.open, opened{
					level: o.level, at: o.start.At, slack: o.start.Slack, evidence: o.start.Evidence,
					dimension: m.dimensions[i], stream: uint32(n),
				})
			}
		}
	}
}

// Changes are the changes in full.
func (t *Taken) Changes() []usage.Change {
	changes := make([]usage.Change, 0, len(t.closed)+len(t.open)+len(t.corrections))
	subjects := map[*stream]*usage.Subject{}
	add := func(kind usage.ChangeKind, of *stream, dimension uint32, segment usage.Segment) {
		if subjects[of] == nil {
			subjects[of] = of.subject() // which never changes
		}
		segment.Meter, segment.Dimension = of.object.meter.Name, of.measured(t.measured[of.object.meter][dimension])
		segment.Subject = subjects[of]
		changes = append(changes, usage.Change{Kind: kind, Segment: segment})
	}
	for i := range t.closed {
		c := &t.closed[i]
		add(c.kind, c.of, c.dimension, usage.Segment{Level: c.level, Start: c.startBoundary(), End: c.endBoundary()})
	}
	first := make(map[*stream]uint32, len(t.opened)) // where a stream comes first: it may come again
	for i := range t.open {
		o := &t.open[i]
		of := t.opened[o.stream]
		if n, again := first[of]; again && n != o.stream {
			continue
		}
		first[of] = o.stream
		add(usage.Put, of, o.dimension, usage.Segment{Level: o.level, Start: usage.Boundary{At: o.at, Slack: o.slack, Evidence: o.evidence}})
	}
	return append(changes, t.corrections...)
}

// HasUnwritten tells whether there are changes that Unwritten was not asked for.
func (l *Ledger) HasUnwritten() bool {
	u := &l.unwritten
	return len(u.closed)+len(u.opened)+len(u.corrections) > 0
}
