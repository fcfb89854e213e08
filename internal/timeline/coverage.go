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
	// says of it that measured something then. Where none did everything is unknown.
	Observed, Replayed, Estimated, Unknown int64
	// Gaps are what was estimated or is unknown, by meter, in the order of time.
	Gaps []Gap
}

// Seconds are all of them.
func (c *Coverage) Seconds() int64 { return c.Observed + c.Replayed + c.Estimated + c.Unknown }

// Coverage is how what was added up is known.
func (t *Tally) Coverage() Coverage {
	w := usage.Window{Start: t.calendar.start(), End: t.through}
	var each, all []usage.Stretch
	say := func(s usage.Stretch) {
		each = append(each, s)
		s.Meter = ""
		all = append(all, s)
	}
	var metered []usage.Window
	for i := range t.known {
		m := &t.known[i]
		looked := united(m.times(w, func(d usage.Dimension) bool {
			return t.query.mayMeasure(m.ResourceType, d)
		}))
		for _, time := range looked {
			for _, s := range t.coverage.Of(m.Name, time) {
				s.Window = s.Intersect(time)
				say(s)
			}
		}
		metered = append(metered, looked...)
	}
	for _, gap := range between(united(metered), w) {
		say(usage.Stretch{Window: gap, Coverage: usage.CoverageUnknown})
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

// doubt is what a meter's coverage says of a window.
type doubt struct {
	unknown  int64 // seconds
	accuracy usage.Accuracy
}

// doubts are those of each of the tally's measures, in each window. Of what a
// tenant may name anything, such as devices, they are the same, and there once.
func (t *Tally) doubts() [][]doubt {
	c := t.calendar
	w := usage.Window{Start: c.start(), End: t.through}
	doubts, known := make([][]doubt, len(t.measures)), map[measured][]doubt{}
	for i, of := range t.measures {
		of.dimension, _ = of.dimension.Plain()
		if doubts[i] = known[of]; doubts[i] != nil {
			continue
		}
		doubts[i] = make([]doubt, c.windows())
		known[of] = doubts[i]
		stretches := t.coverage.Of(of.meter, w)
		for _, gap := range t.unmetered(of, w) {
			stretches = append(stretches, usage.Stretch{Meter: of.meter, Window: gap, Coverage: usage.CoverageUnknown})
		}
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

// unmetered is when a meter did not measure a plain dimension. One that is applied no more
// measured what it did measure, and nothing is missing.
func (t *Tally) unmetered(of measured, w usage.Window) []usage.Window {
	i := slices.IndexFunc(t.known, func(m Meter) bool { return m.Name == of.meter })
	if i < 0 {
		return nil
	}
	return between(united(t.known[i].times(w, func(d usage.Dimension) bool { return d == of.dimension })), w)
}
