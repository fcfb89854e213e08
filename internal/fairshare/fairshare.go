// Package fairshare divides a budget by max-min fairness: one that wants no more than
// the share gets all that it wants, and what it leaves is divided among the others.
// So one within its share loses nothing because of what others want.
package fairshare

import (
	"math"
	"slices"
)

// Level returns the share: the highest level at which the sum over all wants, each
// capped at the level, is within the budget. It is math.MaxInt64 if all wants fit.
// wants and budget are in one unit, and must not be negative.
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
