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

// Unwritten are the changes since it was last called: what has ended, in order,
// then what is open and new, then corrections.
func (l *Ledger) Unwritten() []usage.Change {
	u := l.unwritten
	l.unwritten = unwritten{}
	changes := make([]usage.Change, 0, len(u.closed)+2*len(u.opened)+len(u.corrections))
	subjects := map[*stream]*usage.Subject{}
	add := func(kind usage.ChangeKind, of *stream, segment usage.Segment) {
		if subjects[of] == nil {
			subjects[of] = of.subject()
		}
		segment.Subject = subjects[of]
		changes = append(changes, usage.Change{Kind: kind, Segment: segment})
	}
	for i := range u.closed {
		c := &u.closed[i]
		add(c.kind, c.of, c.of.segmentOf(&c.closed))
	}
	done := make(map[*stream]struct{}, len(u.opened))
	for _, s := range u.opened {
		if _, again := done[s]; again {
			continue
		}
		done[s] = struct{}{}
		for i := range s.open {
			if s.open[i].level != 0 {
				add(usage.Put, s, s.segment(i))
			}
		}
	}
	return append(changes, u.corrections...)
}

// HasUnwritten tells whether there are changes that Unwritten was not asked for.
func (l *Ledger) HasUnwritten() bool {
	u := &l.unwritten
	return len(u.closed)+len(u.opened)+len(u.corrections) > 0
}
