package timeline

import (
	"cmp"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// withHistory gives meters what each measured when, where the journal does not say.
func withHistory(before, meters []Meter) []Meter {
	out := slices.Clone(meters)
	for i := range out {
		m := &out[i]
		if m.Measured != nil {
			continue
		}
		var history []usage.Metered
		for j := range before {
			if before[j].Name == m.Name && before[j].ResourceType == m.ResourceType {
				history = before[j].Measured
			}
		}
		m.Measured = usage.Redefined(history, m.Dimensions, m.Since)
	}
	return out
}

// times are when a meter measured some of its dimensions, within a window.
func (m *Meter) times(w usage.Window, some func(usage.Dimension) bool) []usage.Window {
	var times []usage.Window
	for i := range m.Measured {
		if some(m.Measured[i].Dimension) {
			times = append(times, m.Measured[i].Window(w).Intersect(w))
		}
	}
	return times
}

// united are windows as one after the other, without overlaps.
func united(windows []usage.Window) []usage.Window {
	windows = slices.DeleteFunc(slices.Clone(windows), func(w usage.Window) bool { return w.Seconds() == 0 })
	slices.SortFunc(windows, func(a, b usage.Window) int { return cmp.Compare(a.Start, b.Start) })
	var out []usage.Window
	for _, w := range windows {
		if last := len(out) - 1; last >= 0 && w.Start <= out[last].End {
			out[last].End = max(out[last].End, w.End)
		} else {
			out = append(out, w)
		}
	}
	return out
}

// between is what united windows leave of one that they lie in.
func between(windows []usage.Window, w usage.Window) []usage.Window {
	var out []usage.Window
	for _, covered := range windows {
		if w.Start < covered.Start {
			out = append(out, usage.Window{Start: w.Start, End: covered.Start})
		}
		w.Start = covered.End
	}
	if w.Seconds() > 0 {
		out = append(out, w)
	}
	return out
}
