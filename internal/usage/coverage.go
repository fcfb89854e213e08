package usage

import (
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

// disjoint gives one meter's stretches without overlaps, in order.
func disjoint(stretches []Stretch) []Stretch {
	moments := make([]int64, 0, 2*len(stretches))
	for _, s := range stretches {
		moments = append(moments, s.Start, s.End)
	}
	slices.Sort(moments)
	moments = slices.Compact(moments)
	var out []Stretch
	for i := range len(moments) - 1 {
		piece := Stretch{Meter: stretches[0].Meter, Window: Window{Start: moments[i], End: moments[i+1]}}
		for _, s := range stretches {
			if s.Contains(piece.Start) {
				piece.Coverage = max(piece.Coverage, s.Coverage)
			}
		}
		last := len(out) - 1
		switch {
		case piece.Coverage == CoverageObserved:
		case last >= 0 && out[last].End == piece.Start && out[last].Coverage == piece.Coverage:
			out[last].End = piece.End
		default:
			out = append(out, piece)
		}
	}
	return out
}
