package timeline

import (
	"context"
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
	return s.coverage.Cut(interval)
}

// HoldingKey tells a holding from every other.
type HoldingKey struct {
	Interval usage.Window
	Account  usage.Account
}

// Holding is what an account held in an interval.
type Holding struct {
	HoldingKey
	// Segments are cut to the interval, in canonical order.
	Segments []usage.Segment
}

// Holdings are what accounts held in the sealed intervals that a window touches, as
// they were sealed: what corrects them is not in it. They come interval by
// interval, in the order of accounts; with after, those after that one.
func (s *Snapshot) Holdings(f *Filters, w usage.Window, after *HoldingKey) iter.Seq[Holding] {
	return s.HoldingsContext(context.Background(), f, w, after)
}

// HoldingsContext are Holdings that end early when the context is done.
func (s *Snapshot) HoldingsContext(ctx context.Context, f *Filters, w usage.Window, after *HoldingKey) iter.Seq[Holding] {
	return func(yield func(Holding) bool) {
		whole := w // the intervals may begin before it
		if touched := s.Intervals(w); len(touched) > 0 {
			whole.Start = min(w.Start, touched[0].Start)
		}
		classes, cold := s.byAccount(f, whole)
		accounts := slices.SortedFunc(maps.Keys(classes), usage.CompareAccounts)
		if after != nil {
			w.Start = max(w.Start, after.Interval.Start)
		}
		for _, interval := range s.Intervals(w) {
			for some := range slices.Chunk(after.left(interval, accounts), unpackedAccounts) {
				packed, err := s.coldWithin(ctx, cold, some, f, interval)
				if err != nil {
					return
				}
				for _, account := range some {
					if ctx.Err() != nil {
						return
					}
					held := Holding{HoldingKey: HoldingKey{Interval: interval, Account: account}, Segments: within(classes[account], f, interval, packed[account])}
					if len(held.Segments) > 0 && !yield(held) {
						return
					}
				}
			}
		}
	}
}

// left are the accounts, in order, that come after the key in an interval; nil: all.
func (k *HoldingKey) left(interval usage.Window, accounts []usage.Account) []usage.Account {
	if k == nil || interval != k.Interval {
		return accounts
	}
	past, found := slices.BinarySearchFunc(accounts, k.Account, usage.CompareAccounts)
	if found {
		past++
	}
	return accounts[past:]
}

// byAccount are the classes that the filters let through and that may matter from the
// window's start on; and those of them, by number, of which something is cold.
func (s *Snapshot) byAccount(f *Filters, w usage.Window) (classes map[usage.Account][]*class, cold map[usage.Account]map[int]*class) {
	classes, cold = map[usage.Account][]*class{}, map[usage.Account]map[int]*class{}
	s.since(w.Start, func(id int, c *class) {
		if !f.matches(&c.words) {
			return
		}
		classes[c.Account] = append(classes[c.Account], c)
		if !c.hasCold(w) {
			return
		}
		if cold[c.Account] == nil {
			cold[c.Account] = map[int]*class{}
		}
		cold[c.Account][id] = c
	})
	return classes, cold
}

func every(*class, *object) bool { return true }

// unpackedAccounts is of how many accounts what is cold is unpacked at a time, so that a page
// of an interval does not take the memory of all of it.
const unpackedAccounts = 256

// coldWithin are the segments of some accounts' classes that are cold, cut to an interval, by account.
func (s *Snapshot) coldWithin(ctx context.Context, cold map[usage.Account]map[int]*class, some []usage.Account, f *Filters, interval usage.Window) (map[usage.Account][]usage.Segment, error) {
	classes, inside := map[int]*class{}, map[usage.Account][]usage.Segment{}
	for _, account := range some {
		maps.Copy(classes, cold[account])
	}
	if len(classes) == 0 {
		return inside, ctx.Err()
	}
	err := s.cold.eachIn(ctx, interval, func(id int) bool { return classes[id] != nil }, func(id int, c *chunk) {
		c.each(interval, classes[id].occurring(f, every, func(o occurrence) {
			if part, ok := o.segment().Cut(interval, interval.End); ok {
				inside[o.class.Account] = append(inside[o.class.Account], part)
			}
		}))
	})
	return inside, err
}

// within are the segments of classes, cut to an interval, in canonical order, and those of
// them that are cold.
func within(classes []*class, f *Filters, interval usage.Window, inside []usage.Segment) []usage.Segment {
	for _, c := range classes {
		c.occurrences(f, every, interval, func(o occurrence) {
			if part, ok := o.segment().Cut(interval, interval.End); ok {
				inside = append(inside, part)
			}
		})
	}
	slices.SortFunc(inside, usage.Segment.Compare)
	return inside
}
