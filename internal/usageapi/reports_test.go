package usageapi_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/timeline"
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

// What may be listed is shown. Of a kind of which none may be listed it is said that it is hidden
// where each namespace was asked about, and otherwise that it is undecided; what there is that may
// not be listed changes nothing of that.
func TestReportsAreHiddenWhereEachNamespaceWasAskedAbout(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFixture()
		n := rapid.SampledFrom([]int{0, 1, 3, 96, 97, 98, 150}).Draw(rt, "namespaces beside three")
		names := []string{"bank", "empty", "shop"}
		for i := range n {
			names = append(names, fmt.Sprintf("n%03d", i))
			f.more = append(f.more, timeline.NamespaceRef{Name: names[i+3], UID: names[i+3]})
		}
		f.more = rapid.Permutation(f.more).Draw(rt, "order") // the cache has none
		some := func(most int, what string) []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, min(most, len(names)), rapid.ID).Draw(rt, what)
		}
		allowed, has := some(2, "reports may be listed in"), some(len(names), "reports are in")
		f.cluster.decide = func(_, resource, namespace string) bool {
			return resource == "usagerecords" || resource == "usagereports" && slices.Contains(allowed, namespace)
		}
		answer := func(has []string) (list wire.KeptReportList, names []string) {
			f.reports = &usageapi.Kept{}
			for _, namespace := range has {
				f.reports.Reports = append(f.reports.Reports, madeReport(namespace, "of", 0, 1, 0))
			}
			list = decode[wire.KeptReportList](t, ask(t, f.handler(), "both", "GET", "/v1alpha1/reports", ""))
			for i := range list.Reports {
				names = append(names, list.Reports[i].Namespace)
			}
			return list, names
		}
		visible := slices.DeleteFunc(slices.Sorted(slices.Values(has)), func(name string) bool { return !slices.Contains(allowed, name) })
		got, shown := answer(has)
		if !slices.Equal(shown, visible) {
			rt.Errorf("reports are shown in %v, want %v", shown, visible)
		}
		saysWhatIsHidden(rt, len(names), allowed, shown, got)
		if without, _ := answer(visible); !cmp.Equal(without, got) {
			rt.Errorf("the answer tells of reports that may not be listed:\n%s", cmp.Diff(without, got))
		}
	})
}

// saysWhatIsHidden checks what is said of the kinds that may not be listed, where schedules may be
// listed in no namespace and reports in those that are allowed, of so many.
func saysWhatIsHidden(rt *rapid.T, namespaces int, allowed, shown []string, got wire.KeptReportList) {
	hidden, undecided := slices.Contains(got.Hidden, "UsageReport"), slices.Contains(got.Undecided, "UsageReport")
	switch few := namespaces <= 100; {
	case hidden && (len(allowed) > 0 || !few):
		rt.Errorf("of %d namespaces, with %v allowed, reports are hidden", namespaces, allowed)
	case undecided && (few || len(shown) > 0):
		rt.Errorf("of %d namespaces, with %v allowed and %v shown, it is undecided", namespaces, allowed, shown)
	case len(allowed) == 0 && !hidden && !undecided:
		rt.Errorf("of %d namespaces it is not said that reports may be listed in none", namespaces)
	}
	if !slices.Contains(got.Hidden, "ClusterUsageReport") || slices.Contains(got.Hidden, "UsageReportSchedule") != (namespaces <= 100) {
		rt.Errorf("of %d namespaces, kinds that may be listed nowhere: hidden %v, undecided %v", namespaces, got.Hidden, got.Undecided)
	}
}

// Beside the records of each namespace, who sees many causes a review of each kind in the first
// hundred and where the page has one of it; and within a minute no more than whether it is all of them.
func TestReportsCauseSoManyReviews(t *testing.T) {
	f := newFixture()
	f.reports = &usageapi.Kept{}
	for i := range 3000 {
		name := fmt.Sprintf("n%04d", i)
		f.more = append(f.more, timeline.NamespaceRef{Name: name, UID: name})
		f.reports.Reports = append(f.reports.Reports, madeReport(name, "of", 0, 1, 0))
	}
	var mu sync.Mutex
	reviews := map[string]int{}
	f.cluster.decide = func(_, resource, namespace string) bool {
		mu.Lock()
		defer mu.Unlock()
		reviews[resource]++
		return namespace != ""
	}
	h := f.handler()
	first := map[string]int{"usagerecords": 1 + 3003, "usagereports": 1 + 100 + 201 - 98, "usagereportschedules": 1 + 100, "clusterusagereports": 1, "clusterusagereportschedules": 1}
	again := map[string]int{"usagerecords": 1, "usagereports": 1, "usagereportschedules": 1, "clusterusagereports": 1, "clusterusagereportschedules": 1}
	for _, want := range []map[string]int{first, again} {
		clear(reviews)
		if got := decode[wire.KeptReportList](t, ask(t, h, "both", "GET", "/v1alpha1/reports", "")); len(got.Reports) != 200 {
			t.Errorf("%d reports, want a page of 200", len(got.Reports))
		}
		if difference := cmp.Diff(want, reviews); difference != "" {
			t.Errorf("reviews: want (-), got (+):\n%s", difference)
		}
	}
}

// A status that speaks of another spec is no answer to this one.
func TestAReportThatWasChangedHasNotBeenSeen(t *testing.T) {
	f := newFixture()
	f.reports = kept()
	changed, schedule := &f.reports.Reports[0], &f.reports.Schedules[0]
	changed.Generation, changed.Status.ObservedGeneration = 2, 1
	changed.Labels, changed.Spec.WindowSize = map[string]string{v1alpha1.LabelSchedule: "monthly"}, v1alpha1.WindowDay
	next := metav1.NewTime(november.EndTime.Time)
	schedule.Generation = 2
	schedule.Status = v1alpha1.ReportScheduleStatus{
		ObservedGeneration: 1, LastReport: "monthly-2026-10", LastPeriod: &november, NextScheduleTime: &next,
		Conditions: []metav1.Condition{{Type: "Stalled", Status: "True", Reason: "InvalidSchedule", Message: "as it was before"}},
	}
	f.reports.ClusterReports[0].Generation = 1 // as it is before the operator has seen it
	f.reports.ClusterReports[0].Status = v1alpha1.UsageReportStatus{ObservedGeneration: -1}
	got := decode[wire.KeptReportList](t, ask(t, f.handler(), "admin", "GET", "/v1alpha1/reports", ""))
	want := map[string]wire.KeptReport{
		"used":    {Kind: "UsageReport", Namespace: "shop", Name: "used", Phase: "NotSeen", Finding: "None", Schedule: "monthly", WindowSize: v1alpha1.WindowDay},
		"all":     {Kind: "ClusterUsageReport", Name: "all", Phase: "NotSeen", Finding: "None"},
		"monthly": {Kind: "UsageReportSchedule", Namespace: "shop", Name: "monthly", Phase: "NotSeen", Finding: "None", Every: "month", LastReport: "monthly-2026-10", Window: &november},
	}
	for i := range got.Reports {
		name := got.Reports[i].Name
		if difference := cmp.Diff(want[name], got.Reports[i]); want[name].Name != "" && difference != "" {
			t.Errorf("%s: want (-), got (+):\n%s", name, difference)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
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
		token := rapid.SampledFrom([]string{"admin", "both"}).Draw(rt, "who")
		h, cursor := f.handler(), ""
		var seen []string
		for page := 0; page == 0 || cursor != ""; page++ {
			got := decode[wire.KeptReportList](t, ask(t, h, token, "GET", "/v1alpha1/reports?cursor="+cursor, ""))
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
