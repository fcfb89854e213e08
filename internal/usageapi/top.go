package usageapi

import (
	"strconv"

	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/timeline"
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
	others, count := OthersOf(ranking.Others)
	answer.Others, count = others, count+int64(len(ranking.Rows))
	answer.RowCount = &count
	return c.write(answer)
}
