package usage

import (
	"cmp"
	"maps"
	"slices"
)

// Coverage is how a stretch of time is known to a meter.
type Coverage uint8

const (
	// CoverageObserved: everything was delivered as it happened. It is what holds where
	// nothing else is said, from the moment on at which a meter began.
	CoverageObserved Coverage = iota
	// CoverageReplayed: nobody looked, but every change was replayed afterwards.
	CoverageReplayed
	// CoverageEstimated: nobody looked; what was there before and after was
	// compared, and the moments in between lie within bounds.
	CoverageEstimated
	// CoverageUnknown: nobody looked, and nobody can tell.
	CoverageUnknown
)

var coverageNames = [...]string{"Observed", "Replayed", "Estimated", "Unknown"}

// String is the word that reports use.
func (c Coverage) String() string { return coverageNames[c] }

// Stretch is how a meter knows a stretch of time.
type Stretch struct {
	Meter string
	Window
	Coverage Coverage
}

// CutCoverage is what the stretches say of a window, in canonical form: by meter
// and time, without overlaps, the worst that is said of each second.
func CutCoverage(stretches []Stretch, w Window) []Stretch {
	meters := map[string][]Stretch{}
	for _, s := range stretches {
		if s.Window = s.Intersect(w); s.Seconds() > 0 {
			meters[s.Meter] = append(meters[s.Meter], s)
		}
	}
	var canonical []Stretch
	for _, meter := range slices.Sorted(maps.Keys(meters)) {
		canonical = append(canonical, disjoint(meters[meter])...)
	}
	return canonical
}

// disjoint gives one meter's stretches, in order and without overlaps. It takes n log n.
func disjoint(stretches []Stretch) []Stretch {
	type event struct {
		at       int64
		coverage Coverage
		more     int // of the coverage there are from then on
	}
	events := make([]event, 0, 2*len(stretches))
	for _, s := range stretches {
		events = append(events, event{s.Start, s.Coverage, +1}, event{s.End, s.Coverage, -1})
	}
	slices.SortFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	var out []Stretch
	var said [len(coverageNames)]int // how many stretches say each coverage
	for i, e := range events {
		said[e.coverage] += e.more
		if i+1 == len(events) || events[i+1].at == e.at {
			continue
		}
		worst := CoverageUnknown
		for worst > CoverageObserved && said[worst] == 0 {
			worst--
		}
		piece := Stretch{Meter: stretches[0].Meter, Window: Window{Start: e.at, End: events[i+1].at}, Coverage: worst}
		last := len(out) - 1
		switch {
		case worst == CoverageObserved:
		case last >= 0 && out[last].End == piece.Start && out[last].Coverage == worst:
			out[last].End = piece.End
		default:
			out = append(out, piece)
		}
	}
	return out
}
