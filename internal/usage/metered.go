package usage

import "slices"

// Metered is a time in which a meter measured a dimension.
type Metered struct {
	Dimension
	// Since is when it began to, in seconds since the epoch.
	Since int64
	// Until is when it ended to; 0: it goes on.
	Until int64
}

// Window is the time as a window, which has no end within that one when it goes on.
func (m *Metered) Window(w Window) Window {
	if m.Until == 0 {
		return Window{Start: m.Since, End: w.End}
	}
	return Window{Start: m.Since, End: m.Until}
}

// MaxMetered is how many times are remembered of one meter: those that ended first
// are forgotten, and what was known in them is unknown then.
const MaxMetered = 256

// Redefined is what a meter measured when, once it measures other dimensions from a
// moment on. A dimension that stays goes on, one that is new begins, one that is
// gone has ended. Of a meter that is new there is nothing before.
func Redefined(before []Metered, dimensions []Dimension, now int64) []Metered {
	after := make([]Metered, 0, len(before)+len(dimensions))
	goesOn := map[Dimension]bool{}
	for _, m := range before {
		switch {
		case m.Until != 0:
		case slices.Contains(dimensions, m.Dimension):
			goesOn[m.Dimension] = true
		default:
			m.Until = now
		}
		if m.Until == 0 || m.Until > m.Since {
			after = append(after, m)
		}
	}
	for _, d := range dimensions {
		if !goesOn[d] {
			goesOn[d] = true
			after = append(after, Metered{Dimension: d, Since: now})
		}
	}
	for len(after) > MaxMetered {
		first := -1
		for i := range after {
			if after[i].Until != 0 && (first < 0 || after[i].Until < after[first].Until) {
				first = i
			}
		}
		if first < 0 {
			break // they are all measured
		}
		after = slices.Delete(after, first, first+1)
	}
	return after
}
