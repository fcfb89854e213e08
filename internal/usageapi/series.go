package usageapi

import (
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

const (
	// defaultLines and maxLines are how many groups of each metric series have.
	defaultLines, maxLines = 10, 50
)

// series answers with the figures of a chart: those of a ClusterUsageReport with the spec
// in the body, by window, of the largest groups and of the others together.
func (c *call) series() error {
	spec := &v1alpha1.ClusterUsageReportSpec{}
	if err := c.body(spec); err != nil {
		return err
	}
	most, err := c.most()
	if err != nil {
		return err
	}
	if spec.StartFrom != "" {
		return badRequest("startFrom: leave it out: there is one page")
	}
	request, err := c.reportRequest(spec)
	if err != nil {
		return err
	}
	resolved, err := report.Resolve(*request, c.now)
	if err != nil {
		return refused(err)
	}
	if err := c.checkQuery(&resolved.Query, "groupBy", ""); err != nil {
		return err
	}
	known := c.tell(&resolved.Filters, resolved.Window)
	found, err := c.pager.Series(c.ctx, c.snapshot, resolved.Query, c.known(), most)
	if gone := c.alive(); gone != nil {
		return gone
	}
	if err != nil {
		return refused(err)
	}
	return c.write(c.seriesOf(resolved, found, &known))
}

func (c *call) most() (int, error) {
	text := c.request.URL.Query().Get("top")
	if text == "" {
		return defaultLines, nil
	}
	most, err := strconv.Atoi(text)
	if err != nil || most < 1 || most > maxLines {
		return 0, badRequest("top: want how many groups of each metric, 1 to %d", maxLines)
	}
	return most, nil
}

func (c *call) seriesOf(r *report.Resolved, s *timeline.Series, known *timeline.Coverage) *wire.Series {
	out := &wire.Series{
		Window: timeWindow(r.Window), Windows: []wire.SeriesWindow{}, Series: shownLines(s.Lines, false),
		Others: shownLines(s.Others, true), Totals: shownLines(s.Totals, false),
		Known: stamp(c.known()), Sealed: c.sealedStamp(), Visible: c.writer.Header().Get(wire.VisibleHeader),
	}
	if known.Began > 0 {
		out.MeteringBegan = stamp(known.Began)
	}
	for i := range s.Windows {
		of := &s.Coverage[i]
		out.Windows = append(out.Windows, wire.SeriesWindow{
			TimeWindow: timeWindow(s.Windows[i]), Observed: of.Observed, Replayed: of.Replayed, Estimated: of.Estimated, Unknown: of.Unknown,
		})
	}
	return out
}

func (c *call) sealedStamp() string {
	if sealed := c.snapshot.Sealed(); sealed > 0 {
		return stamp(sealed)
	}
	return ""
}

func shownLines(lines []timeline.Line, others bool) []wire.Line {
	out := make([]wire.Line, len(lines))
	for i := range lines {
		l := &lines[i]
		out[i] = wire.Line{
			ResourceType: l.ResourceType, Dimension: l.Name, Unit: l.Unit.HourUnit(l.Name), ExactUnit: l.Unit.ExactUnit(),
			Scale: scaleOf(l.Unit), Exact: make([]*string, len(l.Points)), Total: totalOf(l),
		}
		if others {
			out[i].Count = l.Count
		}
		if l.Group != nil {
			out[i].Group = map[string]string{}
		}
		for _, v := range l.Group {
			out[i].Group[v.Key] = v.Value
		}
		worst := usage.Exact
		for j := range l.Points {
			if p := &l.Points[j]; p.Known {
				out[i].Exact[j] = new(p.Amount.String())
			}
			worst = max(worst, l.Points[j].Accuracy)
		}
		out[i].Accuracy = v1alpha1.Accuracy(worst.String())
	}
	return out
}

// scaleOf is how many of a unit's exact units make one of its hours.
func scaleOf(u usage.Unit) string { return strconv.FormatInt(u.PerHour(), 10) }

// totalOf is what a line adds up to where it is known; nil where it is nowhere.
func totalOf(l *timeline.Line) *wire.Figure {
	var total usage.Amount
	known := false
	for i := range l.Points {
		if p := &l.Points[i]; p.Known {
			total, known = total.Plus(p.Amount), true
		}
	}
	if !known {
		return nil
	}
	return figureOf(l.Unit, total)
}

func figureOf(u usage.Unit, a usage.Amount) *wire.Figure {
	return &wire.Figure{Quantity: u.Hours(a, digits), Exact: a.String()}
}

func timeWindow(w usage.Window) v1alpha1.TimeWindow {
	return v1alpha1.TimeWindow{StartTime: moment(w.Start), EndTime: moment(w.End)}
}

func moment(t int64) metav1.Time { return metav1.Unix(t, 0) }
