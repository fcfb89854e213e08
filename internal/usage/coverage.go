package usage

import (
	"cmp"
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

// CutCoverage is what the stretches say of a window, in order: by meter, start
// and end, then coverage.
func CutCoverage(stretches []Stretch, w Window) []Stretch {
	var inside []Stretch
	for _, s := range stretches {
		if s.Window = s.Intersect(w); s.Seconds() > 0 {
			inside = append(inside, s)
		}
	}
	slices.SortFunc(inside, func(a, b Stretch) int {
		return cmp.Or(cmp.Compare(a.Meter, b.Meter), cmp.Compare(a.Start, b.Start), cmp.Compare(a.End, b.End), cmp.Compare(a.Coverage, b.Coverage))
	})
	return slices.Compact(inside)
}
