package timeline

import (
	"cmp"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Gap is a stretch that nobody saw, and for which something is missing, or estimated.
type Gap = usage.Stretch

// Coverage says how a window is known to those who meter what a query asks for.
type Coverage struct {
	// Observed, Replayed, Estimated and Unknown are seconds; together they are the
	// window, as far as it has come. Of each second the worst counts that any meter
	// says of it. Meters count from when they began; before the first of them
	// everything is unknown.
	Observed, Replayed, Estimated, Unknown int64
	// Gaps are what was estimated or is unknown, by meter, in the order of time.
	Gaps []Gap
}

// Seconds are all of them.
func (c *Coverage) Seconds() int64 { return c.Observed + c.Replayed + c.Estimated + c.Unknown }

// Coverage is how what was added up is known.
func (t *Tally) Coverage() Coverage {
	w := usage.Window{Start: t.calendar.start(), End: t.through}
	meters := t.relevant()
	first := w.End
	for _, m := range meters {
		first = min(first, m.Since)
	}
	var each, all []usage.Stretch
	say := func(s usage.Stretch) {
		each = append(each, s)
		s.Meter = ""
		all = append(all, s)
	}
	say(usage.Stretch{Window: usage.Window{Start: w.Start, End: first}, Coverage: usage.CoverageUnknown})
	for _, m := range meters {
		for _, s := range t.coverage.Of(m.Name, w) {
			s.Window = s.Intersect(usage.Window{Start: m.Since, End: w.End})
			say(s)
		}
	}
	c := Coverage{Observed: w.Seconds()}
	for _, s := range usage.CutCoverage(all, w) {
		seconds := s.Seconds()
		c.Observed -= seconds
		switch s.Coverage {
		case usage.CoverageReplayed:
			c.Replayed += seconds
		case usage.CoverageEstimated:
			c.Estimated += seconds
		default:
			c.Unknown += seconds
		}
	}
	for _, s := range usage.CutCoverage(each, w) {
		if s.Coverage >= usage.CoverageEstimated {
			c.Gaps = append(c.Gaps, s)
		}
	}
	slices.SortStableFunc(c.Gaps, func(a, b Gap) int { return cmp.Compare(a.Start, b.Start) })
	return c
}

// relevant are the meters that measure what the query asks for.
func (t *Tally) relevant() []Meter {
	var found []Meter
	for _, m := range t.known {
		measures := slices.ContainsFunc(m.Dimensions, func(d usage.Dimension) bool {
			return t.query.measures(&words{ResourceType: m.ResourceType, Dimension: d})
		})
		if measures {
			found = append(found, m)
		}
	}
	return found
}

// doubt is what a meter's coverage says of a window.
type doubt struct {
	unknown  int64 // seconds
	accuracy usage.Accuracy
}

// doubts are those of each of the tally's meters, in each window.
func (t *Tally) doubts() [][]doubt {
	c := t.calendar
	w := usage.Window{Start: c.start(), End: t.through}
	doubts := make([][]doubt, len(t.meters))
	for i, name := range t.meters {
		doubts[i] = make([]doubt, c.windows())
		stretches := []usage.Stretch{{Meter: name, Window: usage.Window{Start: w.Start, End: t.since(name)}, Coverage: usage.CoverageUnknown}}
		stretches = append(stretches, t.coverage.Of(name, w)...)
		for _, s := range usage.CutCoverage(stretches, w) {
			for j := c.at(s.Start); j < c.windows() && c[j] < s.End; j++ {
				doubts[i][j].note(s.Coverage, s.Intersect(c.window(j)).Seconds())
			}
		}
	}
	return doubts
}

func (d *doubt) note(coverage usage.Coverage, seconds int64) {
	switch coverage {
	case usage.CoverageUnknown:
		d.unknown += seconds
		d.accuracy = usage.Partial
	case usage.CoverageEstimated:
		d.accuracy = max(d.accuracy, usage.Estimated)
	}
}

// since is when the meter began. One that is applied no more measured what it did
// measure, and nothing is missing before that.
func (t *Tally) since(name string) int64 {
	for _, m := range t.known {
		if m.Name == name {
			return m.Since
		}
	}
	return t.calendar.start()
}
