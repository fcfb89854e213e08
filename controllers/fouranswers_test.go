package controllers

import (
	"cmp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/recorder"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// events keeps the last Event that was told.
type events struct {
	recorder.EventRecorder
	kind, note string
}

func (e *events) Eventf(_, _ runtime.Object, kind, _, _, format string, args ...any) {
	e.kind, e.note = kind, strings.TrimSpace(format)
	if len(args) == 1 {
		e.note, _ = args[0].(string)
	}
}

// A report's faces tell apart why it has no figures: its rows, its summary, its conditions and
// its Event. What its author may not see is not among them: a report sees its namespace alone.
func TestAReportSaysWhyItHasNoFigures(t *testing.T) {
	const began, day = int64(1_793_491_200), int64(86400) // the first of November 2026
	vcpu := usage.Dimension{Name: "vcpu", Unit: usage.Core}
	object := usage.Object{Kind: "VirtualMachine", Name: "db", UID: "uid-db"}
	answers := NewAnswers()
	answers.Begin()
	answers.Committed(&journal.Batch{
		Time:   began + 3*day,
		Meters: []journal.Meter{{Name: "vm", ResourceType: "vm", Since: began, Dimensions: []usage.Dimension{vcpu}}},
		Changes: []usage.Change{{Segment: usage.Segment{
			Meter: "vm", Dimension: vcpu, Level: 1000, Start: usage.Boundary{At: began + day, Evidence: usage.CreationTime}, End: usage.Boundary{At: began + day + 3600, Evidence: usage.Observed},
			Subject: &usage.Subject{ResourceType: "vm", Resource: object, Instance: object, Account: usage.Account{Namespace: "shop", NamespaceUID: "1", Deployment: "web"}},
		}}},
		Seals: []journal.Seal{{Interval: usage.Window{Start: began, End: began + 3*day}}},
	})
	answers.Current()
	cases := map[string]struct {
		from, to int64
		filters  *v1alpha1.ReportFilters

		rows             int // of which none has a quantity, but where something was used
		summary          string
		reason, complete string
		says             string // the end of the Event; "": the summary
		kind             string
	}{
		"used":    {from: 0, to: 3, rows: 1, summary: "vcpu 1 core-hour", reason: v1alpha1.ReasonReported, complete: "every interval of the window is sealed", kind: corev1.EventTypeNormal},
		"zero":    {from: 0, to: 1, summary: "nothing was used", reason: v1alpha1.ReasonReported, complete: "; nothing was used", kind: corev1.EventTypeNormal},
		"unknown": {from: -2, to: -1, rows: 1, summary: "it is unknown whether anything was used: metering began at 2026-11-01T00:00:00Z", reason: v1alpha1.ReasonReported, complete: "; it is unknown", kind: corev1.EventTypeWarning},
		"partly unknown": {from: -1, to: 1, summary: "nothing was used in the 50% of the window that is known: metering began at 2026-11-01T00:00:00Z",
			reason: v1alpha1.ReasonReported, complete: "; nothing was used in the 50%", kind: corev1.EventTypeWarning},
		"no such type": {from: 0, to: 1, filters: &v1alpha1.ReportFilters{ResourceTypes: []v1alpha1.FilterValue{"vmm"}}, rows: 1,
			summary: `spec.filters: there is no resource type "vmm": did you mean "vm"? there are vm`, reason: v1alpha1.ReasonNoSuchName, complete: "; spec.filters: there is no", kind: corev1.EventTypeWarning},
		"no such deployment": {from: 0, to: 1, filters: &v1alpha1.ReportFilters{Deployments: []v1alpha1.FilterValue{"nosuch"}},
			summary: `spec.filters: nothing was ever recorded under a deployment "nosuch"; there are web`, reason: v1alpha1.ReasonNoSuchName, complete: "; spec.filters: nothing was ever", kind: corev1.EventTypeWarning},
		"no such name among others": {from: 0, to: 3, filters: &v1alpha1.ReportFilters{Deployments: []v1alpha1.FilterValue{"web", "nosuch"}}, rows: 1,
			summary: "vcpu 1 core-hour", reason: v1alpha1.ReasonNoSuchName, complete: "; spec.filters: nothing was ever", kind: corev1.EventTypeWarning,
			says: `: spec.filters: nothing was ever recorded under a deployment "nosuch"; there are web`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			start, end := metav1.Unix(began+c.from*day, 0), metav1.Unix(began+c.to*day, 0)
			of := &v1alpha1.UsageReport{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "r"}}
			of.Spec.StartingOn, of.Spec.EndingBefore, of.Spec.Filters = &start, &end, c.filters
			of.Spec.GroupBy = []v1alpha1.GroupKey{"deployment"}
			s := namespaced(of)
			told := &events{}
			r := &UsageReportReconciler{Answers: answers, Interval: 3600, Events: told, tallies: newTallies(maxKept)}
			request := report.Request{Window: s.window, Filters: s.filters, Namespaces: []timeline.NamespaceRef{{Name: "shop", UID: "1"}}}
			resolved, err := report.Resolve(request, began+3*day)
			if err != nil {
				t.Fatal(err)
			}
			made, err := r.reckon(s, resolved)
			if err != nil {
				t.Fatal(err)
			}
			*s.status = made.status(&v1alpha1.UsageReportStatus{}, 1, metav1.NewTime(time.Unix(began+3*day, 0)))
			r.announce(s, made, &v1alpha1.UsageReportStatus{})

			if len(s.status.Rows) != c.rows || c.rows > 0 && (s.status.Rows[0].Quantity == "") != (len(s.status.Totals) == 0) {
				t.Errorf("rows: %+v", s.status.Rows)
			}
			if s.status.Summary != c.summary {
				t.Errorf("summary: %s\nwant     %s", s.status.Summary, c.summary)
			}
			ready, complete := meta.FindStatusCondition(s.status.Conditions, "Ready"), meta.FindStatusCondition(s.status.Conditions, v1alpha1.ConditionComplete)
			if ready.Status != metav1.ConditionTrue || ready.Reason != c.reason || complete.Status != metav1.ConditionTrue || !strings.Contains(complete.Message, c.complete) {
				t.Errorf("conditions: %+v", s.status.Conditions)
			}
			if told.kind != c.kind || !strings.HasSuffix(told.note, cmp.Or(c.says, c.summary)) {
				t.Errorf("event: %s %s", told.kind, told.note)
			}
		})
	}
}

// A report of the cluster says which namespace does not exist, and that a selector selects none:
// that nothing was used there would be another answer. So does one that is grouped by an
// attribute that nothing has.
func TestAReportOfTheClusterSaysWhichNameDoesNotExist(t *testing.T) {
	const began = int64(1_793_491_200)
	vcpu := usage.Dimension{Name: "vcpu", Unit: usage.Core}
	object := usage.Object{Kind: "VirtualMachine", Name: "db", UID: "uid-db"}
	held := func(namespace string, attributes map[string]string) usage.Change {
		return usage.Change{Segment: usage.Segment{
			Meter: "vm", Dimension: vcpu, Level: 1000, Start: usage.Boundary{At: began, Evidence: usage.CreationTime}, End: usage.Boundary{At: began + 60, Evidence: usage.Observed},
			Subject: &usage.Subject{
				ResourceType: "vm", Resource: object, Instance: object, Attributes: usage.NewAttributes(attributes),
				Account: usage.Account{Namespace: namespace, NamespaceUID: "1", Deployment: "web"},
			},
		}}
	}
	answers := NewAnswers()
	answers.Begin()
	answers.Committed(&journal.Batch{
		Time:    began + 3600,
		Meters:  []journal.Meter{{Name: "vm", ResourceType: "vm", Since: began, Dimensions: []usage.Dimension{vcpu}}},
		Changes: []usage.Change{held("gone", map[string]string{"class": "fast"}), held("bare", nil)},
		Seals:   []journal.Seal{{Interval: usage.Window{Start: began, End: began + 3600}}},
	})
	answers.Current()
	for name, c := range map[string]struct {
		namespaces  []v1alpha1.FilterValue
		selectsNone bool
		groupBy     v1alpha1.GroupKey
		want        string
	}{
		"one that exists":                     {namespaces: []v1alpha1.FilterValue{"shop"}, groupBy: "deployment"},
		"one that is gone":                    {namespaces: []v1alpha1.FilterValue{"gone"}, groupBy: "deployment"},
		"one that does not exist":             {namespaces: []v1alpha1.FilterValue{"shop", "shpo"}, groupBy: "deployment", want: `spec.filters.namespaces: nothing was ever recorded under a namespace "shpo": did you mean "shop"? there are bare, gone, shop`},
		"none has the labels":                 {selectsNone: true, groupBy: "deployment", want: "spec.filters.namespaceSelector: no namespace has these labels now"},
		"none of some has the labels":         {namespaces: []v1alpha1.FilterValue{"shop"}, selectsNone: true, groupBy: "deployment", want: "spec.filters: no namespace of spec.filters.namespaces has the labels of namespaceSelector now"},
		"an attribute":                        {groupBy: "attribute:class"},
		"an attribute that does not exist":    {groupBy: "attribute:klass", want: `spec.groupBy: in the whole cluster, nothing was ever recorded under an attribute "klass": did you mean "class"? there are class`},
		"one of another namespace":            {namespaces: []v1alpha1.FilterValue{"bare"}, groupBy: "attribute:class"},
		"that no other namespace has":         {namespaces: []v1alpha1.FilterValue{"bare"}, groupBy: "attribute:klass", want: `spec.groupBy: in the whole cluster, nothing was ever recorded under an attribute "klass": did you mean "class"? there are class`},
		"of nothing no attribute is expected": {namespaces: []v1alpha1.FilterValue{"shop"}, groupBy: "attribute:klass"},
	} {
		of := &v1alpha1.ClusterUsageReport{Spec: v1alpha1.ClusterUsageReportSpec{Filters: &v1alpha1.ClusterReportFilters{Namespaces: c.namespaces}}}
		s := clusterwide(of)
		s.there, s.selectsNone = []timeline.NamespaceRef{{Name: "shop", UID: "2"}}, c.selectsNone
		q := &timeline.Query{GroupBy: []timeline.Key{timeline.Key(c.groupBy)}}
		for _, name := range c.namespaces {
			q.Namespaces = append(q.Namespaces, timeline.NamespaceRef{Name: string(name)})
		}
		got := ""
		if err := s.checkNames(answers.Snapshot(), q); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q\nwant %q", name, got, c.want)
		}
	}
}

// A schedule that a person has to change tells so once, as a report does.
func TestAStalledScheduleTells(t *testing.T) {
	stalled := func(reason, message string) []metav1.Condition {
		return []metav1.Condition{{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: reason, Message: message}}
	}
	of := &v1alpha1.UsageReportSchedule{}
	s := &series{Object: of, status: &of.Status}
	for _, c := range []struct {
		before, after []metav1.Condition
		want          string
	}{
		{nil, stalled("InvalidSchedule", "that never comes"), "Warning that never comes"},
		{stalled("InvalidSchedule", "that never comes"), stalled("InvalidSchedule", "that never comes"), " "},
		{stalled("InvalidSchedule", "that never comes"), stalled("NameTaken", "it is there"), "Warning it is there"},
		{stalled("InvalidSchedule", "that never comes"), nil, " "},
	} {
		told := &events{}
		s.status.Conditions = c.after
		(&UsageReportScheduleReconciler{Events: told}).announce(s, c.before)
		if got := told.kind + " " + told.note; got != c.want {
			t.Errorf("%v, then %v: it tells %q, want %q", c.before, c.after, got, c.want)
		}
	}
}
