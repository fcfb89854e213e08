package usageapi

import (
	"slices"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// report answers with what a ClusterUsageReport with the spec in the body would
// say, as far as who asks may see it, and up to now instead of to the last seal.
func (c *call) report() error {
	spec := &v1alpha1.ClusterUsageReportSpec{}
	if err := c.body(spec); err != nil {
		return err
	}
	request, err := c.reportRequest(spec)
	if err != nil {
		return err
	}
	resolved, err := report.Resolve(*request, c.now)
	if err != nil {
		return refused(err)
	}
	rows, next, err := c.pager.Page(c.snapshot, resolved.Query, c.known(), resolved.From, resolved.Limit)
	if err != nil {
		return refused(err)
	}
	// All that the rows add up to, and how well it is known.
	whole := resolved.Query
	whole.Size, whole.GroupBy, whole.Zeros = timeline.None, nil, false
	tally, err := timeline.NewTally(whole)
	if err == nil {
		err = tally.Advance(c.snapshot, c.known())
	}
	if err != nil {
		return refused(err)
	}
	answer := wire.Report{UsageReportStatus: *report.Answer(resolved, tally, rows, next, c.snapshot.Sealed())}
	if resolved.From == "" && next == "" {
		answer.RowCount = new(int64(len(rows)))
	}
	return c.write(answer)
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
	if f := spec.Filters; f != nil {
		if f.NamespaceSelector != nil {
			return nil, badRequest("filters.namespaceSelector is for ClusterUsageReports: name the namespaces in filters.namespaces")
		}
		request.Filters, names = &f.ReportFilters, f.Namespaces
	}
	var err error
	if len(names) == 0 {
		request.Namespaces, err = c.within()
		return request, err
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		refs, err := c.named(string(name))
		if err != nil {
			return nil, err
		}
		request.Namespaces = append(request.Namespaces, refs...)
	}
	return request, nil
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
	if !slices.Contains([]v1alpha1.PeriodUnit{"hour", "day", "week", "month"}, p.Unit) {
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

// resources answers with what resources held, segment by segment, with evidence.
func (c *call) resources() error {
	query := c.request.URL.Query()
	filters, window, err := c.ownFilters(query)
	if err != nil {
		return err
	}
	filters.Resources = query["name"]
	if uid := query.Get("uid"); uid != "" {
		return c.write(c.resourceList(c.snapshot.Resource(filters, uid), window))
	}
	after, err := parseRecordCursor(query.Get("cursor"))
	if err != nil {
		return err
	}
	histories := c.snapshot.Resources(filters, window, after, defaultRecords+1)
	more := len(histories) > defaultRecords
	if more {
		histories = histories[:defaultRecords]
	}
	list := c.resourceList(histories, window)
	if more {
		list.Next = recordCursor(histories[defaultRecords-1].ResourceKey)
	}
	return c.write(list)
}

func (c *call) resourceList(histories []timeline.History, w usage.Window) wire.ResourceList {
	list := wire.ResourceList{Resources: []wire.Resource{}, Known: stamp(c.known()), Sealed: stamp(c.snapshot.Sealed())}
	for i := range histories {
		h := &histories[i]
		shown := wire.Resource{Namespace: h.Namespace, ResourceType: h.Type, Name: h.Name, UID: h.UID, Segments: []wire.Segment{}, Totals: []wire.Quantity{}}
		for j := range h.Segments {
			s := &h.Segments[j]
			if !s.Touches(w) {
				continue
			}
			shown.NamespaceUID, shown.APIVersion, shown.Kind = s.Subject.NamespaceUID, s.Subject.Resource.APIVersion, s.Subject.Resource.Kind
			shown.Segments = append(shown.Segments, c.evident(s, w))
		}
		for correction, segments := range map[string][]usage.Segment{"less": h.Less, "more": h.More} {
			for j := range segments {
				if segments[j].Touches(w) {
					made := c.evident(&segments[j], w)
					made.Correction = correction
					shown.Corrections = append(shown.Corrections, made)
				}
			}
		}
		for _, total := range h.Totals(w) {
			shown.Totals = append(shown.Totals, wire.Quantity{
				Dimension: total.Name, Quantity: total.Unit.Hours(total.Amount, digits), Unit: total.Unit.HourUnit(total.Name),
				Exact: total.Amount.String(), ExactUnit: total.Unit.ExactUnit(),
			})
		}
		if len(shown.Segments)+len(shown.Corrections) > 0 {
			list.Resources = append(list.Resources, shown)
		}
	}
	return list
}

// evident is a segment with what it adds up to within a window.
func (c *call) evident(s *usage.Segment, w usage.Window) wire.Segment {
	made := wire.Segment{
		ID: segmentID(s), Dimension: s.Dimension.Name, ExactLevel: s.Level,
		Quantity: s.Dimension.Unit.Hours(s.Within(w), digits), HourUnit: s.Dimension.Unit.HourUnit(s.Dimension.Name),
		Meter: s.Meter, Deployment: s.Subject.Deployment, Instance: s.Subject.Instance.Name, Container: s.Subject.Container,
		Region: s.Subject.Region, Bundle: s.Subject.Bundle, Attributes: s.Subject.Attributes.Map(),
	}
	made.Level, made.Unit = s.Dimension.Unit.Shown(s.Level, s.Dimension.Name, usage.LineDigits)
	earliest, latest := s.Start.StartBounds()
	made.Start = wire.Moment{Time: stamp(s.Start.At), Earliest: stamp(earliest), Latest: stamp(latest), Evidence: s.Start.Evidence.String()}
	if !s.End.IsZero() {
		earliest, latest := s.End.EndBounds()
		made.End = &wire.Moment{Time: stamp(s.End.At), Earliest: stamp(earliest), Latest: stamp(latest), Evidence: s.End.Evidence.String()}
	}
	return made
}
