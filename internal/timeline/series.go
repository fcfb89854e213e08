package timeline

import (
	"cmp"
	"math"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// class is every series that reports cannot tell apart, but for who holds it.
type class struct {
	words
	generation uint64
	series     []*series
}

// series is what one holder held of one dimension, under one attribution.
type series struct {
	holder     *holder
	spans      []span // that have ended, by their starts
	open       open
	maxSlack   uint32 // of any span
	generation uint64
}

// span is a segment that has ended, without what its series and class say.
type span struct {
	start, end                 int64 // seconds since the epoch
	level                      int64 // base units
	startSlack, endSlack       uint32
	startEvidence, endEvidence usage.Evidence
	// over is how many places before it the first span is that lasts over its start:
	// mostly none does, and it is 0.
	over uint32
}

// open is a segment that has not ended; level 0 is none.
type open struct {
	start, level int64
	slack        uint32
	evidence     usage.Evidence
}

func (o *open) is(start int64) bool { return o.level != 0 && o.start == start }

// span is the open segment as one that never ends.
func (o *open) span() span {
	return span{start: o.start, end: math.MaxInt64, level: o.level, startSlack: o.slack, startEvidence: o.evidence}
}

func spanOf(s *usage.Segment) span {
	return span{
		start: s.Start.At, end: s.End.At, level: s.Level, startSlack: s.Start.Slack, endSlack: s.End.Slack,
		startEvidence: s.Start.Evidence, endEvidence: s.End.Evidence,
	}
}

// find is where the span is that starts then, and lasts.
func (s *series) find(start int64) (int, bool) {
	i, _ := slices.BinarySearchFunc(s.spans, start, func(x span, start int64) int { return cmp.Compare(x.start, start) })
	for ; i < len(s.spans) && s.spans[i].start == start; i++ {
		if s.spans[i].end != start {
			return i, true
		}
	}
	return 0, false
}

// add puts a span where its start belongs: nearly always at the end, where
// nobody who reads looks yet.
func (s *series) add(x span) {
	s.maxSlack = max(s.maxSlack, x.startSlack, x.endSlack)
	n := len(s.spans)
	if n == 0 || s.spans[n-1].start <= x.start {
		s.spans = append(s.spans, x)
		s.reach(n)
		return
	}
	i, _ := slices.BinarySearchFunc(s.spans, x.start+1, func(x span, start int64) int { return cmp.Compare(x.start, start) })
	s.spans = slices.Concat(s.spans[:i], []span{x}, s.spans[i:])
	s.reach(i)
}

// take takes the span at a place out.
func (s *series) take(i int) {
	s.spans = slices.Concat(s.spans[:i], s.spans[i+1:])
	s.reach(i)
}

// reach notes which spans last over the starts of others, from a place on. Nobody
// else has seen these spans yet.
func (s *series) reach(from int) {
	for i := from; i < len(s.spans); i++ {
		first := i
		if i > 0 {
			// What lasts over this start lasts over the one before.
			first = i - 1 - int(s.spans[i-1].over)
		}
		for first < i && s.spans[first].end <= s.spans[i].start {
			first++
		}
		s.spans[i].over = uint32(i - first)
	}
}

// after is the series' spans from the first on that may say something of what is
// later than from. Some of them may end before: what lasts is followed by what
// has no length, and lies inside.
func (s *series) after(from int64) []span {
	if n := len(s.spans); n == 0 || s.spans[0].start >= from {
		return s.spans // mostly, and without a call
	}
	return s.search(from)
}

// search is after, where the first span does not say that it is all of them.
func (s *series) search(from int64) []span {
	from -= int64(s.maxSlack)
	i, _ := slices.BinarySearchFunc(s.spans, from, func(x span, from int64) int { return cmp.Compare(x.start, from) })
	if i == 0 {
		return s.spans
	}
	// What ends later than from lasts over the start before.
	first := i - 1 - int(s.spans[i-1].over)
	for first < i && s.spans[first].end < from {
		first++
	}
	return s.spans[first:]
}

// says tells whether the series says something of a window.
func (s *series) says(w usage.Window) bool {
	if s.open.level != 0 && s.open.start-int64(s.open.slack) < w.End {
		return true
	}
	for _, x := range s.after(w.Start) {
		if x.start-int64(s.maxSlack) >= w.End {
			return false
		}
		if x.says(w) {
			return true
		}
	}
	return false
}

// says tells whether the span, or its bounds, are of a time within the window.
func (x *span) says(w usage.Window) bool {
	return max(x.start-int64(x.startSlack), w.Start) < min(x.end+int64(x.endSlack), w.End)
}

// goesOn tells whether the series may say something of what is later than from.
func (s *series) goesOn(from int64) bool { return s.open.level != 0 || len(s.after(from)) > 0 }
