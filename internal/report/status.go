package report

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

const (
	// digits are those after the point of a quantity.
	digits = 6
	// maxBytes is how much a status's rows take at most as JSON, whatever the names are.
	maxBytes = 512 << 10
	// maxGaps is how many gaps the status lists.
	maxGaps = 20
)

// Figures are the part of a report's status that the ledger decides: everything
// but the conditions and times. The error is a *Problem.
func Figures(r *Resolved, tally *timeline.Tally) (*v1alpha1.UsageReportStatus, error) {
	page, err := tally.Page(r.From, r.Limit)
	if bad, is := errors.AsType[*timeline.CursorError](err); is {
		return nil, problem(v1alpha1.ReasonInvalidCursor, "spec.startFrom: %s", bad)
	}
	if err != nil {
		return nil, err
	}
	status := &v1alpha1.UsageReportStatus{
		Window:      &v1alpha1.TimeWindow{},
		RowCount:    new(int64(page.Count)),
		NextPage:    page.Next,
		Corrections: int64(tally.Corrected()),
	}
	*status.Window = window(r.Window)
	summarize(status, WholeOf(tally))
	bytes := 0
	for i := range page.Rows {
		row := row(&page.Rows[i])
		if bytes += size(row); bytes > maxBytes && i > 0 {
			status.NextPage = tally.After(&page.Rows[i-1])
			break
		}
		status.Rows = append(status.Rows, row)
	}
	status.Digest = digest(status)
	return status, nil
}

// FiguresAs are the figures that a status had that was made when the ledger was
// sealed up to its sealedTime, and had so many corrections as it says. The error
// is a *Problem, or a TooLargeError.
func FiguresAs(r *Resolved, status *v1alpha1.UsageReportStatus, s *timeline.Snapshot, limits timeline.Limits) (*v1alpha1.UsageReportStatus, error) {
	tally, err := timeline.NewTally(r.Query)
	if err != nil {
		return nil, err
	}
	tally.Limit(limits)
	reached := int64(math.MinInt64)
	if status.SealedTime != nil {
		reached = status.SealedTime.Unix()
	}
	if err := tally.AsOf(s, min(reached, s.Sealed()), int(status.Corrections)); err != nil {
		return nil, err
	}
	return Figures(r, tally)
}

// Whole is what all rows of a report add up to, and how well that is known.
type Whole struct {
	Totals      []timeline.Total
	Coverage    timeline.Coverage
	Corrections int64
}

// WholeOf is what a tally of it says; nil for none.
func WholeOf(tally *timeline.Tally) *Whole {
	if tally == nil {
		return nil
	}
	return &Whole{Totals: tally.Totals(), Coverage: tally.Coverage(), Corrections: int64(tally.Corrected())}
}

// Answer is a report that is asked for without an object: a page of rows, what
// everything adds up to and how well that is known, which only the first page says,
// and up to when it is sealed.
func Answer(r *Resolved, whole *Whole, rows []timeline.Row, next string, sealed int64) *v1alpha1.UsageReportStatus {
	status := &v1alpha1.UsageReportStatus{Window: &v1alpha1.TimeWindow{}, NextPage: next}
	*status.Window = window(r.Window)
	if whole != nil {
		status.Corrections = whole.Corrections
		summarize(status, whole)
	}
	for i := range rows {
		status.Rows = append(status.Rows, row(&rows[i]))
	}
	if sealed > 0 {
		reached := seconds(min(sealed, r.Window.End))
		status.SealedTime = &reached
	}
	return status
}

// summarize says what all rows add up to, and how well that is known.
func summarize(status *v1alpha1.UsageReportStatus, whole *Whole) {
	status.Totals, status.Summary = totals(whole.Totals)
	known := whole.Coverage
	if known.Seconds() > 0 {
		status.Coverage = Coverage(known)
	}
	if finding := Find(len(status.Totals), &known); finding != Used {
		status.Summary = Say(finding, &known)
	}
}

// Refused is the problem that an error of the timeline's is; nil where it is none.
func Refused(err error) *Problem {
	if tooLarge, is := errors.AsType[*timeline.TooLargeError](err); is {
		reason := v1alpha1.ReasonWindowTooLarge
		if tooLarge.What == timeline.Groups {
			reason = v1alpha1.ReasonTooManyGroups
		}
		return problem(reason, "the report would have %s", tooLarge)
	}
	found, _ := errors.AsType[*Problem](err)
	return found
}

func window(w usage.Window) v1alpha1.TimeWindow {
	return v1alpha1.TimeWindow{StartTime: seconds(w.Start), EndTime: seconds(w.End)}
}

func seconds(t int64) metav1.Time { return metav1.NewTime(time.Unix(t, 0).UTC()) }

// Size is how many bytes a value takes where it is stored: as JSON, in which some
// characters take six.
func Size(value any) int {
	text, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("report: %T has no JSON: %v", value, err)) // it is strings and numbers
	}
	return len(text)
}

func size(row v1alpha1.ReportRow) int { return Size(row) + 1 } // and what parts it from the next

// row is a row of the status.
func row(r *timeline.Row) v1alpha1.ReportRow {
	out := v1alpha1.ReportRow{
		TimeWindow: window(r.Window), Group: make(map[string]v1alpha1.AttributeValue, len(r.Group)),
		Unit: r.Unit.HourUnit(r.Name), ExactUnit: r.Unit.ExactUnit(), Accuracy: v1alpha1.Accuracy(r.Accuracy.String()),
	}
	if r.Known {
		out.Quantity, out.Exact = r.Unit.Hours(r.Amount, digits), r.Amount.String()
	}
	for _, value := range r.Group {
		out.Group[value.Key] = v1alpha1.AttributeValue(value.Value)
	}
	return out
}

// What a dimension is of may be of a tenant's choosing (the resources that a pod
// requests): beyond maxTotals of them, or maxTotalBytes as JSON, the last of these
// are left out, which the rows have all the same.
const (
	maxTotals     = 1024
	maxTotalBytes = 192 << 10
)

// theFirst are as many totals as there is room for: all that are of nothing, and
// the first of the others.
func theFirst(list []timeline.Total) []timeline.Total {
	ofSomething := func(t timeline.Total) bool { _, what := t.Plain(); return what != "" }
	room, bytes := maxTotals, maxTotalBytes
	take := func(t *timeline.Total) bool {
		room--
		bytes -= Size(total(t)) + 1
		return room >= 0 && bytes >= 0
	}
	for i := range list {
		if !ofSomething(list[i]) {
			take(&list[i])
		}
	}
	return slices.DeleteFunc(slices.Clone(list), func(t timeline.Total) bool { return ofSomething(t) && !take(&t) })
}

func total(t *timeline.Total) v1alpha1.Total {
	return v1alpha1.Total{
		ResourceType: t.ResourceType, Dimension: t.Name,
		Quantity: t.Unit.Hours(t.Amount, digits), Unit: t.Unit.HourUnit(t.Name),
		Exact: t.Amount.String(), ExactUnit: t.Unit.ExactUnit(),
	}
}

// totals are as the status lists them, and in one line.
func totals(list []timeline.Total) ([]v1alpha1.Total, string) {
	list = theFirst(list)
	out := make([]v1alpha1.Total, len(list))
	for i := range list {
		out[i] = total(&list[i])
	}
	return out, usage.Line("", usage.ReportLine, len(list), func(i int) (string, string) {
		return list[i].ResourceType, list[i].Unit.HourWords(list[i].Amount, list[i].Name, usage.LineDigits)
	})
}

// Coverage is how much of a window is known, which is not empty, and the first 20 gaps.
func Coverage(c timeline.Coverage) *v1alpha1.ReportCoverage {
	out := &v1alpha1.ReportCoverage{
		Percent:         percent(c.Seconds()-c.Unknown, c.Seconds()),
		ObservedSeconds: c.Observed, ReplayedSeconds: c.Replayed, EstimatedSeconds: c.Estimated, UnknownSeconds: c.Unknown,
	}
	for _, gap := range c.Gaps[:min(len(c.Gaps), maxGaps)] {
		out.Gaps = append(out.Gaps, v1alpha1.CoverageGap{
			TimeWindow: window(gap.Window), Meter: gap.Meter, Coverage: gap.Coverage.String(),
		})
	}
	return out
}

// percent is rounded down to hundredths, and up where that would be 0: 100 is all of it, and 0
// nothing of it. There is some of it.
func percent(part, whole int64) string {
	hundredths := part / whole * 10000
	hundredths += part % whole * 10000 / whole
	if hundredths == 0 && part > 0 {
		hundredths = 1
	}
	if hundredths%100 == 0 {
		return fmt.Sprint(hundredths / 100)
	}
	return fmt.Sprintf("%d.%02d", hundredths/100, hundredths%100)
}

// digest is over what the report says.
func digest(s *v1alpha1.UsageReportStatus) string {
	hash := sha256.New()
	err := json.NewEncoder(hash).Encode(struct {
		Window   *v1alpha1.TimeWindow
		Totals   []v1alpha1.Total
		Rows     []v1alpha1.ReportRow
		RowCount *int64
		NextPage string
		Coverage *v1alpha1.ReportCoverage
	}{s.Window, s.Totals, s.Rows, s.RowCount, s.NextPage, s.Coverage})
	if err != nil {
		panic(fmt.Sprintf("report: a status has no JSON: %v", err)) // it is strings and numbers
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil))
}
