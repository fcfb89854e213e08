// Package usagemetrics shows Prometheus what is held, and what was held in sealed
// intervals, as the timeline has it. Both are floating-point numbers, which are not
// exact above 2^53: they are for dashboards and alerts, not for billing.
//
// How many series there are is bounded, whatever tenants do. A series that has no place
// is in the series "(other)" of its resource type and dimension, so that sums over all
// series stay right; a namespace keeps its fair share of places, whatever others want.
package usagemetrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Other is the namespace of what has no series of its own. No namespace is called so.
const Other = "(other)"

// Options are what is shown.
type Options struct {
	// Namespace is the operator's own, in which what is in no namespace is recorded: nodes.
	Namespace string
	// Series is how many series each metric may have, beside those of Other.
	Series int
	// ByDeployment has a series for each deployment of a namespace.
	ByDeployment bool
	// Selected tells which namespaces may have series of their own, besides Namespace; nil: all. An error
	// shows the series that there were.
	Selected func() (map[string]bool, error)
	// Snapshot is what the ledger says; nil: nothing is shown, as of a replica that stands by.
	Snapshot func() *timeline.Snapshot
	// Failed is told that Selected has failed; nil: nobody is.
	Failed func(error)
}

// Collector is a prometheus.Collector. It is safe for concurrent use.
type Collector struct {
	options Options
	descriptions

	mu       sync.Mutex
	totals   *timeline.RunningTotals
	seen     *timeline.Snapshot
	selected map[string]bool // nil: all
	own      map[timeline.SeriesKey]bool
	folded   int
	others   map[timeline.Measure]*other
}

// other is what has no series of its own, of a dimension as meters define it.
type other struct {
	held   usage.Amount
	sealed usage.Amount // in this run
}

type descriptions struct {
	held, unitSeconds, corrected, capacity, series, budget, folded *prometheus.Desc
}

// New is a collector of what the options say.
func New(o Options) *Collector {
	labels := []string{"namespace", "resource_type", "dimension", "unit"}
	if o.ByDeployment {
		labels = append(labels, "deployment")
	}
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("usage_operator_"+name, help, labels, nil)
	}
	return &Collector{
		options: o, totals: timeline.NewRunningTotals(o.ByDeployment), own: map[timeline.SeriesKey]bool{}, others: map[timeline.Measure]*other{},
		descriptions: descriptions{
			held: describe("held",
				"What is held now, in base units. Not for billing: a float is not exact above 2^53.", labels...),
			unitSeconds: describe("unit_seconds_total",
				"What was held in sealed intervals, as they were sealed, in base units times seconds: it grows when an interval is sealed. Not for billing: a float is not exact above 2^53.", labels...),
			corrected: describe("corrected_unit_seconds_total",
				"What was taken off sealed intervals (Less), and added to them (More), after they were sealed: unit_seconds_total does not count it. Not for billing.", "resource_type", "dimension", "unit", "kind"),
			capacity: describe("node_capacity",
				"What the nodes have, in base units.", "dimension", "unit"),
			series: describe("usage_series",
				"How many series usage_operator_held has, beside those of the namespace (other)."),
			budget: describe("usage_series_budget",
				"How many it may have (--usage-metrics-series)."),
			folded: describe("usage_series_folded",
				"How many series would be more than their namespaces' shares of the budget, and are in (other)."),
		},
	}
}

// Describe is prometheus.Collector's.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.held, c.unitSeconds, c.corrected, c.capacity, c.series, c.budget, c.descriptions.folded} {
		to <- d
	}
}

// Collect is prometheus.Collector's.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	snapshot := c.options.Snapshot()
	if snapshot == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh(snapshot)
	send := func(d *prometheus.Desc, kind prometheus.ValueType, value usage.Amount, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, kind, value.Float(), labels...)
	}
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	for _, r := range c.totals.Awake() {
		if c.own[r.SeriesKey] {
			labels := c.labels(r.Namespace, r.ResourceType, r.Name, r.Unit, r.Deployment)
			send(c.held, gauge, r.Held(), labels...)
			send(c.unitSeconds, counter, r.Sealed(), labels...)
		}
	}
	for of, o := range c.others {
		labels := c.labels(Other, of.ResourceType, of.Name, of.Unit, Other)
		send(c.held, gauge, o.held, labels...)
		send(c.unitSeconds, counter, o.sealed, labels...)
		less, more := c.totals.Corrected(of)
		send(c.corrected, counter, less, of.ResourceType, of.Name, of.Unit.Base(), usage.Less.String())
		send(c.corrected, counter, more, of.ResourceType, of.Name, of.Unit.Base(), usage.More.String())
	}
	for of, amount := range c.nodes() {
		send(c.capacity, gauge, amount, of.Name, of.Unit.Base())
	}
	number := func(d *prometheus.Desc, n int) { send(d, gauge, usage.Held(int64(n), 1)) }
	number(c.series, len(c.own))
	number(c.budget, c.options.Series)
	number(c.descriptions.folded, c.folded)
}

func (c *Collector) labels(namespace, resourceType, dimension string, unit usage.Unit, deployment string) []string {
	labels := []string{namespace, resourceType, dimension, unit.Base()}
	if c.options.ByDeployment {
		labels = append(labels, deployment)
	}
	return labels
}

// nodePool is the resource type of nodes.
const nodePool = "node_pool"

// nodes are what nodes have, by dimension. Those of clusters that this one manages are
// in their tenants' namespaces, and none of it.
func (c *Collector) nodes() map[usage.Dimension]usage.Amount {
	have := map[usage.Dimension]usage.Amount{}
	for _, r := range c.totals.Awake() {
		if r.ResourceType == nodePool && r.Namespace == c.options.Namespace {
			have[r.Dimension] = have[r.Dimension].Plus(r.Held())
		}
	}
	return have
}

// refresh takes in a snapshot, and finds who has series of their own.
func (c *Collector) refresh(s *timeline.Snapshot) {
	if c.options.Selected != nil {
		selected, err := c.options.Selected()
		switch {
		case err == nil:
			c.selected = selected
		case c.options.Failed != nil:
			c.options.Failed(err)
		}
		if c.selected == nil {
			c.selected = map[string]bool{}
		}
	} else if s == c.seen {
		return
	}
	c.totals.Advance(s)
	c.seen = s
	before := c.own
	c.allot()
	// What was sealed is in the increase of one series exactly: of its own, if that was
	// shown before.
	for _, r := range c.totals.Grown() {
		if !before[r.SeriesKey] || !c.own[r.SeriesKey] {
			o := c.other(r.Measure())
			o.sealed = o.sealed.Plus(r.Added())
		}
	}
	for _, o := range c.others {
		o.held = usage.Amount{}
	}
	for of := range s.Measured() {
		c.other(of) // from the beginning on: an increase is from 0
	}
	for _, r := range c.totals.Awake() {
		if o := c.other(r.Measure()); !c.own[r.SeriesKey] {
			o.held = o.held.Plus(r.Held())
		}
	}
}

// other is where series of a measure are counted that have no place.
func (c *Collector) other(of timeline.Measure) *other {
	if c.others[of] == nil {
		c.others[of] = &other{}
	}
	return c.others[of]
}
