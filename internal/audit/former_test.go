package audit_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/audit"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// allocated is an hour of a machine, of which releases put the summary otherwise.
func allocated(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	machine := held(subject("shop", "db", "db-0"), usage.Dimension{Name: "vm_allocated", Unit: usage.Count}, 1000, 0, 0)
	w.append(t, hour0+10, usage.Window{}, machine)
	w.append(t, hour0+hour+1, hours(0))
	w.publish(t, hours(0), true)
	return w
}

// A summary is text for people: its digest does not cover it, and what is Final or Complete keeps
// the one that an earlier release gave it. That is all that it may say instead.
func TestASummaryOfAnEarlierRelease(t *testing.T) {
	const now, before = "1 VM-hours allocated", "1 vm_allocated-hour"
	for summary, right := range map[string]bool{now: true, before: true, "2 vm_allocated-hour": false, "1 VM-hours": false, "": false} {
		w := allocated(t)
		if !strings.Contains(string(w.records[0].Status), `"`+now+`"`) {
			t.Fatalf("the record says %s", w.records[0].Status)
		}
		w.records[0].Status = []byte(strings.Replace(string(w.records[0].Status), now, summary, 1))
		if result := w.verify(t); result.OK() != right || !right && result.First.Field != "status.summary" {
			t.Errorf("a record that says %q: %v", summary, result.First)
		}
		w = allocated(t)
		reports := reported{w.reportAfter(t, 2, "shop", windowOf(v1alpha1.ReportShape{}), func(s *v1alpha1.UsageReportStatus) {
			if s.Summary != now {
				t.Fatalf("the report says %q", s.Summary)
			}
			s.Summary = summary
		})}
		if result := w.verify(t, func(in *audit.Input) { in.Reports = reports }); result.OK() != right || !right && result.First.Field != "status.summary" {
			t.Errorf("a report that says %q: %v", summary, result.First)
		}
	}
}

// A report without figures says which name there is not, as it was when it was made: that is not
// in the ledger. It says so in a condition, too.
func TestASummaryThatSaysWhichNameThereIsNot(t *testing.T) {
	const said = `spec.filters: nothing was ever recorded under a deployment "wbe"; there are db`
	window := windowOf(v1alpha1.ReportShape{})
	for name, c := range map[string]struct {
		condition metav1.Condition
		namespace string
		right     bool
	}{
		"it is ready":       {metav1.Condition{Type: v1alpha1.ConditionReady, Message: "the figures are final: " + said + "; a meter is behind"}, "empty", true},
		"it is suspended":   {metav1.Condition{Type: v1alpha1.ConditionComplete, Message: "all is sealed; " + said}, "empty", true},
		"no condition says": {metav1.Condition{Type: v1alpha1.ConditionReady, Message: "the figures are final"}, "empty", false},
		"there are figures": {metav1.Condition{Type: v1alpha1.ConditionReady, Message: "the figures are final: " + said}, "shop", false},
	} {
		w := allocated(t)
		reports := reported{w.reportAfter(t, 2, c.namespace, window, func(s *v1alpha1.UsageReportStatus) {
			s.Summary, s.Conditions = said, []metav1.Condition{c.condition}
		})}
		if result := w.verify(t, func(in *audit.Input) { in.Reports = reports }); result.OK() != c.right || !c.right && result.First.Field != "status.summary" {
			t.Errorf("%s: %v", name, result.First)
		}
	}
}
