package asking

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// merging adds up what clusters say. Sums are exact, and in no order: what comes out does not
// depend on how the clusters come.
type merging struct {
	*question
	rows  []*merged
	by    map[string]*merged
	bytes []byte
}

// merged is a row of the fleet.
type merged struct {
	timeline.Row
	// of are the clusters that it is made of, by their places.
	of []uint64
	// unique tells that nothing of another cluster's is the same: it has a UID.
	unique bool
}

// made is a report, with all of its rows.
type made struct {
	of       string // its fingerprint
	rows     []timeline.Row
	whole    *report.Whole
	sealed   int64
	visible  string
	clusters []wire.FleetCluster
}

func newMerging(q *question) *merging { return &merging{question: q, by: map[string]*merged{}} }

// add adds what a cluster says.
func (m *merging) add(of *asked, rows []timeline.Row) error {
	place := slices.Index(m.clusters, of)
	for i := range rows {
		row := &rows[i]
		group, unique := m.group(of, row)
		key := m.key(row, group)
		into := m.by[key]
		if into == nil {
			if len(m.rows) == mostRows {
				return tooMany(mostRows+1, mostRows)
			}
			into = &merged{Row: *row, unique: unique}
			into.Group = group
			m.by[key] = into
			m.rows = append(m.rows, into)
		} else {
			into.Amount = into.Amount.Plus(row.Amount)
			into.Known = into.Known || row.Known
			into.Accuracy, into.Since = max(into.Accuracy, row.Accuracy), max(into.Since, row.Since)
		}
		for len(into.of) <= place/64 {
			into.of = append(into.of, 0)
		}
		into.of[place/64] |= 1 << (place % 64)
	}
	return nil
}

// group are the values of a row of a cluster, with the hub's own, in the order of the keys.
func (m *merging) group(of *asked, row *timeline.Row) (group []timeline.Value, unique bool) {
	namespace := ""
	for _, v := range row.Group {
		if v.Key == string(timeline.Namespace) {
			namespace = v.Value
		}
	}
	with := func(key timeline.Key) {
		for _, v := range row.Group {
			if v.Key == string(key) || v.Key == string(key)+"UID" {
				group = append(group, v)
				unique = unique || v.Key != string(key) && v.Value != ""
			}
		}
	}
	for _, key := range m.keys {
		switch key {
		case wire.Cluster:
			group = append(group, timeline.Value{Key: wire.Cluster, Value: of.name}, timeline.Value{Key: wire.ClusterUID, Value: string(of.uid)})
			unique = true
		case wire.Customer:
			group = append(group, timeline.Value{Key: wire.Customer, Value: of.customers[namespace]})
		case timeline.Dimension:
		default:
			with(key)
		}
	}
	with(timeline.Dimension)
	return group, unique
}

// key tells rows apart.
func (m *merging) key(row *timeline.Row, group []timeline.Value) string {
	b := binary.AppendVarint(m.bytes[:0], row.Window.Start)
	for _, v := range group {
		b = append(binary.AppendUvarint(b, uint64(len(v.Value))), v.Value...)
	}
	b = append(b, row.Unit...)
	m.bytes = b
	return string(b)
}

// compareRows orders rows by window, then by group.
func compareRows(a, b *timeline.Row) int {
	return cmp.Or(
		cmp.Compare(a.Window.Start, b.Window.Start),
		slices.CompareFunc(a.Group, b.Group, func(x, y timeline.Value) int { return cmp.Compare(x.Value, y.Value) }),
		cmp.Compare(a.Unit, b.Unit),
	)
}

// result is the report.
func (m *merging) result() *made {
	out := &made{of: m.fingerprint(), rows: make([]timeline.Row, 0, len(m.rows)), whole: &report.Whole{}}
	slices.SortFunc(m.rows, func(a, b *merged) int { return compareRows(&a.Row, &b.Row) })
	for _, row := range m.rows {
		m.doubt(row)
		out.rows = append(out.rows, row.Row)
	}
	out.sealed = m.clusters[0].snapshot.Sealed()
	totals := map[timeline.Measure]usage.Amount{}
	namespaces, whole := 0, true
	for _, of := range m.clusters {
		out.sealed = min(out.sealed, of.snapshot.Sealed())
		for _, t := range of.whole.Totals {
			totals[t.Measure] = totals[t.Measure].Plus(t.Amount)
		}
		shown := m.shown(&of.member, of.snapshot.Time(), of.snapshot.Sealed())
		if n := of.filters.Namespaces; n != nil {
			namespaces += len(n)
			shown.Visible = fmt.Sprintf("namespaces=%d", len(n))
			whole = false
		}
		coverage := of.coverage(m.resolved.Window, m.now)
		if coverage.Seconds() > 0 {
			shown.Coverage = report.Percent(&coverage)
		}
		shown.MeteringBegan = stamped(coverage.Began)
		out.clusters = append(out.clusters, shown)
		addCoverage(&out.whole.Coverage, of, &coverage)
		out.whole.Corrections += of.whole.Corrections
	}
	for measure, amount := range totals {
		out.whole.Totals = append(out.whole.Totals, timeline.Total{Measure: measure, Amount: amount})
	}
	slices.SortFunc(out.whole.Totals, func(a, b timeline.Total) int { return a.Compare(b.Measure) })
	slices.SortStableFunc(out.whole.Coverage.Gaps, func(a, b timeline.Gap) int { return cmp.Compare(a.Start, b.Start) })
	out.visible = fmt.Sprintf("clusters=%d", len(m.clusters))
	switch {
	case m.all && whole:
		out.visible = "all"
	case !whole:
		out.visible += fmt.Sprintf(",namespaces=%d", namespaces)
	}
	return out
}

// addCoverage adds up seconds of clusters: of two, an hour is two hours.
func addCoverage(to *timeline.Coverage, of *asked, c *timeline.Coverage) {
	to.Observed += c.Observed
	to.Replayed += c.Replayed
	to.Estimated += c.Estimated
	to.Unknown += c.Unknown
	if c.Began > 0 && (to.Began == 0 || c.Began < to.Began) {
		to.Began = c.Began
	}
	for _, gap := range c.Gaps {
		gap.Meter = of.name + "/" + gap.Meter
		to.Gaps = append(to.Gaps, gap)
	}
}

// coverage is how much of a window is known of the cluster: what it has not said for a while
// is unknown.
func (of *asked) coverage(w usage.Window, now int64) timeline.Coverage {
	c := of.whole.Coverage
	if of.snapshot.Time() < now-behindAfter {
		since := usage.Window{Start: max(w.Start, of.snapshot.Time()), End: min(w.End, now)}
		c.Unknown += since.Seconds()
	}
	return c
}
