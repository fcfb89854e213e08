package usageapi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi"
)

const (
	benchResources, benchTenants, benchDays = 10_000, 100, 31
	benchDay                                = int64(86_400)
)

var (
	benchStart = at("2026-10-01T00:00:00Z")
	benchNow   = benchStart + benchDays*benchDay
)

// benchTypes are what is metered of each type of resource: six in ten are containers, three machines.
var benchTypes = []struct {
	name       string
	dimensions []usage.Dimension
}{
	{"container", []usage.Dimension{{Name: "cpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}}},
	{"vm", []usage.Dimension{{Name: "vcpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}}},
	{"volume", []usage.Dimension{{Name: "storage", Unit: usage.Byte}}},
	{"node_pool", []usage.Dimension{{Name: "vcpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}, {Name: "gpu", Unit: usage.Count}}},
}

// busyMonth is a ledger of 10,000 resources of 100 tenants, each of which is resized once a day for 31 days, on 20 node pools.
func busyMonth() (ledger *timeline.Timeline, segments int) {
	c := timeline.Commit{Time: benchNow}
	for _, of := range benchTypes {
		c.Meters = append(c.Meters, timeline.Meter{Name: of.name, ResourceType: of.name, Since: benchStart, Dimensions: of.dimensions})
	}
	hold := func(kind, id int, account usage.Account) {
		of := benchTypes[kind]
		object := usage.Object{APIVersion: "v1", Kind: "Thing", Name: fmt.Sprintf("%s-%d", of.name, id), UID: fmt.Sprintf("uid-%s-%d", of.name, id)}
		subject := &usage.Subject{ResourceType: of.name, Resource: object, Instance: object, Region: "eu-1", Account: account}
		for day := range int64(benchDays) {
			from := benchStart + day*benchDay + int64(id*37%86_400)*min(day, 1)
			to := benchStart + (day+1)*benchDay + int64(id*37%86_400)
			for d, dimension := range of.dimensions {
				s := usage.Change{Segment: usage.Segment{
					Meter: of.name, Dimension: dimension, Subject: subject, Level: int64(1000 * (1 + (id+int(day))%8) * (1 + d<<20)),
					Start: usage.Boundary{At: from, Evidence: usage.Observed},
				}}
				if day+1 < benchDays {
					s.End = usage.Boundary{At: to, Evidence: usage.Observed}
				}
				c.Changes = append(c.Changes, s)
			}
		}
	}
	for id := range benchResources {
		tenant := id % benchTenants
		kind := []int{0, 0, 0, 0, 0, 0, 1, 1, 1, 2}[id/benchTenants%10]
		hold(kind, id, usage.Account{Namespace: fmt.Sprintf("tenant-%d", tenant), NamespaceUID: fmt.Sprintf("uid-tenant-%d", tenant), Deployment: fmt.Sprintf("app-%d", id/benchTenants%12)})
	}
	for id := range 20 {
		hold(3, id, usage.Account{Namespace: "usage-system"})
	}
	for start := benchStart; start < benchNow; start += 3600 {
		c.Sealed = append(c.Sealed, usage.Interval(start, 3600))
	}
	ledger = timeline.New()
	ledger.Take(c)
	ledger.Publish()
	return ledger, len(c.Changes)
}

// question is one of a view's requests.
type question struct{ method, path, body string }

// viewsOf are the requests that each view of the page makes, the nth time that it is looked at: each time of another
// tenant, and of a window that has moved on, so that no answer is the one before.
func viewsOf(n int) map[string][]question {
	from, to := stampOf(benchStart+int64(n%1800)), stampOf(benchNow-1800+int64(n%1800))
	tenant := fmt.Sprintf("tenant-%d", n%benchTenants)
	report := func(filters string) question {
		return question{"POST", "/v1alpha1/report?top=1", fmt.Sprintf(`{"startingOn":%q,"endingBefore":%q,"timeZone":"Europe/Berlin","windowSize":"none","groupBy":["resourceType"],"filters":{%s}}`, from, to, filters)}
	}
	series := func(top, size, groups, filters string) question {
		return question{"POST", "/v1alpha1/series?top=" + top, fmt.Sprintf(`{"startingOn":%q,"endingBefore":%q,"timeZone":"Europe/Berlin","windowSize":%q,"groupBy":[%s],"filters":{%s}}`, from, to, size, groups, filters)}
	}
	of := fmt.Sprintf(`"namespaces":[%q]`, tenant)
	deployment := of + fmt.Sprintf(`,"deployments":["app-%d"]`, n%12)
	metric := `,"resourceTypes":["container"],"dimensions":["cpu"]`
	return map[string][]question{
		"overview": {
			{"GET", "/v1alpha1/capacity?from=" + from + "&to=" + to, ""}, report(""), series("8", "day", `"namespace","resourceType"`, metric[1:]),
		},
		"overview, by resource and hour": {
			{"GET", "/v1alpha1/capacity?from=" + from + "&to=" + to, ""}, report(""), series("8", "hour", `"namespace","resource","resourceType"`, metric[1:]),
		},
		"tenant":     {report(of), series("8", "day", `"namespace","deployment","resourceType"`, of+metric)},
		"deployment": {report(deployment), series("8", "day", `"namespace","resource","resourceType"`, deployment+metric)},
		"resource":   {{"GET", fmt.Sprintf("/v1alpha1/resources?uid=uid-container-%d&from=%s&to=%s", n%600, from, to), ""}},
		"reports":    {{"GET", "/v1alpha1/reports", ""}},
		"health":     {{"GET", "/v1alpha1/status", ""}, {"POST", "/v1alpha1/report?top=1", fmt.Sprintf(`{"startingOn":%q,"endingBefore":%q,"windowSize":"none"}`, from, to)}},
		"export":     {series("50", "day", `"namespace","deployment","resourceType"`, "")},
	}
}

func stampOf(at int64) string { return time.Unix(at, 0).UTC().Format(time.RFC3339) }

// BenchmarkViews is how long the server takes for all that a view asks, one request after the other:
//
//	go test ./internal/usageapi -run '^$' -bench Views -benchtime 100x
func BenchmarkViews(b *testing.B) {
	f := newFixture()
	ledger, segments := busyMonth()
	f.ledger.Timeline, f.rate, f.clock = ledger, 1e9, testclock.NewFakePassiveClock(time.Unix(benchNow+5, 0))
	f.reports = &usageapi.Kept{}
	for i := range 1000 {
		r := madeReport(fmt.Sprintf("tenant-%d", i%benchTenants), fmt.Sprintf("report-%d", i), 6, 3600, 0)
		r.CreationTimestamp = metav1.Unix(benchStart, 0)
		f.reports.Reports = append(f.reports.Reports, r)
	}
	f.reports.ClusterReports = []v1alpha1.ClusterUsageReport{{Status: f.reports.Reports[0].Status}}
	h, watch := f.handler(), clock.RealClock{}
	names := []string{}
	for name := range viewsOf(0) {
		names = append(names, name)
	}
	slices.Sort(names)
	b.Logf("%d resources, %d days, %d segments", benchResources, benchDays, segments)
	for _, name := range names {
		b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
			var took []time.Duration
			for n := 0; b.Loop(); n++ {
				sum := time.Duration(0)
				for _, q := range viewsOf(n)[name] {
					r := httptest.NewRequest(q.method, q.path, strings.NewReader(q.body))
					r.Header.Set("Authorization", "Bearer admin")
					w := httptest.NewRecorder()
					start := watch.Now()
					h.ServeHTTP(w, r)
					sum += watch.Since(start)
					if w.Code != http.StatusOK {
						b.Fatalf("%s %s: status %d: %s", q.method, q.path, w.Code, w.Body)
					}
				}
				took = append(took, sum)
			}
			slices.Sort(took)
			milliseconds := func(part float64) float64 { return took[int(part*float64(len(took)-1))].Seconds() * 1000 }
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(milliseconds(0.5), "p50-ms")
			b.ReportMetric(milliseconds(0.95), "p95-ms")
			b.ReportMetric(milliseconds(1), "max-ms")
		})
	}
}
