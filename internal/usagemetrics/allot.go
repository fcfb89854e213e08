package usagemetrics

import (
	"cmp"
	"slices"

	"github.com/usage-operator/usage-operator/internal/fairshare"
	"github.com/usage-operator/usage-operator/internal/timeline"
)

// allot gives places to the series of selected namespaces, by max-min fairness: a
// namespace that wants no more than the share has all of its series. Those that had a
// place keep it, as far as the share goes.
func (c *Collector) allot() {
	wanted := map[string][]*timeline.Running{}
	for _, r := range c.totals.Awake() {
		if c.selected == nil || c.selected[r.Namespace] || r.Namespace == c.options.Namespace {
			wanted[r.Namespace] = append(wanted[r.Namespace], r)
		}
	}
	counts := make([]int64, 0, len(wanted))
	for _, series := range wanted {
		counts = append(counts, int64(len(series)))
	}
	share := fairshare.Level(counts, int64(c.options.Series))
	before := c.own
	c.own, c.folded = make(map[timeline.SeriesKey]bool, len(before)), 0
	for _, series := range wanted {
		if over := int64(len(series)) - share; over > 0 {
			slices.SortFunc(series, func(a, b *timeline.Running) int {
				return cmp.Or(first(before[a.SeriesKey], before[b.SeriesKey]), a.Compare(b.SeriesKey))
			})
			c.folded += int(over)
			series = series[:share]
		}
		for _, r := range series {
			c.own[r.SeriesKey] = true
		}
	}
}

// first orders what is before what is not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}
