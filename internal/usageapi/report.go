package usageapi

import (
	"net/http"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// report answers with what a ClusterUsageReport with the spec in the body would
// say, as far as who asks may see it, and up to now instead of to the last seal.
func (c *call) report() error {
	spec := &v1alpha1.ClusterUsageReportSpec{}
	if err := c.body(spec); err != nil {
		return err
	}
	spec.StartFrom = c.goOn(spec.StartFrom)
	request, err := c.reportRequest(spec)
	if err != nil {
		return err
	}
	resolved, err := report.Resolve(*request, c.now)
	if err != nil {
		return refused(err)
	}
	if err := c.checkQuery(&resolved.Query, "groupBy", resolved.From); err != nil {
		return err
	}
	known := c.tell(&resolved.Filters, resolved.Window)
	if top := c.request.URL.Query().Get("top"); top != "" {
		return c.top(resolved, top, &known)
	}
	rows, next, err := c.page(resolved.Query, resolved.From, resolved.Limit)
	if err != nil {
		return refused(err)
	}
	whole, err := c.whole(resolved)
	if err != nil {
		return refused(err)
	}
	answer := c.reportOf(resolved, whole, rows, c.pins.pin(c.snapshot, next), &known)
	if resolved.From == "" && next == "" {
		answer.RowCount = new(int64(len(rows)))
	}
	return c.write(answer)
}

// whole is all that the rows add up to, and how well it is known: the first page says
// it, and on those after it nobody has to add it up again, so that it is nil.
func (c *call) whole(r *report.Resolved) (*timeline.Tally, error) {
	if r.From != "" {
		return nil, nil
	}
	q := r.Query
	q.Size, q.GroupBy, q.Zeros = timeline.None, nil, false
	tally, err := timeline.NewTally(q)
	if err != nil {
		return nil, err
	}
	if err := tally.AdvanceFor(c.ctx, c.snapshot, c.known()); err != nil {
		if gone := c.alive(); gone != nil {
			return nil, gone
		}
		return nil, err
	}
	return tally, nil
}

// reportOf is a page of a report, and whose it is and how well known.
func (c *call) reportOf(r *report.Resolved, whole *timeline.Tally, rows []timeline.Row, next string, known *timeline.Coverage) wire.Report {
	answer := wire.Report{
		UsageReportStatus: *report.Answer(r, report.WholeOf(whole), rows, next, c.snapshot.Sealed()),
		Visible:           c.writer.Header().Get(wire.VisibleHeader),
	}
	if known.Began > 0 {
		answer.MeteringBegan = stamp(known.Began)
	}
	answer.Rows = Rows(answer.UsageReportStatus.Rows, rows)
	return answer
}

// refused is an error of a report as a problem.
func refused(err error) error {
	if p := report.Refused(err); p != nil {
		return badRequest("%s", p.Message)
	}
	return err
}

// reportRequest is what the spec asks for, of the namespaces that who asks may see.
func (c *call) reportRequest(spec *v1alpha1.ClusterUsageReportSpec) (*report.Request, error) {
	if err := validate(&spec.ReportWindow); err != nil {
		return nil, err
	}
	request := &report.Request{Window: &spec.ReportWindow}
	var names []v1alpha1.FilterValue
	var err error
	if f := spec.Filters; f != nil {
		request.Filters, names = &f.ReportFilters, f.Namespaces
		if f.NamespaceSelector != nil {
			request.Namespaces, err = c.selected(f)
			if err == nil && len(request.Namespaces) == 0 {
				err = c.selectsNothing(len(names) > 0)
			}
			return request, err
		}
	}
	if len(names) == 0 {
		request.Namespaces, err = c.all()
		return request, err
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		refs, err := c.one(string(name))
		if err != nil {
			return nil, err
		}
		request.Namespaces = append(request.Namespaces, refs...)
	}
	return request, nil
}

// selectsNothing is that a selector lets no namespace through that who asks may see.
func (c *call) selectsNothing(named bool) error {
	if _, err := c.all(); err != nil {
		return err
	}
	message := "filters.namespaceSelector: no namespace that you may see has these labels now"
	if named {
		message += " and one of the names in filters.namespaces"
	}
	return &problem{status: http.StatusNotFound, code: wire.NoSuchName, message: message}
}

// selected are the namespaces that a selector lets through, of those that who asks
// may see; none is not nil.
func (c *call) selected(f *v1alpha1.ClusterReportFilters) ([]timeline.NamespaceRef, error) {
	selector, err := metav1.LabelSelectorAsSelector(f.NamespaceSelector)
	if err != nil {
		return nil, badRequest("filters.namespaceSelector: %v", err)
	}
	list, err := c.Namespaces(c.ctx, selector)
	if err != nil {
		return nil, err
	}
	list = report.Named(list, f.Namespaces)
	all, err := c.may(everywhere)
	if err == nil && !all {
		list, err = c.visible(usageRecords, list)
	}
	if err != nil {
		return nil, err
	}
	return report.Ordered(list), nil
}

// maxPage is how many rows a page may have.
const maxPage = 1000

// validate is what the API server checks of an object.
func validate(w *v1alpha1.ReportWindow) error {
	var err error
	switch {
	case w.Period == nil && (w.StartingOn == nil || w.EndingBefore == nil):
		err = badRequest("want startingOn and endingBefore, or period")
	case w.Period == nil && !w.StartingOn.Before(w.EndingBefore):
		err = badRequest("startingOn: %s is not before endingBefore, %s", stamp(w.StartingOn.Unix()), stamp(w.EndingBefore.Unix()))
	case w.Period != nil && (w.StartingOn != nil || w.EndingBefore != nil):
		err = badRequest("want startingOn and endingBefore, or period, not both")
	case w.Period != nil:
		err = validatePeriod(w.Period)
	}
	if err != nil {
		return err
	}
	return validateShape(&w.ReportShape)
}

func validatePeriod(p *v1alpha1.Period) error {
	if !slices.Contains([]v1alpha1.PeriodUnit{v1alpha1.PeriodHour, v1alpha1.PeriodDay, v1alpha1.PeriodWeek, v1alpha1.PeriodMonth}, p.Unit) {
		return badRequest("period.unit: %q is none of hour, day, week, month", p.Unit)
	}
	if p.Offset > 0 || p.Offset < -1000 {
		return badRequest("period.offset: want 0 for the one that goes on, down to -1000")
	}
	return nil
}

func validateShape(s *v1alpha1.ReportShape) error {
	switch {
	case s.WindowSize != "" && !slices.Contains(timeline.Sizes, timeline.Size(s.WindowSize)):
		return badRequest("windowSize: %q is none of none, hour, day, week, month", s.WindowSize)
	case s.Zeros != "" && s.Zeros != v1alpha1.ZerosOmit && s.Zeros != v1alpha1.ZerosFill:
		return badRequest("zeros: %q is none of Omit, Fill", s.Zeros)
	case s.Limit < 0 || s.Limit > maxPage:
		return badRequest("limit: want 1 to %d", maxPage)
	}
	for _, key := range s.GroupBy {
		if _, err := timeline.ParseKey(string(key)); err != nil {
			return badRequest("groupBy: %v", err)
		}
	}
	return nil
}
