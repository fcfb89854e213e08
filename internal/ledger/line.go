package ledger

import (
	"cmp"
	"math"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// piece is one segment of a line.
type piece struct {
	of         *stream
	level      int64
	start, end usage.Boundary // end is zero while it is open
}

// until is the moment at which the piece ends; never, while it is open.
func (p *piece) until() int64 {
	if p.end.IsZero() {
		return math.MaxInt64
	}
	return p.end.At
}

// says tells whether the piece holds the same as the other.
func (p *piece) says(other *piece) bool { return p.of == other.of && p.level == other.level }

// line is what one member has held of one dimension: pieces that last, in order,
// none of which overlaps another. Whatever is learnt of a member, and in
// whatever order, is a cut of its lines at a moment, and what follows from there.
type line []piece

// before is the line up to the moment at which it ended.
func (x line) before(end usage.Boundary) line {
	kept := make(line, 0, len(x)+1)
	for _, p := range x {
		if p.start.At >= end.At {
			break
		}
		if p.until() > end.At {
			p.end = end
		}
		kept = append(kept, p)
	}
	return kept
}

// without is the line without what the stream held in a stretch of it.
func (x line) without(of *stream, start, end usage.Boundary) line {
	kept := make(line, 0, len(x)+1)
	for _, p := range x {
		if p.of != of || p.until() <= start.At || p.start.At >= end.At {
			kept = append(kept, p)
			continue
		}
		if p.start.At < start.At {
			kept = append(kept, piece{of: p.of, level: p.level, start: p.start, end: start})
		}
		if p.until() > end.At {
			kept = append(kept, piece{of: p.of, level: p.level, start: end, end: p.end})
		}
	}
	return kept
}

// joined is the line in order, with pieces put together that only a seal keeps apart.
func (x line) joined() line {
	slices.SortStableFunc(x, func(a, b piece) int { return cmp.Compare(a.start.At, b.start.At) })
	kept := x[:0]
	for _, p := range x {
		if n := len(kept); n > 0 && kept[n-1].says(&p) && kept[n-1].until() == p.start.At && cutBySeal(p.start) {
			kept[n-1].end = p.end
			continue
		}
		kept = append(kept, p)
	}
	return kept
}

func cutBySeal(b usage.Boundary) bool {
	return b.Evidence == usage.Late || b.Evidence == usage.IntervalCut
}

// stay is a time during which a member was put where a stream is.
type stay struct {
	of    *stream
	start usage.Boundary
	left  usage.Boundary // when the stay before ended
}

// stays are where a member was put after the moment, in order, as its lines show
// it, and under is where it was at the moment: where it was put last before, or
// first after. under is nil where nothing is known of it.
func stays(lines []known, moment int64) (under *stream, later []stay) {
	all := ordered(lines)
	var last *piece // of those so far, the one that ended last
	for i := range all {
		p := &all[i]
		before := under
		if n := len(later); n > 0 {
			before = later[n-1].of
		}
		switch {
		case p.start.At <= moment || before == nil:
			under = p.of
		case !before.placedAs(p.of):
			left := p.start
			if last != nil && last.until() <= p.start.At {
				left = last.end
			}
			later = append(later, stay{of: p.of, start: p.start, left: left})
		}
		if last == nil || p.until() >= last.until() {
			last = p
		}
	}
	return under, later
}

// ordered are the pieces of all lines, by their starts.
func ordered(lines []known) line {
	var all line
	for i := range lines {
		all = append(all, lines[i].line...)
	}
	slices.SortStableFunc(all, func(a, b piece) int { return cmp.Compare(a.start.At, b.start.At) })
	return all
}

// known is what is known of a member's line of one dimension.
type known struct {
	dimension uint32 // among those that the meter ever measured
	line      line
}

// lines are the member's lines as they are known now, for what changes at the
// moment: what is not sealed, and, where the moment is, what is, with what was
// learnt of it since. There is one for each dimension that is measured, in order,
// and then one for each that was and has segments.
func (l *Ledger) lines(of *member, at *object, moment int64) []known {
	from := l.sealed
	if moment < l.sealed {
		from = math.MinInt64
	}
	lines := make([]known, len(at.meter.dimensions))
	for i, dimension := range at.meter.dimensions {
		lines[i].dimension = dimension
	}
	find := func(dimension uint32) *line {
		i := slices.IndexFunc(lines, func(k known) bool { return k.dimension == dimension })
		if i < 0 {
			i = len(lines)
			lines = append(lines, known{dimension: dimension})
		}
		return &lines[i].line
	}
	for s := of.newest; s != nil; s = s.older {
		s.pieces(from, func(dimension uint32, p piece) {
			x := find(dimension)
			*x = append(*x, p)
		})
	}
	if moment < l.sealed {
		for _, c := range l.corrected[at] {
			if c.of.member != of {
				continue
			}
			x := find(c.dimension)
			switch {
			case c.less:
				*x = x.without(c.of, c.start, c.end)
			case c.start.At < c.end.At:
				*x = append(*x, c.piece)
			}
		}
	}
	for i := range lines {
		lines[i].line = lines[i].line.joined()
	}
	if moment < l.sealed {
		for i := range lines {
			lines[i].line = lines[i].line.doubted(l.brief(of, at, lines[i].dimension))
		}
	}
	return lines
}

// brief are the corrections of no length: what is said of bounds alone.
func (l *Ledger) brief(of *member, at *object, dimension uint32) line {
	var brief line
	for _, c := range l.corrected[at] {
		if c.of.member == of && c.dimension == dimension && c.start.At == c.end.At {
			brief = append(brief, c.piece)
		}
	}
	return brief
}

// pieces calls visit with each segment of the stream that lasts, and goes on
// after the moment.
func (s *stream) pieces(from int64, visit func(dimension uint32, p piece)) {
	for i := range s.ended {
		if c := &s.ended[i]; c.end > from && c.end > c.start {
			visit(c.dimension, piece{of: s, level: c.level, start: c.startBoundary(), end: c.endBoundary()})
		}
	}
	for i := range s.open {
		if s.open[i].level != 0 {
			visit(s.object.meter.dimensions[i], piece{of: s, level: s.open[i].level, start: s.open[i].start})
		}
	}
}
