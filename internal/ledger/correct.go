package ledger

import (
	"cmp"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// correction is a piece of a sealed interval that was not said when it was
// sealed, or, with less, that was said and is not so.
type correction struct {
	piece
	less      bool
	dimension uint32
}

// correct notes the difference between what was known of a line in the sealed
// intervals, with all corrections so far, and what it is now. What was learnt and
// then taken back comes to nothing. Where a boundary has bounds that were not said
// before, the correction has them, or, where nothing is to be added there, a More
// of no length: it may have been more. end is when what was held ended.
func (l *Ledger) correct(k *known, now line, end usage.Boundary) {
	if len(l.seals) == 0 {
		return
	}
	sealed := usage.Window{Start: l.seals[0], End: l.sealed}
	corrected := len(l.corrections)
	all := differences(k.line.within(sealed), now.within(sealed))
	more := k.line
	for i := range all {
		if !all[i].less {
			more = append(slices.Clip(more), all[i].piece)
		}
	}
	for _, p := range append(now.doubts(more), k.line.outlasting(now, end)...) {
		all = append(all, correction{piece: p})
		if p.start.At < l.sealed {
			l.doubt(k.dimension, p)
		}
	}
	for i := range all {
		all[i].dimension = k.dimension
		l.noteCorrection(&all[i])
	}
	if len(l.corrections) > corrected {
		l.late++
	}
}

// mayHaveHeld says of a piece of no length what its bounds leave open: by a
// correction of what is sealed, and by a segment of no length in what is not.
func (l *Ledger) mayHaveHeld(dimension uint32, p piece) {
	l.noteCorrection(&correction{piece: p, dimension: dimension})
	l.doubt(dimension, p)
}

// doubt says of what is not sealed what the bounds of a piece of no length leave open there.
func (l *Ledger) doubt(dimension uint32, p piece) {
	earliest, _ := p.start.StartBounds()
	_, latest := p.end.EndBounds()
	if latest <= l.sealed {
		return
	}
	at := max(p.start.At, l.sealed)
	l.touch(p.of.account)
	l.put(p.of, closed{
		level: p.level, dimension: dimension, start: at, end: at, startSlack: uint32(at - max(earliest, l.sealed)), endSlack: uint32(latest - at),
		startEvidence: p.start.Evidence, endEvidence: p.end.Evidence,
	})
}

// within is the line, cut to the window.
func (x line) within(w usage.Window) line {
	kept := make(line, 0, len(x))
	for _, p := range x {
		if p.until() <= w.Start || p.start.At >= w.End {
			continue
		}
		if p.start.At < w.Start {
			p.start = usage.Boundary{At: w.Start, Evidence: usage.IntervalCut}
		}
		if p.until() > w.End {
			p.end = usage.Boundary{At: w.End, Evidence: usage.IntervalCut}
		}
		kept = append(kept, p)
	}
	return kept
}

// differences are what is to be taken off a line, and what is to be added, to
// make it the other.
func differences(before, now line) []correction {
	moments := make([]int64, 0, 2*(len(before)+len(now)))
	for _, x := range []line{before, now} {
		for _, p := range x {
			moments = append(moments, p.start.At, p.end.At)
		}
	}
	slices.Sort(moments)
	moments = slices.Compact(moments)
	var less, more line
	for i := 0; i+1 < len(moments); i++ {
		was, is := before.over(moments[i]), now.over(moments[i])
		if was != nil && is != nil && was.says(is) {
			continue
		}
		less = less.grow(was, is, moments[i], moments[i+1])
		more = more.grow(is, was, moments[i], moments[i+1])
	}
	var all []correction
	for _, p := range less {
		all = append(all, correction{piece: p, less: true})
	}
	for _, p := range more {
		all = append(all, correction{piece: p})
	}
	return all
}

// over is the piece that holds the second that begins at the moment; nil: none does.
func (x line) over(moment int64) *piece {
	for i := range x {
		if x[i].start.At <= moment && moment < x[i].end.At {
			return &x[i]
		}
	}
	return nil
}

// grow appends a part of a piece. Where the other line, not the piece, begins or
// ends there, its boundary says why: nothing begins or ends, and there are no bounds.
func (x line) grow(p, other *piece, from, to int64) line {
	if p == nil {
		return x
	}
	part := piece{of: p.of, level: p.level, start: p.start, end: p.end}
	if part.start.At != from {
		part.start = usage.Boundary{At: from, Evidence: usage.IntervalCut}
		if other != nil && other.start.At == from {
			part.start.Evidence = other.start.Evidence
		}
	}
	if part.end.At != to {
		part.end = usage.Boundary{At: to, Evidence: usage.IntervalCut}
		if other != nil && other.end.At == to {
			part.end.Evidence = other.end.Evidence
		}
	}
	if n := len(x); n > 0 && x[n-1].end.At == from && x[n-1].says(&part) {
		x[n-1].end = part.end
		return x
	}
	return append(x, part)
}

// doubts are the bounds of the line's boundaries that the other does not have, each
// as a piece of no length.
func (x line) doubts(said line) line {
	var all line
	for _, p := range x {
		before := slices.ContainsFunc(said, func(q piece) bool {
			return q.says(&p) && q.start.At == p.start.At && q.start.Slack >= p.start.Slack
		})
		if p.start.Slack > 0 && !before {
			all = append(all, piece{of: p.of, level: p.level, start: p.start, end: usage.Boundary{At: p.start.At, Evidence: usage.IntervalCut}})
		}
		before = slices.ContainsFunc(said, func(q piece) bool {
			return q.says(&p) && q.end.At == p.end.At && q.end.Slack >= p.end.Slack
		})
		if p.end.Slack > 0 && !before {
			all = append(all, piece{of: p.of, level: p.level, start: usage.Boundary{At: p.end.At, Evidence: usage.IntervalCut}, end: p.end})
		}
	}
	return all
}

// outlasting are the pieces that the other line does not have any more, as pieces of
// no length, as long as they may have gone on: until the latest moment at which
// they ended.
func (x line) outlasting(now line, end usage.Boundary) line {
	var all line
	_, latest := end.EndBounds()
	for _, p := range x {
		from, to := max(p.start.At, end.At), min(p.until(), latest)
		if from >= to || slices.ContainsFunc(now, func(q piece) bool {
			return q.says(&p) && q.start.At <= from && (q.until() >= to || q.until()+int64(q.end.Slack) >= to)
		}) {
			continue
		}
		all = append(all, piece{
			of: p.of, level: p.level, start: usage.Boundary{At: from, Evidence: usage.IntervalCut},
			end: usage.Boundary{At: from, Slack: uint32(to - from), Evidence: end.Evidence},
		})
	}
	return all
}

// doubted is the line with the bounds that pieces of no length say of its boundaries:
// of one that reach through several intervals, each says its own.
func (x line) doubted(brief line) line {
	slices.SortStableFunc(brief, func(a, b piece) int { return cmp.Compare(a.start.At, b.start.At) })
	for i := range x {
		p := &x[i]
		for _, b := range brief {
			if _, latest := p.end.EndBounds(); !p.end.IsZero() && b.says(p) && p.end.At <= b.end.At && b.end.At <= latest {
				p.end.Slack = uint32(max(latest, b.end.At+int64(b.end.Slack)) - p.end.At)
			}
		}
		for _, b := range slices.Backward(brief) {
			if earliest, _ := p.start.StartBounds(); b.says(p) && earliest <= b.start.At && b.start.At <= p.start.At {
				p.start.Slack = uint32(p.start.At - min(earliest, b.start.At-int64(b.start.Slack)))
			}
		}
	}
	return x
}

// noteCorrection notes a correction, and for the journal: each one names one interval.
func (l *Ledger) noteCorrection(c *correction) {
	kind := usage.More
	if c.less {
		kind = usage.Less
		c.start.Slack, c.end.Slack = 0, 0 // what is taken off is what was said
	}
	at := c.of.object
	segment := usage.Segment{Meter: at.meter.Name, Subject: c.of.subject(), Dimension: c.of.measured(at.meter.measured[c.dimension]), Level: c.level, Start: c.start, End: c.end}
	earliest, _ := c.start.StartBounds()
	_, latest := c.end.EndBounds()
	first, found := slices.BinarySearch(l.seals, earliest)
	if !found {
		first--
	}
	for i := max(first, 0); i < len(l.seals) && l.seals[i] < latest; i++ {
		interval := usage.Window{Start: l.seals[i], End: l.sealed}
		if i+1 < len(l.seals) {
			interval.End = l.seals[i+1]
		}
		part, inside := segment.Cut(interval, interval.End)
		if !inside {
			continue
		}
		l.corrections = append(l.corrections, usage.Change{Kind: kind, Corrects: interval.Start, Segment: part})
		l.corrected[at] = append(l.corrected[at], correction{
			piece: piece{of: c.of, level: c.level, start: part.Start, end: part.End}, less: c.less, dimension: c.dimension,
		})
		l.ends.note(at, part.End.At)
		c.of.member.latest = max(c.of.member.latest, part.End.At)
	}
}
