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
		return
	}
	i, _ := slices.BinarySearchFunc(s.spans, x.start+1, func(x span, start int64) int { return cmp.Compare(x.start, start) })
	s.spans = slices.Concat(s.spans[:i], []span{x}, s.spans[i:])
}

// after is the series' spans from the first on that may say something of what is
// later than from.
func (s *series) after(from int64) []span {
	if n := len(s.spans); n == 0 || s.spans[0].start >= from {
		return s.spans
	}
	i, _ := slices.BinarySearchFunc(s.spans, from-int64(s.maxSlack), func(x span, from int64) int {
		if x.end < from {
			return -1
		}
		return 1
	})
	return s.spans[i:]
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
