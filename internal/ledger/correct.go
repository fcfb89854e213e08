package ledger

import (
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
// then taken back comes to nothing.
func (l *Ledger) correct(k *known, now line) {
	if len(l.seals) == 0 {
		return
	}
	sealed := usage.Window{Start: l.seals[0], End: l.sealed}
	corrected := len(l.corrections)
	for _, c := range differences(k.line.within(sealed), now.within(sealed)) {
		c.dimension = k.dimension
		at := c.of.object
		l.corrected[at] = append(l.corrected[at], c)
		l.ends.note(at, c.end.At)
		c.of.member.latest = max(c.of.member.latest, c.end.At)
		l.noteCorrection(&c)
	}
	if len(l.corrections) > corrected {
		l.late++
	}
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
// ends there, its boundary says why.
func (x line) grow(p, other *piece, from, to int64) line {
	if p == nil {
		return x
	}
	part := piece{of: p.of, level: p.level, start: p.start, end: p.end}
	if part.start.At != from {
		part.start = usage.Boundary{At: from, Evidence: usage.IntervalCut}
		if other != nil && other.start.At == from {
			part.start = other.start
		}
	}
	if part.end.At != to {
		part.end = usage.Boundary{At: to, Evidence: usage.IntervalCut}
		if other != nil && other.end.At == to {
			part.end = other.end
		}
	}
	if n := len(x); n > 0 && x[n-1].end.At == from && x[n-1].says(&part) {
		x[n-1].end = part.end
		return x
	}
	return append(x, part)
}

// noteCorrection notes a correction for the journal: each one names one interval.
func (l *Ledger) noteCorrection(c *correction) {
	kind := usage.More
	if c.less {
		kind = usage.Less
	}
	m := c.of.object.meter
	subject := c.of.subject()
	first, found := slices.BinarySearch(l.seals, c.start.At)
	if !found {
		first--
	}
	for i := max(first, 0); i < len(l.seals) && l.seals[i] < c.end.At; i++ {
		interval := usage.Window{Start: l.seals[i], End: l.sealed}
		if i+1 < len(l.seals) {
			interval.End = l.seals[i+1]
		}
		for _, p := range (line{c.piece}).within(interval) {
			l.corrections = append(l.corrections, usage.Change{
				Kind: kind, Corrects: interval.Start,
				Segment: usage.Segment{
					Meter: m.Name, Subject: subject, Dimension: c.of.measured(m.measured[c.dimension]), Level: c.level, Start: p.start, End: p.end,
				},
			})
		}
	}
}
