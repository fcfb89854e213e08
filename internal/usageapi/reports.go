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
	// reviewedAnyway is in how many namespaces, the first ones, it is asked whether reports may be
	// listed also where there are none: of more, only in those that have one on the page.
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
			return &s.ObjectMeta, func() wire.KeptReport { return keptSchedule(&s.ObjectMeta, &s.Spec.ScheduleTiming, &s.Status) }
		})
	}},
	{"UsageReport", "usagereports", false, func(k *Kept) []keptItem {
		return itemsOf(k.Reports, func(r *v1alpha1.UsageReport) (*metav1.ObjectMeta, func() wire.KeptReport) {
			return &r.ObjectMeta, func() wire.KeptReport { return keptReport(&r.ObjectMeta, &r.Spec.ReportWindow, &r.Status) }
		})
	}},
	{"UsageReportSchedule", "usagereportschedules", false, func(k *Kept) []keptItem {
		return itemsOf(k.Schedules, func(s *v1alpha1.UsageReportSchedule) (*metav1.ObjectMeta, func() wire.KeptReport) {
			return &s.ObjectMeta, func() wire.KeptReport { return keptSchedule(&s.ObjectMeta, &s.Spec.ScheduleTiming, &s.Status) }
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
	asked := map[string]access{}
	for i := range keptKinds {
		k := &keptKinds[i]
		if k.cluster && namespace != everywhere {
			continue
		}
		may, err := c.access(k.resource, k.cluster, refs)
		if err != nil {
			return err
		}
		asked[k.kind] = may
		for _, item := range k.of(kept) {
			item.kind = k.kind
			if after == nil || compareKept(item, *after) > 0 {
				items = append(items, item)
			}
		}
	}
	slices.SortFunc(items, compareKept)
	items, err = c.listable(items, asked, refs)
	if err != nil {
		return err
	}
	if len(items) > reportsPage {
		answer.Next = keptCursor(items[reportsPage-1])
		items = items[:reportsPage]
	}
	for _, item := range items {
		shown := item.show()
		shown.Kind, shown.Namespace, shown.Name = item.kind, item.namespace, item.name
		answer.Reports = append(answer.Reports, shown)
	}
	answer.Hidden, answer.Undecided = unlisted(asked, items)
	return c.write(answer)
}

// unlisted are the kinds of which who asks may list none, and those of which that is undecided.
func unlisted(asked map[string]access, items []keptItem) (hidden, undecided []string) {
	for i := range keptKinds {
		kind := keptKinds[i].kind
		is := func(item keptItem) bool { return item.kind == kind }
		switch may := asked[kind]; {
		case may.hidden:
			hidden = append(hidden, kind)
		case may.undecided && !slices.ContainsFunc(items, is):
			undecided = append(undecided, kind)
		}
	}
	return hidden, undecided
}

// present are the namespaces that who asks may see and that there are now, by name: one, or all.
func (c *call) present(namespace string) ([]timeline.NamespaceRef, error) {
	if namespace != everywhere {
		return c.one(namespace)
	}
	refs, err := c.all()
	if err == nil && refs == nil {
		refs, err = c.Namespaces(c.ctx, labels.Everything())
	}
	byName := func(a, b timeline.NamespaceRef) int { return strings.Compare(a.Name, b.Name) }
	return slices.SortedFunc(slices.Values(refs), byName), err
}

// access is what who asks may list of a kind.
type access struct {
	resource string
	// all is that he may list it everywhere, and hidden that he may list it nowhere, whether
	// there is any or not. Undecided is that he may list none in the first namespaces: in the
	// others it is asked where there is one, and what there is that is not his is not to be told.
	all, hidden, undecided bool
}

// access asks where a kind may be listed, in not too many namespaces.
func (c *call) access(resource string, cluster bool, refs []timeline.NamespaceRef) (access, error) {
	may := access{resource: resource}
	var err error
	if may.all, err = c.mayList(resource, everywhere); err != nil || may.all {
		return may, err
	}
	if cluster {
		may.hidden = true
		return may, nil
	}
	allowed, err := c.visible(resource, refs[:min(len(refs), reviewedAnyway)])
	none := len(refs) > 0 && len(allowed) == 0
	may.hidden, may.undecided = none && len(refs) <= reviewedAnyway, none && len(refs) > reviewedAnyway
	return may, err
}

// listable are the first of some sorted objects that who asks may list: a page, and one more if
// there are more. Namespaces are reviewed as far as the page needs it.
func (c *call) listable(items []keptItem, asked map[string]access, refs []timeline.NamespaceRef) (seen []keptItem, err error) {
	of := map[string]timeline.NamespaceRef{}
	for _, ref := range refs {
		of[ref.Name] = ref
	}
	items = slices.DeleteFunc(items, func(item keptItem) bool {
		_, is := of[item.namespace]
		return asked[item.kind].hidden || !is && !asked[item.kind].all
	})
	for part := range slices.Chunk(items, reportsPage+1) {
		allowed, err := c.listableIn(part, asked, of)
		if err != nil {
			return nil, err
		}
		for _, item := range part {
			if may := asked[item.kind]; may.all || allowed[reviewed{may.resource, of[item.namespace]}] {
				seen = append(seen, item)
			}
		}
		if len(seen) > reportsPage {
			break
		}
	}
	return seen, nil
}

// listableIn is what who asks may list of some sorted objects, where that has to be asked.
func (c *call) listableIn(items []keptItem, asked map[string]access, of map[string]timeline.NamespaceRef) (map[reviewed]bool, error) {
	allowed := map[reviewed]bool{}
	for kind, may := range asked {
		if may.all {
			continue
		}
		var in []timeline.NamespaceRef
		for _, item := range items { // those of a namespace and kind follow each other
			if ref := of[item.namespace]; item.kind == kind && (len(in) == 0 || in[len(in)-1] != ref) {
				in = append(in, ref)
			}
		}
		in, err := c.visible(may.resource, in)
		if err != nil {
			return nil, err
		}
		for _, ref := range in {
			allowed[reviewed{may.resource, ref}] = true
		}
	}
	return allowed, nil
}

// keptReport is a report as the list has it.
func keptReport(about *metav1.ObjectMeta, spec *v1alpha1.ReportWindow, s *v1alpha1.UsageReportStatus) wire.KeptReport {
	shown := wire.KeptReport{Schedule: about.Labels[v1alpha1.LabelSchedule], WindowSize: spec.WindowSize, Suspended: spec.Suspend, Finding: "None", Phase: notSeen}
	if s.ObservedGeneration != about.Generation { // the status speaks of what was asked before
		return shown
	}
	shown.Phase, shown.Reason, shown.Message = phaseOf(s.Conditions)
	shown.Complete = meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionComplete)
	shown.Window, shown.Sealed, shown.Changed = s.Window, s.SealedTime, s.LastReportTime
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
func keptSchedule(about *metav1.ObjectMeta, spec *v1alpha1.ScheduleTiming, s *v1alpha1.ReportScheduleStatus) wire.KeptReport {
	shown := wire.KeptReport{
		Every: cmp.Or(string(spec.EveryPeriod), spec.Schedule), Suspended: spec.Suspend, Window: s.LastPeriod, LastReport: s.LastReport,
		Finding: "None", Phase: notSeen,
	}
	if s.ObservedGeneration != about.Generation { // what was made, was made
		return shown
	}
	shown.Next = s.NextScheduleTime
	shown.Phase, shown.Reason, shown.Message = phaseOf(s.Conditions)
	return shown
}

// notSeen is the phase of what the operator has not seen, or not as it is now.
const notSeen = "NotSeen"

// phaseOf is which condition an object is in, with its reason and message.
func phaseOf(conditions []metav1.Condition) (phase, reason, message string) {
	for _, phase := range []string{v1alpha1.ConditionStalled, v1alpha1.ConditionReconciling, v1alpha1.ConditionReady} {
		if is := meta.FindStatusCondition(conditions, phase); is != nil && is.Status == metav1.ConditionTrue {
			return phase, is.Reason, is.Message
		}
	}
	return notSeen, "", ""
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
