package usage

import (
	"cmp"
	"maps"
	"slices"
)

// Stretches are what is said of meters' coverage over a long time, kept so that what
// is said of a window is found without looking at the rest. The zero value is empty.
//
// With has one caller at a time; what it was called on, and all that came before, is
// for any number of readers.
type Stretches struct{ meters map[string][]reaching }

// reaching is a stretch, and the latest end of it and those before it.
type reaching struct {
	Stretch
	latest int64
}

// With are the stretches and some more.
func (s Stretches) With(more ...Stretch) Stretches {
	if len(more) == 0 {
		return s
	}
	with := Stretches{meters: maps.Clone(s.meters)}
	if with.meters == nil {
		with.meters = map[string][]reaching{}
	}
	unordered := map[string]bool{}
	for _, stretch := range more {
		if stretch.Seconds() == 0 {
			continue
		}
		of := with.meters[stretch.Meter]
		added := reaching{Stretch: stretch, latest: stretch.End}
		if n := len(of); n > 0 {
			added.latest = max(added.latest, of[n-1].latest)
			if stretch.Start < of[n-1].Start {
				unordered[stretch.Meter] = true
			}
		}
		with.meters[stretch.Meter] = append(of, added) // beyond what readers see
	}
	for meter := range unordered {
		with.meters[meter] = ordered(with.meters[meter])
	}
	return with
}

// ordered are stretches by their starts.
func ordered(of []reaching) []reaching {
	of = slices.Clone(of)
	slices.SortStableFunc(of, func(a, b reaching) int { return cmp.Compare(a.Start, b.Start) })
	for i := range of {
		of[i].latest = of[i].End
		if i > 0 {
			of[i].latest = max(of[i].latest, of[i-1].latest)
		}
	}
	return of
}

// Of is what is said of a meter in a window, as it was said: stretches may overlap,
// and reach out of it.
func (s Stretches) Of(meter string, w Window) []Stretch {
	of := s.meters[meter]
	first, _ := slices.BinarySearchFunc(of, w.Start, func(r reaching, start int64) int {
		if r.latest <= start {
			return -1
		}
		return 1
	})
	var found []Stretch
	for _, r := range of[first:] {
		if r.Start >= w.End {
			break
		}
		if r.End > w.Start {
			found = append(found, r.Stretch)
		}
	}
	return found
}

// Cut is CutCoverage of all of them.
func (s Stretches) Cut(w Window) []Stretch {
	var found []Stretch
	for meter := range s.meters {
		found = append(found, s.Of(meter, w)...)
	}
	return CutCoverage(found, w)
}
