// Package fairshare divides what is short by max-min fairness: who wants no more
// than the share gets all that it wants, and what it leaves is divided among the
// others. So nobody loses anything because of what another wants.
package fairshare

import (
	"math"
	"slices"
)

// Level is the share: the most that each may have so that what all get together,
// each the lesser of what it wants and the level, is within the budget. It is
// math.MaxInt64 where all get what they want. None of wants, and not budget, may
// be negative.
func Level(wants []int64, budget int64) int64 {
	sorted := slices.Sorted(slices.Values(wants))
	for i, want := range sorted {
		if each := budget / int64(len(sorted)-i); want > each {
			return each
		}
		budget -= want
	}
	return math.MaxInt64
}
