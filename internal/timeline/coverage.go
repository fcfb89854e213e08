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
	// Began is when the first meter began that measures what is asked for, in seconds
	// since the epoch, in the window or not; 0: there is none.
	Began int64
	// Gaps are what was estimated or is unknown, by meter, in the order of time.
	Gaps []Gap
}

// Seconds are all of them.
func (c *Coverage) Seconds() int64 { return c.Observed + c.Replayed + c.Estimated + c.Unknown }

// Coverage is how what was added up is known.
func (t *Tally) Coverage() Coverage {
	return coverageOf(&t.query.Filters, t.Window(), t.known, t.coverage)
}

// CoverageOf returns how much of a window was seen by the meters of what the filters
// let through.
func (s *Snapshot) CoverageOf(f *Filters, w usage.Window) Coverage {
	return coverageOf(f, w, s.meters, s.coverage)
}

func coverageOf(f *Filters, w usage.Window, meters []Meter, coverage usage.Stretches) Coverage {
	each, all := f.stretches(w, meters, coverage)
	c := Coverage{Observed: w.Seconds(), Began: f.began(meters)}
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

// Seen are the parts of a window that the meters of what each of some filters lets through
// have seen, or have estimated.
func (s *Snapshot) Seen(w usage.Window, of ...Filters) []usage.Window {
	var unknown []usage.Window
	for i := range of {
		_, all := of[i].stretches(w, s.meters, s.coverage)
		for _, cut := range usage.CutCoverage(all, w) {
			if cut.Coverage == usage.CoverageUnknown {
				unknown = append(unknown, cut.Window)
			}
		}
	}
	return between(united(unknown), w)
}

// stretches are the parts of a window that were not observed by the meters of what the
// filters let through: for each meter, and for all as if they were one. A part in which
// none metered is unknown.
func (f *Filters) stretches(w usage.Window, meters []Meter, coverage usage.Stretches) (each, all []usage.Stretch) {
	say := func(s usage.Stretch) {
		each = append(each, s)
		s.Meter = ""
		all = append(all, s)
	}
	var metered []usage.Window
	for i := range meters {
		m := &meters[i]
		looked := united(m.times(w, func(d usage.Dimension) bool { return f.mayMeasure(m.ResourceType, d) }))
		for _, time := range looked {
			for _, s := range coverage.Of(m.Name, time) {
				s.Window = s.Intersect(time)
				say(s)
			}
		}
		metered = append(metered, looked...)
	}
	for _, gap := range between(united(metered), w) {
		say(usage.Stretch{Window: gap, Coverage: usage.CoverageUnknown})
	}
	return each, all
}

// began is when the first meter began of what the filters let through; 0: none did.
func (f *Filters) began(meters []Meter) (first int64) {
	for i := range meters {
		for j := range meters[i].Measured {
			m := &meters[i].Measured[j]
			if f.mayMeasure(meters[i].ResourceType, m.Dimension) && (first == 0 || m.Since < first) {
				first = m.Since
			}
		}
	}
	return first
}

// doubt is what a meter's coverage says of a window.
type doubt struct {
	unknown  int64 // seconds
	accuracy usage.Accuracy
	since    usage.Accuracy // the same, but for the time before the meter began
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
		began := usage.Window{Start: t.firstMeasured(of), End: w.End}
		for _, gap := range t.unmetered(of, w) {
			stretches = append(stretches, usage.Stretch{Meter: of.meter, Window: gap, Coverage: usage.CoverageUnknown})
		}
		for _, s := range usage.CutCoverage(stretches, w) {
			for j := c.at(s.Start); j < c.windows() && c[j] < s.End; j++ {
				part := c.window(j)
				doubts[i][j].note(s.Coverage, s.Intersect(part).Seconds(), s.Intersect(part).Intersect(began).Seconds() > 0)
			}
		}
	}
	return doubts
}

func (d *doubt) note(coverage usage.Coverage, seconds int64, metered bool) {
	accuracy := usage.Exact
	switch coverage {
	case usage.CoverageUnknown:
		d.unknown += seconds
		accuracy = usage.Partial
	case usage.CoverageEstimated:
		accuracy = usage.Estimated
	}
	d.accuracy = max(d.accuracy, accuracy)
	if metered {
		d.since = max(d.since, accuracy)
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

// firstMeasured is when a meter began to measure a dimension, in seconds since the
// epoch; 0 where it is applied no more.
func (t *Tally) firstMeasured(of measured) (first int64) {
	plain, _ := of.dimension.Plain()
	for i := range t.known {
		if t.known[i].Name != of.meter {
			continue
		}
		for _, m := range t.known[i].Measured {
			if m.Dimension == plain && (first == 0 || m.Since < first) {
				first = m.Since
			}
		}
	}
	return first
}
