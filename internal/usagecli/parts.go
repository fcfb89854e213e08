package usagecli

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// addPage adds a page to those before it. A resource with very many segments is on several
// pages, each with what it held in a part of the time: it is made whole.
func addPage(all, page *wire.ResourceList) error {
	for i := range page.Resources {
		part, last := &page.Resources[i], len(all.Resources)-1
		if last < 0 || !isSame(&all.Resources[last], part) {
			all.Resources = append(all.Resources, *part)
			continue
		}
		if err := addPart(&all.Resources[last], part); err != nil {
			return err
		}
	}
	for i := range page.Meters {
		if !slices.ContainsFunc(all.Meters, func(m wire.Meter) bool { return m.Name == page.Meters[i].Name }) {
			all.Meters = append(all.Meters, page.Meters[i])
		}
	}
	slices.SortFunc(all.Meters, func(a, b wire.Meter) int { return cmp.Compare(a.Name, b.Name) })
	all.Next = page.Next
	return nil
}

func isSame(a, b *wire.Resource) bool {
	return a.Namespace == b.Namespace && a.ResourceType == b.ResourceType && a.Name == b.Name && a.UID == b.UID
}

// addPart adds what a resource held in a later part of the time.
func addPart(r, part *wire.Resource) error {
	units := map[string]usage.Unit{}
	for _, totals := range [][]wire.Quantity{r.Totals, part.Totals} {
		for i := range totals {
			units[totals[i].Dimension+"\n"+totals[i].Unit] = unitOf(totals[i].ExactUnit)
		}
	}
	r.Segments = addSegments(r.Segments, part.Segments, units)
	r.Corrections = addSegments(r.Corrections, part.Corrections, units)
	for i := range part.Totals {
		more := &part.Totals[i]
		at := slices.IndexFunc(r.Totals, func(q wire.Quantity) bool {
			return q.Dimension == more.Dimension && q.ExactUnit == more.ExactUnit
		})
		if at < 0 {
			r.Totals = append(r.Totals, *more)
			continue
		}
		if err := addTotal(&r.Totals[at], more); err != nil {
			return err
		}
	}
	slices.SortStableFunc(r.Totals, func(a, b wire.Quantity) int {
		return cmp.Or(cmp.Compare(a.Dimension, b.Dimension), cmp.Compare(a.ExactUnit, b.ExactUnit))
	})
	return nil
}

func addTotal(to, more *wire.Quantity) error {
	a, err := usage.ParseAmount(to.Exact)
	if err != nil {
		return fmt.Errorf("the total of %s: %w", to.Dimension, err)
	}
	b, err := usage.ParseAmount(more.Exact)
	if err != nil {
		return fmt.Errorf("the total of %s: %w", more.Dimension, err)
	}
	sum := a.Plus(b)
	to.Exact, to.Quantity = sum.String(), unitOf(to.ExactUnit).Hours(sum, changeDigits)
	return nil
}

// piece tells what is in several parts from everything else in them.
type piece struct {
	id, correction, start, end string
	level                      int64
	nth                        int // of those that are the same in everything
}

// pieces are what segments are, in their order. What goes on in one part may have ended in the
// next, which was asked for later.
func pieces(segments []wire.Segment) []piece {
	list, seen := make([]piece, len(segments)), map[piece]int{}
	for i := range segments {
		s := &segments[i]
		p := piece{id: s.ID}
		if s.Correction != "" {
			p.correction, p.start, p.level = s.Correction, s.Start.Time, s.ExactLevel
			if s.End != nil {
				p.end = s.End.Time
			}
		}
		seen[p]++
		list[i] = p
		list[i].nth = seen[p]
	}
	return list
}

// addSegments adds a later part's segments. One that extends over several parts is in each of them,
// whole, with its usage in that part.
func addSegments(all, part []wire.Segment, units map[string]usage.Unit) []wire.Segment {
	at := map[piece]int{}
	for i, p := range pieces(all) {
		at[p] = i
	}
	for i, p := range pieces(part) {
		before, known := at[p]
		if !known {
			all = append(all, part[i])
			continue
		}
		whole := part[i]
		whole.Seconds += all[before].Seconds
		whole.Quantity = unitOfSegment(&whole, units).Hours(usage.Held(whole.ExactLevel, whole.Seconds), changeDigits)
		all[before] = whole
	}
	slices.SortStableFunc(all, func(a, b wire.Segment) int {
		return cmp.Or(
			cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Container, b.Container), cmp.Compare(a.Region, b.Region), cmp.Compare(a.Bundle, b.Bundle),
			cmp.Compare(a.Deployment, b.Deployment), cmp.Compare(a.Dimension, b.Dimension), cmp.Compare(a.Start.Time, b.Start.Time), cmp.Compare(a.ID, b.ID),
		)
	})
	return all
}

// unitOfSegment is what its level counts: as its dimension's total says or, where that is zero,
// after corrections, as its name says.
func unitOfSegment(s *wire.Segment, units map[string]usage.Unit) usage.Unit {
	if unit, known := units[s.Dimension+"\n"+s.HourUnit]; known {
		return unit
	}
	for _, unit := range []usage.Unit{usage.Byte, usage.BitPerSecond} {
		if unit.HourUnit(s.Dimension) == s.HourUnit {
			return unit
		}
	}
	return usage.Count // all others have the same scale
}
