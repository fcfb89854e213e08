package usageapi

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// Kept are the reports and schedules that the cluster has, without their rows. Who reads them
// does not change them.
type Kept struct {
	ClusterReports   []v1alpha1.ClusterUsageReport
	ClusterSchedules []v1alpha1.ClusterUsageReportSchedule
	Reports          []v1alpha1.UsageReport
	Schedules        []v1alpha1.UsageReportSchedule
}

const (
	// TotalsShown is how many of a report's totals the list has at most.
	TotalsShown = 8
	// reportsPage is how many reports and schedules a page has at most.
	reportsPage = 200
	// reviewedAnyway is in how many namespaces it is asked whether reports may be listed also where
	// there are none: of more, only in those that have some.
	reviewedAnyway = 100
)

// keptItem is a report or a schedule that may be shown.
type keptItem struct {
	namespace, kind, name string
	show                  func() wire.KeptReport
}

// compareKept sorts those of the cluster first, and then by namespace, kind and name.
func compareKept(a, b keptItem) int {
	return cmp.Or(strings.Compare(a.namespace, b.namespace), strings.Compare(a.kind, b.kind), strings.Compare(a.name, b.name))
}

// keptKinds are the kinds, the resources as which they are listed, and what there is of each.
var keptKinds = []struct {
	kind, resource string
	cluster        bool
	of             func(*Kept) []keptItem
}{
	{"ClusterUsageReport", "clusterusagereports", true, func(k *Kept) []keptItem {
		return itemsOf(k.ClusterReports, func(r *v1alpha1.ClusterUsageReport) (*metav1.ObjectMeta, func() wire.KeptReport) {
			return &r.ObjectMeta, func() wire.KeptReport { return keptReport(&r.ObjectMeta, &r.Spec.ReportWindow, &r.Status) }
		})
	}},
	{"ClusterUsageReportSchedule", "clusterusagereportschedules", true, func(k *Kept) []keptItem {
		return itemsOf(k.ClusterSchedules, func(s *v1alpha1.ClusterUsageReportSchedule) (*metav1.ObjectMeta, func() wire.KeptReport) {
			return &s.ObjectMeta, func() wire.KeptReport { return keptSchedule(&s.Spec.ScheduleTiming, &s.Status) }
		})
	}},
	{"UsageReport", "usagereports", false, func(k *Kept) []keptItem {
		return itemsOf(k.Reports, func(r *v1alpha1.UsageReport) (*metav1.ObjectMeta, func() wire.KeptReport) {
			return &r.ObjectMeta, func() wire.KeptReport { return keptReport(&r.ObjectMeta, &r.Spec.ReportWindow, &r.Status) }
		})
	}},
	{"UsageReportSchedule", "usagereportschedules", false, func(k *Kept) []keptItem {
		return itemsOf(k.Schedules, func(s *v1alpha1.UsageReportSchedule) (*metav1.ObjectMeta, func() wire.KeptReport) {
			return &s.ObjectMeta, func() wire.KeptReport { return keptSchedule(&s.Spec.ScheduleTiming, &s.Status) }
		})
	}},
}

func itemsOf[T any](objects []T, of func(*T) (*metav1.ObjectMeta, func() wire.KeptReport)) []keptItem {
	items := make([]keptItem, len(objects))
	for i := range objects {
		about, show := of(&objects[i])
		items[i] = keptItem{namespace: about.Namespace, name: about.Name, show: show}
	}
	return items
}

// reports answers with the reports and schedules that the cluster has, as far as who asks may list
// them, and with what each says: its figures, or why there are none.
func (c *call) reports() error {
	query := c.request.URL.Query()
	after, err := parseKeptCursor(query.Get("cursor"))
	if err != nil {
		return err
	}
	namespace := query.Get("project_id")
	refs, err := c.present(namespace)
	if err != nil {
		return err
	}
	kept, err := c.Reports(c.ctx, namespace)
	if err != nil {
		return err
	}
	answer := wire.KeptReportList{Reports: []wire.KeptReport{}}
	var items []keptItem
	for i := range keptKinds {
		k := &keptKinds[i]
		if k.cluster && namespace != everywhere {
			continue
		}
		seen, hidden, err := c.listable(k.resource, k.cluster, refs, k.of(kept))
		if err != nil {
			return err
		}
		if hidden {
			answer.Hidden = append(answer.Hidden, k.kind)
		}
		for _, item := range seen {
			item.kind = k.kind
			if after == nil || compareKept(item, *after) > 0 {
				items = append(items, item)
			}
		}
	}
	slices.SortFunc(items, compareKept)
	if len(items) > reportsPage {
		answer.Next = keptCursor(items[reportsPage-1])
		items = items[:reportsPage]
	}
	for _, item := range items {
		shown := item.show()
		shown.Kind, shown.Namespace, shown.Name = item.kind, item.namespace, item.name
		answer.Reports = append(answer.Reports, shown)
	}
	return c.write(answer)
}

// present are the namespaces that who asks may see and that there are now: one, or all.
func (c *call) present(namespace string) ([]timeline.NamespaceRef, error) {
	if namespace != everywhere {
		return c.one(namespace)
	}
	refs, err := c.all()
	if err != nil || refs != nil {
		return refs, err
	}
	return c.Namespaces(c.ctx, labels.Everything())
}

// listable are those of some objects that who asks may list; hidden is that he may list none of
// the kind, whether there are any or not.
func (c *call) listable(resource string, cluster bool, refs []timeline.NamespaceRef, items []keptItem) (seen []keptItem, hidden bool, err error) {
	all, err := c.mayList(resource, everywhere)
	if err != nil || all {
		return items, false, err
	}
	if cluster {
		return nil, true, nil
	}
	if len(refs) > reviewedAnyway {
		has := map[string]bool{}
		for _, item := range items {
			has[item.namespace] = true
		}
		refs = slices.DeleteFunc(slices.Clone(refs), func(ref timeline.NamespaceRef) bool { return !has[ref.Name] })
	}
	allowed, err := c.visible(resource, refs)
	if err != nil {
		return nil, false, err
	}
	in := map[string]bool{}
	for _, ref := range allowed {
		in[ref.Name] = true
	}
	seen = slices.DeleteFunc(items, func(item keptItem) bool { return !in[item.namespace] })
	return seen, len(refs) > 0 && len(allowed) == 0, nil
}

// keptReport is a report as the list has it.
func keptReport(about *metav1.ObjectMeta, spec *v1alpha1.ReportWindow, s *v1alpha1.UsageReportStatus) wire.KeptReport {
	shown := wire.KeptReport{
		Schedule: about.Labels[v1alpha1.LabelSchedule], WindowSize: spec.WindowSize, Window: s.Window, Suspended: spec.Suspend,
		Complete: meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionComplete), Finding: "None",
		Sealed: s.SealedTime, Changed: s.LastReportTime,
	}
	shown.Phase, shown.Reason, shown.Message = phaseOf(s.Conditions)
	if s.Window == nil { // it was not made, or cannot be
		return shown
	}
	shown.Finding, shown.Summary, shown.Totals = string(report.Found(s)), s.Summary, s.Totals[:min(len(s.Totals), TotalsShown)]
	shown.MoreTotals = len(s.Totals) > TotalsShown
	if s.Coverage != nil {
		shown.Coverage = s.Coverage.Percent
	}
	return shown
}

// keptSchedule is a schedule as the list has it.
func keptSchedule(spec *v1alpha1.ScheduleTiming, s *v1alpha1.ReportScheduleStatus) wire.KeptReport {
	shown := wire.KeptReport{
		Every: cmp.Or(string(spec.EveryPeriod), spec.Schedule), Suspended: spec.Suspend, Window: s.LastPeriod, LastReport: s.LastReport,
		Next: s.NextScheduleTime, Finding: "None",
	}
	shown.Phase, shown.Reason, shown.Message = phaseOf(s.Conditions)
	return shown
}

// phaseOf is which condition an object is in, with its reason and message.
func phaseOf(conditions []metav1.Condition) (phase, reason, message string) {
	for _, phase := range []string{v1alpha1.ConditionStalled, v1alpha1.ConditionReconciling, v1alpha1.ConditionReady} {
		if is := meta.FindStatusCondition(conditions, phase); is != nil && is.Status == metav1.ConditionTrue {
			return phase, is.Reason, is.Message
		}
	}
	return "NotSeen", "", "" // by the operator
}

func keptCursor(item keptItem) string {
	return base64.RawURLEncoding.EncodeToString([]byte(item.namespace + "/" + item.kind + "/" + item.name))
}

// parseKeptCursor is the last item of the page before; nil: there is none.
func parseKeptCursor(text string) (*keptItem, error) {
	if text == "" {
		return nil, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	parts := strings.Split(string(raw), "/") // which no name has
	if err != nil || len(parts) != 3 {
		return nil, badRequest("cursor cannot be read: take next of the page before, or none to begin with the first page")
	}
	return &keptItem{namespace: parts[0], kind: parts[1], name: parts[2]}, nil
}
