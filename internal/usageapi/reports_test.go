package usageapi_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usageapi"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

var november = v1alpha1.TimeWindow{
	StartTime: metav1.NewTime(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)), EndTime: metav1.NewTime(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)),
}

// madeReport is a report with those totals, of which so many seconds were seen and so many not.
func madeReport(namespace, name string, totals int, seen, unseen int64) v1alpha1.UsageReport {
	r := v1alpha1.UsageReport{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	r.Status = v1alpha1.UsageReportStatus{
		Window: &november, Summary: "in words", Coverage: &v1alpha1.ReportCoverage{Percent: "some", ObservedSeconds: seen, UnknownSeconds: unseen},
		Conditions: []metav1.Condition{{Type: "Ready", Status: "True", Reason: "Reported"}, {Type: "Complete", Status: "True", Reason: "Sealed"}},
		Totals:     slices.Repeat([]v1alpha1.Total{{ResourceType: "vm", Dimension: "vcpu", Quantity: "1", Unit: "core-hour", Exact: "3600000", ExactUnit: "millicore-second"}}, totals),
	}
	return r
}

// kept are reports and schedules of two tenants and of the cluster.
func kept() *usageapi.Kept {
	k := &usageapi.Kept{
		Reports: []v1alpha1.UsageReport{
			madeReport("shop", "used", 1, 3600, 0), madeReport("shop", "zero", 0, 3600, 0), madeReport("shop", "partly", 0, 1800, 1800),
			madeReport("shop", "unknown", 0, 0, 3600), madeReport("shop", "begins", 0, 0, 0), madeReport("bank", "secret", 9, 3600, 0),
			madeReport("shop", "misspelt", 0, 3600, 0), madeReport("shop", "stalled", 0, 0, 0), {ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "new"}},
		},
		Schedules:        []v1alpha1.UsageReportSchedule{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "monthly"}}},
		ClusterReports:   []v1alpha1.ClusterUsageReport{{ObjectMeta: metav1.ObjectMeta{Name: "all"}, Status: madeReport("", "", 1, 3600, 0).Status}},
		ClusterSchedules: []v1alpha1.ClusterUsageReportSchedule{{ObjectMeta: metav1.ObjectMeta{Name: "nightly"}}},
	}
	k.Reports[6].Status.Conditions[0].Reason = v1alpha1.ReasonNoSuchName
	k.Reports[7].Status = v1alpha1.UsageReportStatus{Conditions: []metav1.Condition{
		{Type: "Ready", Status: "False", Reason: "UnknownTimeZone"}, {Type: "Stalled", Status: "True", Reason: "UnknownTimeZone", Message: "there is no time zone"},
	}}
	k.Schedules[0].Spec.EveryPeriod, k.Schedules[0].Status.LastReport = "month", "monthly-2026-10"
	k.ClusterSchedules[0].Spec.Schedule = "0 3 * * *"
	return k
}

func (f *fixture) reportsOf(_ context.Context, namespace string) (*usageapi.Kept, error) {
	if namespace == "" {
		return f.reports, nil
	}
	of := &usageapi.Kept{}
	for _, r := range f.reports.Reports {
		if r.Namespace == namespace {
			of.Reports = append(of.Reports, r)
		}
	}
	for _, s := range f.reports.Schedules {
		if s.Namespace == namespace {
			of.Schedules = append(of.Schedules, s)
		}
	}
	return of, nil
}

// said is what a list says, a line each.
func said(list wire.KeptReportList) (lines []string) {
	for i := range list.Reports {
		r := &list.Reports[i]
		lines = append(lines, strings.Join([]string{r.Namespace, r.Kind, r.Name, r.Phase, r.Reason, r.Finding}, " "))
	}
	return lines
}

func TestReportsSayWhatTheyAre(t *testing.T) {
	h := newFixture().handler()
	got := decode[wire.KeptReportList](t, ask(t, h, "admin", "GET", "/v1alpha1/reports", ""))
	want := []string{
		" ClusterUsageReport all Ready Reported Used", " ClusterUsageReportSchedule nightly NotSeen  None",
		"bank UsageReport secret Ready Reported Used",
		"shop UsageReport begins Ready Reported NotBegun", "shop UsageReport misspelt Ready NoSuchName Zero", "shop UsageReport new NotSeen  None",
		"shop UsageReport partly Ready Reported PartlyUnknown", "shop UsageReport stalled Stalled UnknownTimeZone None", "shop UsageReport unknown Ready Reported Unknown",
		"shop UsageReport used Ready Reported Used", "shop UsageReport zero Ready Reported Zero",
		"shop UsageReportSchedule monthly NotSeen  None",
	}
	if difference := cmp.Diff(want, said(got)); difference != "" {
		t.Errorf("want (-), got (+):\n%s", difference)
	}
	if s := got.Reports[11]; s.Every != "month" || s.LastReport != "monthly-2026-10" || got.Reports[1].Every != "0 3 * * *" {
		t.Errorf("%+v, %+v", s, got.Reports[1])
	}
	if r := got.Reports[2]; len(r.Totals) != usageapi.TotalsShown || !r.MoreTotals || got.Reports[9].MoreTotals {
		t.Errorf("%d totals of 9, more: %v", len(r.Totals), r.MoreTotals)
	}
	if r := got.Reports[9]; len(r.Totals) != 1 || r.Totals[0].Exact != "3600000" || !r.Complete || r.Coverage != "some" || !r.Window.StartTime.Equal(&november.StartTime) {
		t.Errorf("%+v", r)
	}
}

// Who may list what, is asked of each kind: what may not be listed is hidden, whether there is any or not.
func TestReportsAreThoseThatWhoAsksMayList(t *testing.T) {
	f := newFixture()
	f.cluster.resources = map[string][]string{
		"records-only": {"usagerecords"}, "no-schedules": {"usagerecords", "usagereports"},
	}
	f.cluster.allowed["records-only"], f.cluster.allowed["no-schedules"] = []string{"shop"}, []string{"shop", "bank"}
	h := f.handler()
	for _, c := range []struct {
		token, query string
		status, rows int
		hidden       []string
	}{
		{"admin", "", 200, 12, nil},
		{"admin", "?project_id=shop", 200, 9, nil},
		{"admin", "?project_id=empty", 200, 0, nil},
		{"admin", "?project_id=shpo", 404, 0, nil},
		{"shop", "", 200, 9, []string{"ClusterUsageReport", "ClusterUsageReportSchedule"}},
		{"shop", "?project_id=shop", 200, 9, nil},
		{"shop", "?project_id=bank", 403, 0, nil},
		{"shop", "?project_id=nosuch", 403, 0, nil},
		{"both", "", 200, 10, []string{"ClusterUsageReport", "ClusterUsageReportSchedule"}},
		{"no-schedules", "", 200, 9, []string{"ClusterUsageReport", "ClusterUsageReportSchedule", "UsageReportSchedule"}},
		{"records-only", "?project_id=shop", 200, 0, []string{"UsageReport", "UsageReportSchedule"}},
		{"nobody", "", 403, 0, nil},
		{"", "", 401, 0, nil},
		{"shop", "?cursor=*", 400, 0, nil},
	} {
		w := ask(t, h, c.token, "GET", "/v1alpha1/reports"+c.query, "")
		if w.Code != c.status {
			t.Errorf("%s%s: status %d, want %d: %s", c.token, c.query, w.Code, c.status, w.Body)
			continue
		}
		if c.status != http.StatusOK {
			continue
		}
		got := decode[wire.KeptReportList](t, w)
		if len(got.Reports) != c.rows || !slices.Equal(got.Hidden, c.hidden) {
			t.Errorf("%s%s: %d reports, hidden %v: want %d, %v", c.token, c.query, len(got.Reports), got.Hidden, c.rows, c.hidden)
		}
		if c.token != "admin" && c.token != "both" && c.token != "no-schedules" && strings.Contains(w.Body.String(), "bank") {
			t.Errorf("%s%s: it tells of another tenant: %s", c.token, c.query, w.Body)
		}
	}
}

// Page by page there is each report once, in order, whatever they are called.
func TestReportsArePaged(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFixture()
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z0-9.-]{1,20}`), 0, 700, rapid.ID).Draw(rt, "names")
		f.reports = &usageapi.Kept{}
		for i, name := range names {
			namespace := []string{"shop", "bank"}[i%2]
			if i%3 == 0 {
				f.reports.Schedules = append(f.reports.Schedules, v1alpha1.UsageReportSchedule{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
				continue
			}
			f.reports.Reports = append(f.reports.Reports, madeReport(namespace, name, 0, 1, 0))
		}
		h, cursor := f.handler(), ""
		var seen []string
		for page := 0; page == 0 || cursor != ""; page++ {
			got := decode[wire.KeptReportList](t, ask(t, h, "admin", "GET", "/v1alpha1/reports?cursor="+cursor, ""))
			for i := range got.Reports {
				seen = append(seen, fmt.Sprint(got.Reports[i].Namespace, "/", got.Reports[i].Kind, "/", got.Reports[i].Name))
			}
			cursor = got.Next
		}
		sorted := slices.Compact(slices.Sorted(slices.Values(seen)))
		if len(sorted) != len(names) || len(seen) != len(names) {
			rt.Fatalf("%d of %d reports are seen, %d times", len(sorted), len(names), len(seen))
		}
	})
}
