package usageapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

type hourlyAnswer struct {
	Items []struct {
		Container, Deployment string
		Start                 string       `json:"start_timestamp"`
		End                   string       `json:"end_timestamp"`
		Quantity              *json.Number `json:"quantity"`
		Unit                  string       `json:"unit_name"`
		Type                  string       `json:"resource_type"`
		Sealed                bool
	} `json:"hourly_usage_items"`
}

func hourlyLines(t *testing.T, h http.Handler, token, query string) []string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"namespace": "shop", "query": query})
	if err != nil {
		t.Fatal(err)
	}
	answer := decode[hourlyAnswer](t, ask(t, h, token, "POST", "/api/web/namespaces/shop/hourly_usage_details", string(body)))
	lines := []string{}
	for _, i := range answer.Items {
		quantity := "unknown"
		if i.Quantity != nil {
			quantity = i.Quantity.String()
		}
		lines = append(lines, fmt.Sprintf("%s-%s %s/%s %s: %s %s sealed=%t", i.Start[5:13], i.End[11:13], i.Deployment, i.Container, i.Type, quantity, i.Unit, i.Sealed))
	}
	return lines
}

func TestHourlyDetails(t *testing.T) {
	h := newFixture().handler()
	containers := []string{
		"11-20T10-11 web/app container: 0.25 core-hour sealed=true",
		"11-20T10-11 web/proxy container: 0.05 core-hour sealed=true",
		"11-20T11-12 web/app container: 0.125 core-hour sealed=true",
		"11-20T11-12 web/proxy container: 0.025 core-hour sealed=true",
	}
	cases := []struct {
		query string
		want  []string
	}{
		{
			// The last day, hours whole; what no container uses is under no deployment.
			"", []string{"11-21T11-12 / vm: 1 core-hour sealed=true", "11-21T12-13 / vm: 0.5 core-hour sealed=false"},
		},
		{
			"from=2026-11-20T10:05:00Z to=2026-11-20T11:55:00Z", []string{
				"11-20T10-11 / container: 0.025 core-hour sealed=true",
				"11-20T10-11 / vm: 8 GiB-hour sealed=true",
				"11-20T10-11 / vm: 4 core-hour sealed=true",
				containers[0], containers[1],
				"11-20T11-12 / vm: 8 GiB-hour sealed=true",
				"11-20T11-12 / vm: 6 core-hour sealed=true",
				containers[2], containers[3],
			},
		},
		{`{from="2026-11-20T00:00:00Z", to="2026-11-21T00:00:00Z", container in ("app", proxy)}`, containers},
		{`from=2026-11-20T00:00:00Z and to=2026-11-21T00:00:00Z and container=proxy and deployment in (web, "")`, []string{containers[1], containers[3]}},
		{`from=2026-11-20T00:00:00Z, to=2026-11-21T00:00:00Z, resource_type=vm, dimension=memory`, []string{
			"11-20T10-11 / vm: 8 GiB-hour sealed=true", "11-20T11-12 / vm: 8 GiB-hour sealed=true",
		}},
		{"web", []string{}}, // today it has used nothing
	}
	for _, c := range cases {
		if diff := cmp.Diff(c.want, hourlyLines(t, h, "shop", c.query)); diff != "" {
			t.Errorf("%s: wanted (-), got (+):\n%s", c.query, diff)
		}
	}
}

func TestCharts(t *testing.T) {
	type answer struct {
		Data []struct {
			Timestamp int64
			Values    []struct {
				ID, Name, Type, Unit string
				Value                *json.Number
			}
		}
	}
	lines := func(token, url string) []string {
		lines := []string{}
		for _, item := range decode[answer](t, ask(t, newFixture().handler(), token, "GET", url, "")).Data {
			for _, v := range item.Values {
				value := "unknown"
				if v.Value != nil {
					value = v.Value.String()
				}
				lines = append(lines, fmt.Sprintf("%d %s %s %s", item.Timestamp, v.ID, value, v.Unit))
			}
		}
		return lines
	}
	day19, day20, november := at("2026-11-19T00:00:00Z"), at("2026-11-20T00:00:00Z"), at("2026-11-01T00:00:00Z")
	cases := []struct {
		token, url string
		want       []string
	}{
		{"shop", "/api/v1/billing/costs/shop/deployments/web/charts", []string{
			fmt.Sprint(day19, " vm.vcpu 0.333333 core-hour"), // corrected
			fmt.Sprint(day20, " container.cpu 0.475 core-hour"),
			fmt.Sprint(day20, " vm.memory 16 GiB-hour"), fmt.Sprint(day20, " vm.vcpu 10 core-hour"),
		}},
		{"admin", "/api/v1/billing/costs/-/deployments/web/charts?bucketing_strategy=Monthly&from=2026-10-01T00:00:00Z", []string{
			// Before the meter began, nobody knows.
			fmt.Sprint(at("2026-10-01T00:00:00Z"), " container.cpu unknown core-hour"),
			fmt.Sprint(at("2026-10-01T00:00:00Z"), " vm.memory unknown GiB-hour"), fmt.Sprint(at("2026-10-01T00:00:00Z"), " vm.vcpu unknown core-hour"),
			fmt.Sprint(november, " container.cpu 0.475 core-hour"), fmt.Sprint(november, " vm.memory 16 GiB-hour"),
			// 10 and 0.333333 here, 36.5 hours of 2 in bank, and 48 of who was here before.
			fmt.Sprint(november, " vm.vcpu 131.333333 core-hour"),
		}},
		{"shop", "/api/v1/billing/costs/shop/deployments/-/charts?bucketing_strategy=hourly&to=2026-11-21T12:00:00Z&from=2026-11-21T10:00:00Z", []string{
			fmt.Sprint(at("2026-11-21T11:00:00Z"), " vm.vcpu 1 core-hour"),
		}},
	}
	for _, c := range cases {
		if diff := cmp.Diff(c.want, lines(c.token, c.url)); diff != "" {
			t.Errorf("%s: wanted (-), got (+):\n%s", c.url, diff)
		}
	}
}

type usageRecord struct {
	ResourceID   string `json:"resource_id"`
	ResourceType string `json:"resource_type"`
	ProjectID    string `json:"project_id"`
	Started      string `json:"started_at"`
	Ended        string `json:"ended_at"`
	Region, Name string
	Open         bool
	Dimensions   []usageEntry
}

type usageEntry struct {
	ID, Dimension string
	Started       string `json:"started_at"`
	Ended         string `json:"ended_at"`
	Quantity      json.Number
	Unit, Level   string
	Open          bool
	Correction    string
	Children      []usageEntry
}

func (e *usageEntry) lines(indent string) (lines []string) {
	line := fmt.Sprintf("%s%s %s-%s %s %s", indent, e.Dimension, e.Started[8:16], e.Ended[8:16], e.Quantity, e.Unit)
	if e.Open {
		line += " open"
	}
	if e.Correction != "" {
		line += " " + e.Correction
	}
	lines = append(lines, line)
	for i := range e.Children {
		lines = append(lines, e.Children[i].lines(indent+"  ")...)
	}
	return lines
}

func (r *usageRecord) lines() []string {
	lines := []string{fmt.Sprintf("%s %s %s %s %s-%s open=%t", r.ProjectID, r.ResourceType, r.Name, r.Region, r.Started[8:16], r.Ended[8:16], r.Open)}
	for i := range r.Dimensions {
		lines = append(lines, r.Dimensions[i].lines("  ")...)
	}
	return lines
}

func TestUsageRecords(t *testing.T) {
	h := newFixture().handler()
	list := func(token, query string) []string {
		t.Helper()
		lines, cursor := []string{}, ""
		for {
			answer := decode[struct {
				Items      []usageRecord
				Pagination struct {
					Next *string `json:"next_cursor"`
				}
			}](t, ask(t, h, token, "GET", "/v1/usage?"+query+cursor, ""))
			for i := range answer.Items {
				lines = append(lines, answer.Items[i].lines()...)
			}
			if answer.Pagination.Next == nil {
				return lines
			}
			cursor = "&cursor=" + *answer.Pagination.Next
		}
	}
	shop := []string{
		"shop vm vm-1 eu-1 20T10:00-20T12:00 open=false",
		"  m1.large 20T10:00-20T12:00 2 instance-hour",
		"    memory 20T10:00-20T12:00 16 GiB-hour",
		"    vcpu 20T10:00-20T11:30 6 core-hour",
		"    vcpu 20T11:30-20T12:00 4 core-hour",
		"shop vm vm-2 eu-1 21T11:00-21T12:30 open=true",
		"  vcpu 21T11:00-21T12:30 1.5 core-hour open",
		"shop vm vm-4 eu-1 19T10:00-19T10:30 open=false",
		"  vcpu 19T10:00-19T10:30 0.5 core-hour",
		"  vcpu 19T10:20-19T10:30 -0.166667 core-hour less",
	}
	bank := []string{"bank vm vm-3 eu-1 20T00:00-21T12:30 open=true", "  vcpu 20T00:00-21T12:30 73 core-hour open"}
	cases := []struct {
		token, query string
		want         []string
	}{
		{"shop", "", shop},
		{"shop", "limit=1", shop},
		{"both", "limit=2", append(append([]string{}, bank...), shop...)},
		{"both", "project_id=bank", bank},
		{"shop", "from=2026-11-20T11:00:00Z&to=2026-11-20T11:45:00Z", []string{
			"shop vm vm-1 eu-1 20T11:00-20T11:45 open=false",
			"  m1.large 20T11:00-20T11:45 0.75 instance-hour",
			"    memory 20T11:00-20T11:45 6 GiB-hour",
			"    vcpu 20T11:00-20T11:30 2 core-hour",
			"    vcpu 20T11:30-20T11:45 2 core-hour",
		}},
		{"shop", "resource_type=nks_cluster&resource_type=container&deployment=web&from=2026-11-20T11:00:00Z", []string{
			"shop container pod-1 eu-1 20T11:00-20T11:15 open=false",
			"  cpu 20T11:00-20T11:15 0.125 core-hour",
			"  cpu 20T11:00-20T11:15 0.025 core-hour",
		}},
	}
	for _, c := range cases {
		if diff := cmp.Diff(c.want, list(c.token, c.query)); diff != "" {
			t.Errorf("%s: wanted (-), got (+):\n%s", c.query, diff)
		}
	}

	one := func(token, url string) []string {
		t.Helper()
		record := decode[usageRecord](t, ask(t, h, token, "GET", url, ""))
		return record.lines()
	}
	if diff := cmp.Diff(shop[5:7], one("shop", "/v1/usage/uid-vm-2")); diff != "" {
		t.Errorf("by its id: wanted (-), got (+):\n%s", diff)
	}
	if w := ask(t, h, "shop", "GET", "/v1/usage/uid-vm-3", ""); w.Code != http.StatusNotFound {
		t.Errorf("another tenant's: status %d, want 404", w.Code)
	}
	if w := ask(t, h, "shop", "GET", "/v1/usage/uid-vm-1", ""); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "?resource_type=container") {
		t.Errorf("metered as two types: status %d: %s, want 409", w.Code, w.Body)
	}
	if diff := cmp.Diff(shop[:5], one("shop", "/v1/usage/uid-vm-1?resource_type=vm")); diff != "" {
		t.Errorf("by its id and type: wanted (-), got (+):\n%s", diff)
	}
}

func TestSegmentsKeepTheirIDs(t *testing.T) {
	h := newFixture().handler()
	ids := func(url string) map[string]bool {
		found := map[string]bool{}
		record := decode[usageRecord](t, ask(t, h, "shop", "GET", url, ""))
		for _, head := range record.Dimensions {
			for _, entry := range append(head.Children, head) {
				if found[entry.ID] {
					t.Errorf("%s: %s is the id of two", url, entry.ID)
				}
				found[entry.ID] = true
			}
		}
		return found
	}
	whole := ids("/v1/usage/uid-vm-1?resource_type=vm")
	for id := range ids("/v1/usage/uid-vm-1?resource_type=vm&from=2026-11-20T11:40:00Z") {
		if !whole[id] {
			t.Errorf("%s is the id of a part, and of nothing in the whole", id)
		}
	}
}

type batchedAnswer struct {
	Data []struct {
		Customer string `json:"customer_name"`
		ID       string `json:"billable_metric_id"`
		Metric   string `json:"billable_metric_name"`
		Start    string `json:"start_timestamp"`
		End      string `json:"end_timestamp"`
		Value    *json.Number
		Groups   map[string]json.Number
	}
	Next *string `json:"next_page"`
}

func TestBatchedUsage(t *testing.T) {
	h := newFixture().handler()
	lines := func(token, body string) []string {
		t.Helper()
		lines := []string{}
		for _, r := range decode[batchedAnswer](t, ask(t, h, token, "POST", "/v1/usage", body)).Data {
			value := "unknown"
			if r.Value != nil {
				value = r.Value.String()
			}
			line := fmt.Sprintf("%s %s-%s %s: %s", r.Customer, r.Start[5:13], r.End[5:13], r.Metric, value)
			if r.Groups != nil {
				line += fmt.Sprint(" ", r.Groups)
			}
			lines = append(lines, line)
		}
		return lines
	}
	november := `"starting_on":"2026-11-01T00:00:00Z","ending_before":"2026-12-01T00:00:00Z"`
	cases := []struct {
		token, body string
		want        []string
	}{
		{"both", `{"window_size":"none",` + november + `}`, []string{
			"bank 11-01T00-12-01T00 vm vcpu (core-hour): 73",
			"shop 11-01T00-12-01T00 container cpu (core-hour): 0.475",
			"shop 11-01T00-12-01T00 vm memory (GiB-hour): 16",
			"shop 11-01T00-12-01T00 vm vcpu (core-hour): 11.833333",
		}},
		{"both", `{"window_size":"DAY",` + november + `,"customer_ids":["` + bankUID + `"],"billable_metrics":[{"id":"vm.vcpu"}]}`, []string{
			"bank 11-20T00-11-21T00 vm vcpu (core-hour): 48", "bank 11-21T00-11-22T00 vm vcpu (core-hour): 25",
		}},
		{"shop", `{"window_size":"Day",` + november + `,"billable_metrics":[{"id":"vm.vcpu","group_by":{"key":"deployment"}},{"id":"container.cpu"}]}`, []string{
			"shop 11-20T00-11-21T00 container cpu (core-hour): 0.475",
			"shop 11-19T00-11-20T00 vm vcpu (core-hour): 0.333333 map[web:0.333333]",
			"shop 11-20T00-11-21T00 vm vcpu (core-hour): 10 map[web:10]",
			"shop 11-21T00-11-22T00 vm vcpu (core-hour): 1.5 map[:1.5]",
		}},
		{"shop", `{"window_size":"none",` + november + `,"billable_metrics":[{"id":"container.cpu","group_by":{"key":"container","values":["app","proxy"]}}]}`, []string{
			"shop 11-01T00-12-01T00 container cpu (core-hour): 0.45 map[app:0.375 proxy:0.075]",
		}},
		// The one who had the name before is a customer of his own.
		{"admin", `{"window_size":"none",` + november + `,"customer_ids":["` + goneUID + `"]}`, []string{
			"shop 11-01T00-12-01T00 vm vcpu (core-hour): 48",
		}},
	}
	for _, c := range cases {
		if diff := cmp.Diff(c.want, lines(c.token, c.body)); diff != "" {
			t.Errorf("%s: wanted (-), got (+):\n%s", c.body, diff)
		}
	}

	// Metrics are known by the ids that answers give.
	first := decode[batchedAnswer](t, ask(t, h, "shop", "POST", "/v1/usage", `{"window_size":"none",`+november+`}`)).Data[0]
	again := decode[batchedAnswer](t, ask(t, h, "shop", "POST", "/v1/usage", `{"window_size":"none",`+november+`,"billable_metrics":[{"id":"`+first.ID+`"}]}`)).Data
	if len(again) != 1 || again[0].Metric != first.Metric {
		t.Errorf("%s by its id: got %v", first.Metric, again)
	}
}

// crowd is what many tenants held for ten days, without an end.
func crowd(tenants int) *timeline.Timeline {
	t := timeline.New()
	c := timeline.Commit{Time: committedAt, Sealed: []usage.Window{{Start: at("2026-11-01T00:00:00Z"), End: sealedAt}}}
	c.Meters = []timeline.Meter{{Name: "vm", ResourceType: "vm", Since: at("2026-11-01T00:00:00Z"), Dimensions: []usage.Dimension{vcpu, memory}}}
	for i := range tenants {
		s := subject("vm", fmt.Sprintf("tenant-%04d", i), fmt.Sprintf("uid-%04d", i), "web", fmt.Sprint("vm-", i))
		c.Changes = append(c.Changes, held("vm", s, vcpu, 1000, "2026-11-11T00:00:00Z", ""), held("vm", s, memory, 1<<30, "2026-11-11T00:00:00Z", ""))
	}
	t.Take(c)
	t.Publish()
	return t
}

func TestBatchedUsageInPages(t *testing.T) {
	f := newFixture()
	f.ledger.Timeline = crowd(40)
	h := f.handler()
	for _, group := range []string{"", `,"billable_metrics":[{"id":"vm.vcpu"},{"id":"vm.memory","group_by":{"key":"deployment"}}]`} {
		body := `{"window_size":"hour","starting_on":"2026-11-11T00:00:00Z","ending_before":"2026-11-13T12:30:00Z"` + group + `}`
		seen, pages, url := map[string]bool{}, 0, "/v1/usage"
		for {
			page := decode[batchedAnswer](t, ask(t, h, "admin", "POST", url, body))
			pages++
			if len(page.Data) > 1000 || len(page.Data) < 1000 && page.Next != nil {
				t.Errorf("page %d has %d rows, next %v", pages, len(page.Data), page.Next)
			}
			for _, r := range page.Data {
				key := r.Customer + r.Metric + r.Start
				if seen[key] {
					t.Fatalf("%s comes twice", key)
				}
				seen[key] = true
				want := "1"
				if r.End == "2026-11-13T12:30:00Z" {
					want = "0.5"
				}
				if r.Value == nil || r.Value.String() != want {
					t.Fatalf("%s: %v, want %s", key, r.Value, want)
				}
			}
			if page.Next == nil {
				break
			}
			url = "/v1/usage?next_page=" + *page.Next
		}
		if len(seen) != 40*2*61 || pages != 5 {
			t.Errorf("%d rows on %d pages: want %d on 5", len(seen), pages, 40*2*61)
		}
	}
	// A cursor is of one request alone.
	body := func(size string) string {
		return `{"window_size":"` + size + `","starting_on":"2026-11-11T00:00:00Z","ending_before":"2026-11-13T12:30:00Z"}`
	}
	first := decode[batchedAnswer](t, ask(t, h, "admin", "POST", "/v1/usage", body("hour")))
	if w := ask(t, h, "admin", "POST", "/v1/usage?next_page="+*first.Next, body("day")); w.Code != http.StatusBadRequest {
		t.Errorf("the cursor of another request: status %d, want 400", w.Code)
	}
}

func TestReports(t *testing.T) {
	h := newFixture().handler()
	type answer struct {
		Rows []struct {
			StartTime string
			Group     map[string]string
			Quantity  string
			Unit      string
			Accuracy  string
		}
		Totals []struct {
			ResourceType, Dimension, Quantity string
		}
		NextPage, Summary, SealedTime string
		Corrections                   int
		RowCount                      *int
	}
	spec := `"startingOn":"2026-11-20T00:00:00+01:00","endingBefore":"2026-11-22T00:00:00+01:00","timeZone":"Europe/Berlin","windowSize":"day","groupBy":["namespace","resource"],"filters":{"resourceTypes":["vm"],"dimensions":["vcpu"]}`
	got := decode[answer](t, ask(t, h, "both", "POST", "/v1alpha1/report", "{"+spec+"}"))
	lines := []string{}
	for _, r := range got.Rows {
		lines = append(lines, fmt.Sprint(r.StartTime, " ", r.Group["namespace"], "/", r.Group["resource"], " ", r.Quantity, " ", r.Unit, " ", r.Accuracy))
	}
	want := []string{
		"2026-11-19T23:00:00Z bank/vm-3 46 core-hour Exact", "2026-11-19T23:00:00Z shop/vm-1 10 core-hour Exact",
		"2026-11-20T23:00:00Z bank/vm-3 27 core-hour Exact", "2026-11-20T23:00:00Z shop/vm-2 1.5 core-hour Exact",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("wanted (-), got (+):\n%s", diff)
	}
	if got.RowCount == nil || *got.RowCount != len(want) {
		t.Errorf("%v rows in all: want %d", got.RowCount, len(want))
	}
	if len(got.Totals) != 1 || got.Totals[0].Quantity != "84.5" || got.SealedTime != "2026-11-21T12:00:00Z" {
		t.Errorf("%+v: want 84.5 core-hours in all, sealed up to noon", got)
	}
	// Page by page it is the same, and one who sees less is told less.
	paged, next := 0, ""
	for first := true; first || next != ""; first = false {
		page := decode[answer](t, ask(t, h, "both", "POST", "/v1alpha1/report", `{`+spec+`,"limit":3,"startFrom":"`+next+`"}`))
		paged, next = paged+len(page.Rows), page.NextPage
	}
	if paged != len(want) {
		t.Errorf("%d rows in pages: want %d", paged, len(want))
	}
	if own := decode[answer](t, ask(t, h, "shop", "POST", "/v1alpha1/report", "{"+spec+"}")); len(own.Rows) != 2 || own.Totals[0].Quantity != "11.5" {
		t.Errorf("%+v: want what the shop used", own)
	}
}

func TestReportsThatMakeNoSense(t *testing.T) {
	h := newFixture().handler()
	for body, says := range map[string]string{
		`{}`: "want startingOn and endingBefore, or period",
		`{"period":{"unit":"day"},"startingOn":"2026-11-20T00:00:00Z"}`:                                     "not both",
		`{"period":{"unit":"year"}}`:                                                                        "none of hour, day, week, month",
		`{"period":{"unit":"day","offset":1}}`:                                                              "period.offset",
		`{"period":{"unit":"day"},"windowSize":"minute"}`:                                                   "windowSize",
		`{"period":{"unit":"day"},"groupBy":["mood"]}`:                                                      "groupBy",
		`{"period":{"unit":"day"},"limit":1001}`:                                                            "limit",
		`{"period":{"unit":"day"},"zeros":"Some"}`:                                                          "zeros",
		`{"period":{"unit":"day"},"timeZone":"Europe/Atlantis"}`:                                            "no time zone",
		`{"period":{"unit":"day"},"startFrom":"x"}`:                                                         "cursor",
		`{"period":{"unit":"day"},"filters":{"namespaceSelector":{"matchLabels":{"a b":"c"}}}}`:             "namespaceSelector",
		`{"startingOn":"2026-11-20T00:00:00Z","endingBefore":"2026-11-20T00:00:00Z"}`:                       "is not before",
		`{"startingOn":"1926-11-20T00:00:00Z","endingBefore":"2026-11-20T00:00:00Z","windowSize":"hour"}`:   "at most 10000",
		`{"period":{"unit":"day"},"filters":{"namespaces":["shop"],"deployments":["a"]},"unheardOf":"xyz"}`: "unknown field",
	} {
		w := ask(t, h, "shop", "POST", "/v1alpha1/report", body)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: status %d: %s: want 400 and %s", body, w.Code, w.Body, says)
		}
	}
	if w := ask(t, h, "shop", "POST", "/v1alpha1/report", `{"period":{"unit":"day"},"filters":{"namespaces":["bank"]}}`); w.Code != http.StatusForbidden {
		t.Errorf("another's namespace: status %d, want 403", w.Code)
	}
}

func TestReportsOfNamespacesThatASelectorLetsThrough(t *testing.T) {
	h := newFixture().handler()
	rows := func(token, filters string) string {
		t.Helper()
		body := `{"startingOn":"2026-11-20T00:00:00Z","endingBefore":"2026-11-21T00:00:00Z","groupBy":["namespace"],"filters":{"dimensions":["vcpu"],` + filters + `}}`
		var seen []string
		for _, row := range decode[v1alpha1.UsageReportStatus](t, ask(t, h, token, "POST", "/v1alpha1/report", body)).Rows {
			seen = append(seen, string(row.Group["namespace"]))
		}
		return strings.Join(seen, " ")
	}
	const bankOrShop = `"namespaceSelector":{"matchExpressions":[{"key":"name","operator":"In","values":["bank","shop"]}]}`
	const empty = `"namespaceSelector":{"matchLabels":{"name":"empty"}}`
	for _, c := range []struct{ token, filters, want string }{
		{"admin", bankOrShop, "bank shop"},
		{"admin", bankOrShop + `,"namespaces":["shop","other"]`, "shop"},
		{"shop", bankOrShop, "shop"},
		{"admin", empty, ""},
		{"admin", `"namespaceSelector":{}`, "bank shop"},
	} {
		if got := rows(c.token, c.filters); got != c.want {
			t.Errorf("%s, %s: rows of %q, want %q", c.token, c.filters, got, c.want)
		}
	}
}

func TestResources(t *testing.T) {
	h := newFixture().handler()
	one := decode[wire.ResourceList](t, ask(t, h, "shop", "GET", "/v1alpha1/resources?uid=uid-vm-1&resource_type=vm&from=2026-11-20T11:45:00Z&to=2026-11-21T00:00:00Z", ""))
	if len(one.Resources) != 1 || one.Known != "2026-11-21T12:30:00Z" || one.Sealed != "2026-11-21T12:00:00Z" {
		t.Fatalf("%+v: want vm-1, known up to half past twelve", one)
	}
	vm := one.Resources[0]
	last := vm.Segments[len(vm.Segments)-1]
	if len(vm.Segments) != 2 || last.Dimension != "vcpu" || last.Level != "8" || last.ExactLevel != 8000 || last.Quantity != "2" || last.Start.Time != "2026-11-20T11:30:00Z" ||
		last.End == nil || last.End.Evidence != "Observed" || last.Bundle != "m1.large" {
		t.Errorf("%+v: want memory and the 8 cores of the last half hour, of which a quarter counts", vm.Segments)
	}
	if diff := cmp.Diff([]wire.Quantity{
		{Dimension: "memory", Quantity: "2", Unit: "GiB-hour", Exact: fmt.Sprint(900 * 8 << 30), ExactUnit: "byte-second"},
		{Dimension: "vcpu", Quantity: "2", Unit: "core-hour", Exact: "7200000", ExactUnit: "millicore-second"},
	}, vm.Totals); diff != "" {
		t.Errorf("wanted (-), got (+):\n%s", diff)
	}
}

// A resource's answer tells what was not seen: a lane without a segment is not zero.
func TestResourcesSayHowTheTimeIsKnown(t *testing.T) {
	h := newFixture().handler()
	before := v1alpha1.TimeWindow{StartTime: metav1.Unix(at("2026-10-31T23:00:00Z"), 0), EndTime: metav1.Unix(at("2026-11-01T00:00:00Z"), 0)}
	for query, want := range map[string]v1alpha1.ReportCoverage{
		"uid=uid-vm-1&from=2026-11-20T11:00:00Z&to=2026-11-20T12:00:00Z": {Percent: "100", ObservedSeconds: 3600},
		"uid=uid-vm-0&from=2026-10-31T23:00:00Z&to=2026-11-01T20:00:00Z": {
			Percent: "95.23", ObservedSeconds: 20 * 3600, UnknownSeconds: 3600, Gaps: []v1alpha1.CoverageGap{{TimeWindow: before, Coverage: "Unknown"}},
		},
	} {
		one := decode[wire.ResourceList](t, ask(t, h, "admin", "GET", "/v1alpha1/resources?"+query, ""))
		if diff := cmp.Diff(&want, one.Coverage, cmp.Comparer(func(a, b metav1.Time) bool { return a.Equal(&b) })); diff != "" {
			t.Errorf("%s: wanted (-), got (+):\n%s", query, diff)
		}
	}
}

func TestResourcesSayHowTheyAreMetered(t *testing.T) {
	h := newFixture().handler()
	one := decode[wire.ResourceList](t, ask(t, h, "shop", "GET", "/v1alpha1/resources?name=vm-2&from=2026-11-21T11:45:00Z&to=2026-11-22T00:00:00Z", ""))
	want := []wire.Meter{{Name: "vm", Target: "VirtualMachineInstance.kubevirt.io", Dimensions: []wire.Formula{{Dimension: "vcpu", Quantity: "self.spec.cores"}}}}
	if diff := cmp.Diff(want, one.Meters); diff != "" {
		t.Errorf("the vm's meter: wanted (-), got (+):\n%s", diff)
	}
	if one.From != "2026-11-21T11:45:00Z" || one.To != "2026-11-21T12:30:00Z" || one.Resources[0].Segments[0].Seconds != 45*60 {
		t.Errorf("%+v: want what is known of the time that was asked for", one)
	}
}

func TestResourcesThatGoOnAndThoseThatWereCorrected(t *testing.T) {
	h := newFixture().handler()
	get := func(token, query string) wire.ResourceList {
		t.Helper()
		return decode[wire.ResourceList](t, ask(t, h, token, "GET", "/v1alpha1/resources?"+query, ""))
	}
	if late := get("shop", "name=vm-4").Resources; len(late) != 1 || len(late[0].Corrections) != 1 || late[0].Totals[0].Quantity != "0.333333" {
		t.Errorf("%+v: want vm-4 with its correction", late)
	}
	if open := get("shop", "name=vm-2").Resources; len(open) != 1 || open[0].Segments[0].End != nil {
		t.Errorf("%+v: want vm-2, which goes on", open)
	}
	if all := get("both", "resource_type=vm"); len(all.Resources) != 4 {
		t.Errorf("%d resources: want vm-1 to vm-4", len(all.Resources))
	}
	if w := ask(t, h, "nobody", "GET", "/v1alpha1/resources", ""); w.Code != http.StatusForbidden {
		t.Errorf("nobody: status %d, want 403", w.Code)
	}
}

// What a dimension is of may be named by whoever holds it: others are not told of it,
// neither by its name nor by its id.
func TestErrorsNameNobodyElsesMetrics(t *testing.T) {
	f := newFixture()
	secret := cpu
	secret.Name = "requests.example.com/secret" // a name that the shop has made up
	holder := subject("container", "shop", shopUID, "web", "pod-1")
	holder.Container = "app"
	f.ledger.Take(timeline.Commit{Time: committedAt, Changes: []usage.Change{
		held("container", holder, secret, 100, "2026-11-20T10:30:00Z", "2026-11-20T11:15:00Z"),
	}})
	f.ledger.Publish()
	h := f.handler()
	message := func(token, metric string) string {
		t.Helper()
		answer := ask(t, h, token, "POST", "/v1/usage", `{"window_size":"none","starting_on":"2026-11-01T00:00:00Z","ending_before":"2026-12-01T00:00:00Z","billable_metrics":[{"id":"`+metric+`"}]}`)
		if answer.Code != http.StatusBadRequest {
			return fmt.Sprint(answer.Code)
		}
		told := strings.ReplaceAll(answer.Body.String(), metric, "METRIC")
		return strings.Replace(told, `: did you mean \"container.cpu\"?`, ";", 1) // which is alike depends on what was asked
	}
	id := wire.ID("metric", "container", secret.Name)
	if got := message("shop", "container.none"); !strings.Contains(got, secret.Name) {
		t.Errorf("the shop is not told of its own: %s", got)
	}
	none := message("bank", "container.none")
	if strings.Contains(none, "secret") || !strings.Contains(none, "vm.vcpu") {
		t.Errorf("the bank is told: %s", none)
	}
	for _, metric := range []string{"container." + secret.Name, id} {
		if got := message("bank", metric); got != none {
			t.Errorf("%s: %s, and of one that is not there: %s", metric, got, none)
		}
		if got := message("shop", metric); got != "200" {
			t.Errorf("%s: %s", metric, got)
		}
	}
}
