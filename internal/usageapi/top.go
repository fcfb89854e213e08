package usageapi

import (
	"strconv"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// top answers with the largest rows of each metric of a report, largest first, and with
// the sum of the other rows of each metric.
func (c *call) top(r *report.Resolved, text string, known *timeline.Coverage) error {
	most, err := strconv.Atoi(text)
	switch {
	case err != nil || most < 1 || most > maxPage:
		return badRequest("top: want how many rows of each metric, 1 to %d", maxPage)
	case r.Size != timeline.None:
		return badRequest("top: windowSize: want none: what used most is told of the whole time")
	case r.From != "":
		return badRequest("top: startFrom: leave it out: there is one page")
	}
	ranking, err := c.pager.Top(c.ctx, c.snapshot, r.Query, c.known(), most)
	if gone := c.alive(); gone != nil {
		return gone
	}
	if err != nil {
		return refused(err)
	}
	whole, err := c.whole(r)
	if err != nil {
		return refused(err)
	}
	answer := c.reportOf(r, whole, ranking.Rows, "", known)
	count := int64(len(ranking.Rows))
	for i := range ranking.Others {
		o := &ranking.Others[i]
		count += int64(o.Count)
		shown := wire.Others{
			ResourceType: o.ResourceType, Dimension: o.Name, Count: o.Count,
			Unit: o.Unit.HourUnit(o.Name), ExactUnit: o.Unit.ExactUnit(), Accuracy: v1alpha1.Accuracy(o.Accuracy.String()),
		}
		if o.Known {
			shown.Quantity, shown.Exact = o.Unit.Hours(o.Amount, digits), o.Amount.String()
		}
		answer.Others = append(answer.Others, shown)
	}
	answer.RowCount = &count
	return c.write(answer)
}
