package audit

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/timeline"
)

// readReports reads what reports say, and in which namespaces.
func (a *auditor) readReports(ctx context.Context) error {
	if a.Reports == nil {
		return nil
	}
	err := a.Reports.List(ctx, func(p *PublishedReport) error {
		a.reports = append(a.reports, p)
		return nil
	})
	if err != nil || len(a.reports) == 0 {
		return err
	}
	a.namespaces, err = a.Reports.Namespaces(ctx)
	return err
}

// verifyReports recomputes every report that says something.
func (a *auditor) verifyReports() {
	for n, p := range a.reports {
		a.Progress("recomputing reports", n, len(a.reports))
		a.verifyReport(p)
	}
	a.reports = nil
}

func (a *auditor) verifyReport(p *PublishedReport) {
	var status v1alpha1.UsageReportStatus
	request, byLabels, err := a.requestOf(p)
	if err == nil {
		err = json.Unmarshal(p.Status, &status)
	}
	if err != nil {
		a.report.differ(Difference{In: InReport, Name: p.name(), Detail: "it cannot be read: " + err.Error()})
		return
	}
	// What its namespaces were then is not known, nor what its spec was.
	if byLabels || saysNothing(&status) || status.ObservedGeneration != p.Metadata.Generation {
		a.report.ReportsLeft++
		return
	}
	if w := status.Window; w != nil && !a.inRange(w.StartTime.Unix(), w.EndTime.Unix()) {
		return
	}
	a.report.Reports++
	if d, differs := a.compareReport(p.name(), request, &status); differs {
		a.report.differ(d)
	}
}

// saysNothing tells whether a status has no figures.
func saysNothing(s *v1alpha1.UsageReportStatus) bool {
	return s.Window == nil && s.SealedTime == nil && s.Coverage == nil && len(s.Rows)+len(s.Totals) == 0 &&
		s.Summary+s.Digest == "" && ptr.Deref(s.RowCount, 0) == 0
}

// requestOf is what a report asks for.
func (a *auditor) requestOf(p *PublishedReport) (request report.Request, byLabels bool, err error) {
	if own := p.Metadata.Namespace; own != "" {
		var spec v1alpha1.UsageReportSpec
		err := json.Unmarshal(p.Spec, &spec)
		return report.Request{
			Window: &spec.ReportWindow, Filters: spec.Filters, Namespaces: []timeline.NamespaceRef{{Name: own, UID: a.namespaces[own]}},
		}, false, err
	}
	var spec v1alpha1.ClusterUsageReportSpec
	if err := json.Unmarshal(p.Spec, &spec); err != nil {
		return request, false, err
	}
	request.Window = &spec.ReportWindow
	if spec.Filters == nil {
		return request, false, nil
	}
	request.Filters = &spec.Filters.ReportFilters
	for _, name := range spec.Filters.Namespaces {
		request.Namespaces = append(request.Namespaces, timeline.NamespaceRef{Name: string(name)})
	}
	return request, spec.Filters.NamespaceSelector != nil, nil
}

// compareReport finds the first field in which a report is not what it should be.
func (a *auditor) compareReport(name string, request report.Request, status *v1alpha1.UsageReportStatus) (d Difference, differs bool) {
	d = Difference{In: InReport, Name: name}
	snapshot := a.timeline.Snapshot()
	resolved, err := report.As(request, status, a.Clock.Now().Unix())
	var want *v1alpha1.UsageReportStatus
	if err == nil {
		want, err = report.FiguresAs(resolved, status, snapshot, timeline.Limits{})
	}
	if err != nil {
		d.Detail = "it can have no figures: " + err.Error()
		return d, true
	}
	complete := status.SealedTime != nil && status.SealedTime.Unix() >= resolved.Window.End
	if meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionComplete) && !complete {
		d.Field, d.Expected, d.Found = "status.conditions", "not Complete before all of the window is sealed", "Complete"
		return d, true
	}
	if sealed := snapshot.Sealed(); status.SealedTime != nil && status.SealedTime.Unix() > sealed {
		d.Field, d.Expected, d.Found = "status.sealedTime", "at most "+instant(sealed), instant(status.SealedTime.Unix())
		return d, true
	}
	if mayBeWorded(want, status) {
		want.Summary = status.Summary
	}
	found := *status
	found.Conditions, found.ObservedGeneration, found.SealedTime, found.LastReportTime, found.NextReportTime = nil, 0, nil, nil, nil
	expected, err := document(map[string]any{"status": want})
	if err == nil {
		var got any
		if got, err = document(map[string]any{"status": found}); err == nil {
			return d, d.find("", expected, got)
		}
	}
	d.Detail = err.Error()
	return d, true
}

// mayBeWorded tells whether a report may have its own summary: of figures, the one that an earlier
// release made of them. Where there are none, it may say which name of the spec there was not
// when it was made, as one of its conditions does: that is not in the ledger.
func mayBeWorded(want, found *v1alpha1.UsageReportStatus) bool {
	if len(want.Totals) > 0 {
		return found.Summary == record.FormerSummary(want.Totals)
	}
	return strings.HasPrefix(found.Summary, "spec.") && slices.ContainsFunc(found.Conditions, func(c metav1.Condition) bool {
		return strings.Contains(c.Message, ": "+found.Summary) || strings.Contains(c.Message, "; "+found.Summary)
	})
}
