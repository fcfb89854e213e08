package dashboard_test

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usageapi"
)

func moment(text string) *metav1.Time { return new(metav1.Unix(utc(text), 0)) }

// ready are the conditions of a report that is made.
func ready(reason, message string, complete bool) []metav1.Condition {
	is := map[bool]metav1.ConditionStatus{true: metav1.ConditionTrue, false: metav1.ConditionFalse}[complete]
	return []metav1.Condition{{Type: "Ready", Status: "True", Reason: reason, Message: message}, {Type: "Complete", Status: is, Reason: "Sealed"}}
}

func stalled(reason, message string) []metav1.Condition {
	return []metav1.Condition{{Type: "Ready", Status: "False", Reason: reason, Message: message}, {Type: "Stalled", Status: "True", Reason: reason, Message: message}}
}

// reportOf is a report of a time of which so many seconds were seen and so many not.
func reportOf(name, from, to string, seen, unseen int64) v1alpha1.UsageReport {
	r := v1alpha1.UsageReport{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	r.Spec.WindowSize = v1alpha1.WindowDay
	r.Status = v1alpha1.UsageReportStatus{
		Conditions: ready("Reported", "the figures are those of the ledger", true), LastReportTime: moment("2026-11-21T12:00:03Z"), SealedTime: moment("2026-11-21T12:00:00Z"),
		Window:   &v1alpha1.TimeWindow{StartTime: *moment(from), EndTime: *moment(to)},
		Coverage: &v1alpha1.ReportCoverage{Percent: "100", ObservedSeconds: seen, UnknownSeconds: unseen},
	}
	return r
}

func total(resourceType, dimension, quantity, unit, exact, exactUnit string) v1alpha1.Total {
	return v1alpha1.Total{ResourceType: resourceType, Dimension: dimension, Quantity: quantity, Unit: unit, Exact: exact, ExactUnit: exactUnit}
}

// keptReports are those of the cluster: one of each answer, and one whose texts are hostile.
func keptReports(_ context.Context, namespace string) (*usageapi.Kept, error) {
	kept := &usageapi.Kept{}
	if namespace == "" {
		all := v1alpha1.ClusterUsageReport{ObjectMeta: metav1.ObjectMeta{Name: "november"}, Status: reportOf("", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 1_100_000, 667_800).Status}
		all.Status.Conditions, all.Status.Coverage.Percent = ready("Reported", "the figures are those of the ledger", false), "62.21"
		all.Status.Totals = []v1alpha1.Total{
			total("container", "cpu", "3021.5", "core-hour", "10877400000", "millicore-second"), total("vm", "memory", "22176", "GiB-hour", "85720676810752", "byte-second"),
		}
		kept.ClusterReports = append(kept.ClusterReports, all)
		nightly := v1alpha1.ClusterUsageReportSchedule{ObjectMeta: metav1.ObjectMeta{Name: "nightly"}}
		nightly.Spec.Schedule, nightly.Status.Conditions = "0 25 * * *", stalled("InvalidSchedule", "spec.schedule: 25 is no hour")
		kept.ClusterSchedules = append(kept.ClusterSchedules, nightly)
	}
	if namespace != "" && namespace != "shop" {
		return kept, nil
	}
	used := reportOf("monthly-2026-10", "2026-11-08T00:00:00Z", "2026-11-15T00:00:00Z", 604_800, 0)
	used.Labels = map[string]string{v1alpha1.LabelSchedule: "monthly"}
	used.Status.Totals = []v1alpha1.Total{total("container", "cpu", "1234.5678", "core-hour", "4444444080", "millicore-second")}
	zero := reportOf("volumes", "2026-11-10T00:00:00Z", "2026-11-11T00:00:00Z", 86_400, 0)
	zero.Status.Summary = "nothing was used"
	partly := reportOf("gap", "2026-11-15T00:00:00Z", "2026-11-16T00:00:00Z", 54_000, 32_400)
	partly.Status.Summary, partly.Status.Coverage.Percent = "nothing was used in the 62.5% of the window that is known: metering began at 2026-11-08T00:00:00Z", "62.5"
	unknown := reportOf("october", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z", 0, 2_678_400)
	unknown.Status.Summary, unknown.Status.Coverage.Percent = "it is unknown whether anything was used: metering began at 2026-11-08T00:00:00Z", "0"
	misspelt := reportOf("misspelt", "2026-11-10T00:00:00Z", "2026-11-11T00:00:00Z", 86_400, 0)
	misspelt.Status.Conditions = ready(v1alpha1.ReasonNoSuchName, `filters.deployments: nothing was ever recorded under a deployment "`+hostile+`": did you mean "web"?`, true)
	later := reportOf("december", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z", 0, 0)
	later.Status.Conditions, later.Status.Summary = ready("Reported", "", false), "no interval of the window is sealed yet"
	mars := v1alpha1.UsageReport{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "on-mars"}}
	mars.Status.Conditions = stalled("UnknownTimeZone", `spec.timeZone: there is no time zone "`+hostile+`"`)
	fresh := v1alpha1.UsageReport{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "new"}}
	changed := reportOf("changed", "2026-11-10T00:00:00Z", "2026-11-11T00:00:00Z", 86_400, 0)
	changed.Generation, changed.Status.ObservedGeneration, changed.Status.Totals = 2, 1, used.Status.Totals
	kept.Reports = append(kept.Reports, used, zero, partly, unknown, misspelt, later, mars, fresh, changed)
	monthly := v1alpha1.UsageReportSchedule{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "monthly"}}
	monthly.Spec.EveryPeriod = "month"
	monthly.Status = v1alpha1.ReportScheduleStatus{
		Conditions: ready("Scheduled", "", true), LastReport: "monthly-2026-10", NextScheduleTime: moment("2026-12-01T00:00:00Z"),
		LastPeriod: &v1alpha1.TimeWindow{StartTime: *moment("2026-10-01T00:00:00Z"), EndTime: *moment("2026-11-01T00:00:00Z")},
	}
	kept.Schedules = append(kept.Schedules, monthly)
	return kept, nil
}

// Where a kind is hidden, and where that is not known since not every namespace was asked about, is
// not the same, and neither is that there is no report.
func TestReportsThatAreNotVisibleAreNotNone(t *testing.T) {
	server, cluster := serve(t)
	v := open(t, server.URL)
	v.logIn("auditor")
	for _, c := range []struct {
		crowded   bool
		says, not string
	}{
		{false, "Not visible to you: ClusterUsageReports, ClusterUsageReportSchedules, UsageReports, UsageReportSchedules.", "Perhaps"},
		{true, "Perhaps not visible to you: UsageReports, UsageReportSchedules. You may list them in none of the namespaces that were asked about", "you: ClusterUsageReports, ClusterUsageReportSchedules, UsageReports"},
	} {
		cluster.crowded.Store(c.crowded)
		v.look("reports")
		if shown := v.text("main"); !strings.Contains(shown, c.says) || strings.Contains(shown, c.not) || strings.Contains(shown, "There is no report") {
			t.Errorf("with more namespaces: %v: it says\n%s", c.crowded, shown)
		}
		v.accessible(c.says)
	}
	v.well("reports, not visible")
}

// Each report says which answer it is, as the operator's status has it.
func TestReportsSayWhichAnswerTheyAre(t *testing.T) {
	server, _ := serve(t)
	v := open(t, server.URL)
	v.logIn("admin")
	v.look("reports")
	for name, says := range map[string]string{
		"november": "62.21 % of its time is known", "monthly-2026-10": "container.cpu", "volumes": "Nothing was used", "gap": "Nothing was used in the time that is known",
		"october": "Unknown", "misspelt": "No such name", "december": "It has not begun", "on-mars": "No figures", "new": "Not looked at yet", "changed": "Not looked at yet", "nightly": "25 is no hour",
	} {
		row := v.text(`[data-report="` + name + `"]`)
		if !strings.Contains(row, says) {
			t.Errorf("%s does not say %q:\n%s", name, says, row)
		}
		for _, other := range []string{"Nothing was used", "Unknown", "No such name", "It has not begun", "No figures"} {
			if strings.Contains(row, other) && !strings.Contains(says, other) && !strings.Contains(row, "UnknownTimeZone") && name != "new" && name != "changed" {
				t.Errorf("%s says %q, too:\n%s", name, other, row)
			}
		}
	}
	if row := v.text(`[data-report="changed"]`); strings.Contains(row, "1234") || strings.Contains(row, "container.cpu") {
		t.Errorf("the figures of what was asked before are those of what is asked now:\n%s", row)
	}
	if exact := eval[string](v, `[...document.querySelectorAll('[data-report="monthly-2026-10"] .figure')].map((f) => f.title + '|' + f.textContent.replace('\u202f', '')).join(' ')`); exact != "exactly 4444444080 millicore-second|1234.568" {
		t.Errorf("the figures are %q", exact)
	}
	// A report leads to its time, of whom it is of.
	v.run(chromedp.Click(`[data-report="monthly-2026-10"] a`), v.settled())
	if at := eval[string](v, "location.hash"); !strings.HasPrefix(at, "#/tenant/shop?from=2026-11-08T00%3A00%3A00Z&to=2026-11-15T00%3A00%3A00Z") {
		t.Errorf("it leads to %s", at)
	}
	v.well("reports")
}
