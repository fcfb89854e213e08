package asking

import (
	"slices"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// A row may add up several clusters, and one that is not in it may have used nothing, or may
// not know. Then the sum is not known, either: unknown is never zero.

// doubtKey is what a cluster may not know.
type doubtKey struct {
	window                  usage.Window
	resourceType, dimension string
}

// doubt is how well it is known what a cluster that has no row used.
type doubt struct{ accuracy, since usage.Accuracy }

// doubt has a row say what the clusters do not know that are not in it.
func (m *merging) doubt(row *merged) {
	if row.unique || len(m.clusters) == 1 {
		return
	}
	var resourceType, customer string
	for _, v := range row.Group {
		switch v.Key {
		case string(timeline.ResourceType):
			resourceType = v.Value
		case wire.Customer:
			customer = v.Value
		}
	}
	for place, of := range m.clusters {
		if place/64 < len(row.of) && row.of[place/64]&(1<<(place%64)) != 0 {
			if of.isBehind(row.Window, m.now) {
				row.Accuracy, row.Since = usage.Partial, usage.Partial
			}
			continue
		}
		if m.byCustomer && customer != "" && !of.serves(customer) {
			continue
		}
		d := of.doubt(doubtKey{row.Window, resourceType, row.Name}, m.now)
		row.Accuracy, row.Since = max(row.Accuracy, d.accuracy), max(row.Since, d.since)
	}
}

// serves tells whether a customer has namespaces in the cluster.
func (of *asked) serves(customer string) bool {
	for _, name := range of.customers {
		if name == customer {
			return true
		}
	}
	return false
}

// isBehind tells whether the end of a window, as far as it has come, is unknown, since the
// cluster has not been heard of for a while.
func (of *asked) isBehind(w usage.Window, now int64) bool {
	return of.snapshot.Time() < min(w.End, now-behindAfter)
}

func (of *asked) doubt(k doubtKey, now int64) doubt {
	known, is := of.doubts[k]
	if is {
		return known
	}
	f := of.filters
	if k.resourceType != "" {
		f.ResourceTypes = []string{k.resourceType}
	}
	if plain, _ := (usage.Dimension{Name: k.dimension}).Plain(); k.dimension != "" {
		f.Dimensions = []string{plain.Name}
	}
	w := k.window
	w.End = max(w.Start, min(w.End, of.through))
	c := of.snapshot.CoverageOf(&f, w)
	d := doubt{accuracy: accuracyOf(&c)}
	if c.Began > 0 && c.Began < w.End {
		c = of.snapshot.CoverageOf(&f, usage.Window{Start: max(w.Start, c.Began), End: w.End})
		d.since = accuracyOf(&c)
	}
	if of.isBehind(k.window, now) {
		d = doubt{usage.Partial, usage.Partial}
	}
	of.doubts[k] = d
	return d
}

func accuracyOf(c *timeline.Coverage) usage.Accuracy {
	switch {
	case c.Unknown > 0:
		return usage.Partial
	case c.Estimated > 0:
		return usage.Estimated
	}
	return usage.Exact
}

// ranked are the rows of a measure.
type ranked struct {
	measure timeline.Measure
	rows    []timeline.Row
}

// rank are the largest rows of each measure, and what the others add up to.
func rank(rows []timeline.Row, most int) *timeline.Ranking {
	by, all := map[timeline.Measure]*ranked{}, []*ranked{}
	var unknown []timeline.Row
	for i := range rows {
		row := &rows[i]
		if row.Unit == "" && !row.Known {
			unknown = append(unknown, *row)
			continue
		}
		of := timeline.Measure{Dimension: row.Dimension}
		for _, v := range row.Group {
			if v.Key == string(timeline.ResourceType) {
				of.ResourceType = v.Value
			}
		}
		if by[of] == nil {
			by[of] = &ranked{measure: of}
			all = append(all, by[of])
		}
		by[of].rows = append(by[of].rows, *row)
	}
	slices.SortFunc(all, func(a, b *ranked) int { return a.measure.Compare(b.measure) })
	out := &timeline.Ranking{Rows: unknown}
	for _, r := range all {
		slices.SortStableFunc(r.rows, func(a, b timeline.Row) int { return b.Amount.Compare(a.Amount) })
		out.Rows = append(out.Rows, r.rows[:min(most, len(r.rows))]...)
		if len(r.rows) <= most {
			continue
		}
		others := timeline.Others{Measure: r.measure, Known: true}
		for _, row := range r.rows[most:] {
			others.Count++
			others.Amount = others.Amount.Plus(row.Amount)
			others.Known = others.Known && row.Known
			others.Accuracy = max(others.Accuracy, row.Accuracy)
		}
		out.Others = append(out.Others, others)
	}
	return out
}
