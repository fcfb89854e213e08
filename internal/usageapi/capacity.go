package usageapi

import (
	"slices"
	"time"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// capacity answers with what became of the cluster's capacity: what is held of it, under
// deployments and under none, and what is idle. It is about all namespaces, and for those
// who see all.
func (c *call) capacity() error {
	all, err := c.may(everywhere)
	if err != nil {
		return err
	}
	if !all {
		return forbidden("capacity is what all namespaces hold together: User %q cannot list resource %q in API group %q at the cluster scope: ask for a ClusterRoleBinding to the ClusterRole view, or to another that may list usagerecords",
			c.caller.GetName(), "usagerecords", v1alpha1.GroupVersion.Group)
	}
	c.sees("all")
	query := c.request.URL.Query()
	size := timeline.None
	if text := query.Get("window_size"); text != "" {
		size = timeline.Size(text)
	}
	if !slices.Contains(timeline.Sizes, size) {
		return badRequest("window_size: %q is none of none, hour, day, week, month", size)
	}
	zone, err := time.LoadLocation(query.Get("time_zone"))
	if err != nil || query.Get("time_zone") == "Local" {
		return badRequest("time_zone: there is no time zone %q: want a name of the IANA time zone database, such as Europe/Berlin", query.Get("time_zone"))
	}
	w, err := parseWindow("from", query.Get("from"), month(c.now).Start, "to", query.Get("to"), c.now)
	if err != nil {
		return err
	}
	windows, err := report.Cut(w, size, zone, timeline.MaxSeriesWindows)
	if err != nil {
		return err
	}
	c.tell(&timeline.Filters{Metrics: report.Comparisons[0].Capacity}, w)
	answer := &wire.Capacity{Window: timeWindow(w), Known: stamp(c.known()), Sealed: c.sealedStamp(), Dimensions: []wire.CapacityDimension{}}
	for i := range report.Comparisons {
		shown, err := c.compared(&report.Comparisons[i], windows)
		if err != nil {
			return err
		}
		answer.Dimensions = append(answer.Dimensions, *shown)
	}
	return c.write(answer)
}

func (c *call) compared(of *report.Comparison, windows []usage.Window) (*wire.CapacityDimension, error) {
	balances, err := of.Balances(c.ctx, c.snapshot, windows, c.known())
	if gone := c.alive(); gone != nil {
		return nil, gone
	}
	if err != nil {
		return nil, err
	}
	shown := &wire.CapacityDimension{
		Dimension: of.Dimension, Unit: of.Unit.HourUnit(of.Dimension), ExactUnit: of.Unit.ExactUnit(), Scale: scaleOf(of.Unit),
		CapacityMetrics: metricNames(of.Capacity), HeldMetrics: metricNames(of.Held), Windows: []wire.CapacityWindow{},
	}
	var total report.Balance
	for i := range balances {
		total = total.Plus(balances[i])
		if windows[i].Start < c.known() {
			w := windows[i]
			w.End = min(w.End, c.known())
			shown.Windows = append(shown.Windows, wire.CapacityWindow{TimeWindow: timeWindow(w), CapacityFigures: balanceFigures(of.Unit, &balances[i])})
		}
	}
	shown.Total = balanceFigures(of.Unit, &total)
	return shown, nil
}

func balanceFigures(u usage.Unit, b *report.Balance) wire.CapacityFigures {
	out := wire.CapacityFigures{ComparedSeconds: b.Compared, UnknownSeconds: b.Unknown, Accuracy: v1alpha1.Accuracy(b.Accuracy.String())}
	if b.Compared == 0 {
		return out
	}
	out.Capacity, out.Attributed, out.Unattributed = figureOf(u, b.Capacity), figureOf(u, b.Attributed), figureOf(u, b.Unattributed)
	out.Idle, out.Beyond = figureOf(u, b.Idle), figureOf(u, b.Beyond)
	return out
}

func metricNames(list []timeline.Metric) []string {
	names := make([]string, len(list))
	for i, m := range list {
		names[i] = m.ResourceType + "." + m.Dimension
	}
	return names
}
