package record

import (
	"fmt"
	"strings"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Worded is the record with the words that are found in one that is stored, where an earlier
// release had put it like that: a Final record keeps its text, and its digest does not cover it.
// Where these are no such words it is the record as it is.
func Worded(r *v1alpha1.UsageRecord, found string) *v1alpha1.UsageRecord {
	if found == r.Status.Summary || found != FormerSummary(r.Status.Totals) {
		return r
	}
	worded := *r
	worded.Status.Summary = found
	return &worded
}

// formerLine is how many bytes a summary had at most before usage.RecordLine.
const formerLine = 64

// FormerSummary is the line that releases before made of totals, of a record that is Final or of
// a report: "1 load_balancer-hour" instead of "1 load balancer-hours", and cut elsewhere. It is
// for comparing only.
func FormerSummary(totals []v1alpha1.Total) string {
	var b strings.Builder
	several := len(totals) > 0 && totals[0].ResourceType != totals[len(totals)-1].ResourceType
	for i := range totals {
		part := formerWords(&totals[i])
		first := i == 0 || totals[i-1].ResourceType != totals[i].ResourceType
		if several && first {
			part = totals[i].ResourceType + ": " + part
		}
		if i > 0 && b.Len()+len(part) > formerLine {
			fmt.Fprintf(&b, "; %d more", len(totals)-i)
			break
		}
		switch {
		case i > 0 && first:
			b.WriteString("; ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(part)
	}
	return b.String()
}

func formerWords(t *v1alpha1.Total) string {
	base, _ := strings.CutSuffix(t.ExactUnit, "-second")
	unit := usage.Unit(strings.TrimPrefix(base, "milli"))
	amount, err := usage.ParseAmount(t.Exact)
	if err != nil {
		return t.Dimension
	}
	words := unit.Hours(amount, usage.LineDigits) + " " + t.Unit
	if unit == usage.Count {
		return words
	}
	return t.Dimension + " " + words
}
