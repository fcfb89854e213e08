package timeline

import (
	"iter"
	"maps"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Intervals are the sealed ones that a window touches, in order.
func (s *Snapshot) Intervals(w usage.Window) []usage.Window {
	first, _ := slices.BinarySearchFunc(s.sealed, w.Start, func(interval usage.Window, start int64) int {
		if interval.End <= start {
			return -1
		}
		return 1
	})
	end := first
	for end < len(s.sealed) && s.sealed[end].Start < w.End {
		end++
	}
	return s.sealed[first:end]
}

// Coverage are the stretches within an interval that were not observed, in
// canonical form.
func (s *Snapshot) Coverage(interval usage.Window) []usage.Stretch {
	return usage.CutCoverage(s.coverage, interval)
}

// Holding is what an account held in an interval.
type Holding struct {
	usage.Account
	// Segments are cut to the interval, in canonical order.
	Segments []usage.Segment
}

// Holdings are what accounts held in a sealed interval, as it was sealed: what
// corrects it is not in it. They come in the order of accounts; with after, those
// after that one.
func (s *Snapshot) Holdings(f *Filters, interval usage.Window, after *usage.Account) iter.Seq[Holding] {
	accounts := map[usage.Account][]*class{}
	for _, c := range s.classes {
		if f.matches(&c.words) && (after == nil || usage.CompareAccounts(c.Account, *after) > 0) {
			accounts[c.Account] = append(accounts[c.Account], c)
		}
	}
	return func(yield func(Holding) bool) {
		for _, account := range slices.SortedFunc(maps.Keys(accounts), usage.CompareAccounts) {
			held := Holding{Account: account, Segments: within(accounts[account], f, interval)}
			if len(held.Segments) > 0 && !yield(held) {
				return
			}
		}
	}
}

// within are the segments of classes, cut to an interval, in canonical order.
func within(classes []*class, f *Filters, interval usage.Window) []usage.Segment {
	var inside []usage.Segment
	for _, c := range classes {
		c.each(f, interval, func(o occurrence) {
			for _, whole := range o.segments(interval) {
				if part, ok := whole.Cut(interval, interval.End); ok {
					inside = append(inside, part)
				}
			}
		})
	}
	slices.SortFunc(inside, usage.Segment.Compare)
	return inside
}
