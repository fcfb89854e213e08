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

// likely bounds the room that is made for what has not changed yet.
const likely = 1024

// afresh has room for about as much as there was.
func (u *unwritten) afresh() unwritten {
	return unwritten{
		closed: make([]change, 0, min(len(u.closed)*5/4, likely)), opened: make([]*stream, 0, min(len(u.opened)*5/4, likely)),
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
	t.unwritten, l.unwritten = l.unwritten, l.afresh()
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
	w := wording{places: make(map[*stream]int32, len(t.opened))}
	add := func(kind usage.ChangeKind, of *stream, dimension uint32, segment usage.Segment) {
		m := of.object.meter
		if m != w.meter {
			w.meter, w.measured = m, t.measured[m]
		}
		segment.Meter, segment.Dimension, segment.Subject = m.Name, of.measured(w.measured[dimension]), w.of(of).subject
		changes = append(changes, usage.Change{Kind: kind, Segment: segment})
	}
	for i := range t.closed {
		c := &t.closed[i]
		add(c.kind, c.of, c.dimension, usage.Segment{Level: c.level, Start: c.startBoundary(), End: c.endBoundary()})
	}
	for i := range t.open {
		o := &t.open[i]
		of := t.opened[o.stream]
		worded := w.of(of)
		if worded.opened == 0 {
			worded.opened = o.stream + 1
		}
		if worded.opened != o.stream+1 {
			continue // it came before
		}
		add(usage.Put, of, o.dimension, usage.Segment{Level: o.level, Start: usage.Boundary{At: o.at, Slack: o.slack, Evidence: o.evidence}})
	}
	return append(changes, t.corrections...)
}

// wording puts streams into words, each once. What is of one stream, or meter, comes mostly
// one after the other.
type wording struct {
	places   map[*stream]int32
	streams  []worded
	last     *stream
	at       int32 // its place
	meter    *Meter
	measured []usage.Dimension
}

// worded is a stream's subject, which never changes, and by one more where it comes first
// among those that were opened.
type worded struct {
	subject *usage.Subject
	opened  uint32
}

// of is the stream's, until it is asked for another one's.
func (w *wording) of(s *stream) *worded {
	if s != w.last {
		at, known := w.places[s]
		if !known {
			at = int32(len(w.streams))
			w.places[s] = at
			w.streams = append(w.streams, worded{subject: s.subject()})
		}
		w.last, w.at = s, at
	}
	return &w.streams[w.at]
}

// HasUnwritten tells whether there are changes that Unwritten was not asked for.
func (l *Ledger) HasUnwritten() bool {
	u := &l.unwritten
	return len(u.closed)+len(u.opened)+len(u.corrections) > 0
}
