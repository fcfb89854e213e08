package simulate

import (
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// mostEstimated is how much of what is said may be Estimated or Unknown, in percent, over many
// seeds: in most of them something goes wrong, and in a quarter a history is lost.
const mostEstimated = 5

// extent is how much the journal says, in seconds of streams, and of how much of that it says
// itself that it is no more than estimated, or less: of that the oracle excuses a part.
type extent struct{ said, estimated int64 }

func (e extent) add(other extent) extent {
	return extent{e.said + other.said, e.estimated + other.estimated}
}

// share is the part that is estimated, in percent.
func (e extent) share() float64 { return 100 * float64(e.estimated) / float64(max(e.said, 1)) }

// measure tells how much is said in the window, and how much of it is estimated.
func measure(accounts map[stream]*account, coverage []usage.Stretch, w usage.Window) (e extent) {
	estimated := map[string][]usage.Window{} // by meter, none of which overlap
	for _, c := range coverage {
		if c.Coverage >= usage.CoverageEstimated {
			estimated[c.Meter] = append(estimated[c.Meter], c.Window)
		}
	}
	for name, windows := range estimated {
		estimated[name] = union(windows)
	}
	for key, a := range accounts {
		for _, p := range a.said {
			if p.level == 0 {
				continue
			}
			from, to, sign := max(p.from, w.Start), min(p.to, w.End), int64(p.sign)
			e.said += sign * max(to-from, 0)
			for _, in := range estimated[meterOf[key.dimension]] {
				e.estimated += sign * max(min(to, in.End)-max(from, in.Start), 0)
			}
		}
	}
	return e
}

// union is the windows with those joined that touch.
func union(windows []usage.Window) []usage.Window {
	slices.SortFunc(windows, func(a, b usage.Window) int { return int(a.Start - b.Start) })
	var out []usage.Window
	for _, w := range windows {
		if n := len(out); n > 0 && w.Start <= out[n-1].End {
			out[n-1].End = max(out[n-1].End, w.End)
			continue
		}
		out = append(out, w)
	}
	return out
}
