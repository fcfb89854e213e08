package usageapi

import (
	"net/http"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// What follows is for those who answer for several ledgers, in the words of this API.

// MaxBody is how large a request's body may be, in bytes, and MaxPage how many rows a page may have.
const (
	MaxBody = maxBody
	MaxPage = maxPage
)

// Problem is why a request is not answered: a status, a code for programs, and a message that
// names the field and the remedy. After seconds that are not 0 it may be tried again.
func Problem(status int, code, message string, retryAfter int) error {
	return &problem{status: status, code: code, message: message, retryAfter: retryAfter}
}

// Refuse answers with why a request is not answered, and returns the status. What is no
// Problem, and no error of the timeline's, says nothing of itself.
func Refuse(w http.ResponseWriter, err error) (status int) {
	p := problemOf(err)
	refuse(w, p)
	return p.status
}

// NoSuchName is the problem that a *timeline.NoSuchName is; another error stays as it is.
func NoSuchName(err error) error { return noSuchName(err, http.StatusBadRequest) }

// Refused is an error of a report as a problem; another error stays as it is.
func Refused(err error) error { return refused(err) }

// Validate checks what the API server checks of a report's window and shape.
func Validate(w *v1alpha1.ReportWindow) error { return validate(w) }

// Rows are rows of a report as answers have them.
func Rows(shown []v1alpha1.ReportRow, rows []timeline.Row) []wire.Row {
	out := make([]wire.Row, len(shown))
	for i := range shown {
		out[i] = wire.Row{ReportRow: shown[i]}
		if rows[i].Since != rows[i].Accuracy {
			out[i].Since = v1alpha1.Accuracy(rows[i].Since.String())
		}
	}
	return out
}

// OthersOf are what a ranking leaves out, as answers have it, and how many rows that is.
func OthersOf(list []timeline.Others) (shown []wire.Others, count int64) {
	for i := range list {
		o := &list[i]
		count += int64(o.Count)
		w := wire.Others{
			ResourceType: o.ResourceType, Dimension: o.Name, Count: o.Count,
			Unit: o.Unit.HourUnit(o.Name), ExactUnit: o.Unit.ExactUnit(), Accuracy: v1alpha1.Accuracy(o.Accuracy.String()),
		}
		if o.Known {
			w.Quantity, w.Exact = o.Unit.Hours(o.Amount, digits), o.Amount.String()
		}
		shown = append(shown, w)
	}
	return shown, count
}
