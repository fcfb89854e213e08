package usageapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	testclock "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// The made-up cluster: two tenants, and one whose namespace is gone, in November 2026.

func at(text string) int64 {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t.Unix()
}

var (
	sealedAt    = at("2026-11-21T12:00:00Z")
	committedAt = at("2026-11-21T12:30:00Z")
)

const (
	shopUID = "11111111-1111-4111-8111-111111111111"
	bankUID = "22222222-2222-4222-8222-222222222222"
	goneUID = "33333333-3333-4333-8333-333333333333"
)

var (
	vcpu   = usage.Dimension{Name: "vcpu", Unit: usage.Core}
	memory = usage.Dimension{Name: "memory", Unit: usage.Byte}
	cpu    = usage.Dimension{Name: "cpu", Unit: usage.Core}
)

func subject(resourceType, namespace, uid, deployment, name string) *usage.Subject {
	object := usage.Object{APIVersion: "v1", Kind: "Thing", Name: name, UID: "uid-" + name}
	return &usage.Subject{
		ResourceType: resourceType, Resource: object, Instance: object, Region: "eu-1",
		Account: usage.Account{Namespace: namespace, NamespaceUID: uid, Deployment: deployment},
	}
}

func held(meter string, s *usage.Subject, d usage.Dimension, level int64, start, end string) usage.Change {
	c := usage.Change{Segment: usage.Segment{
		Meter: meter, Subject: s, Dimension: d, Level: level,
		Start: usage.Boundary{At: at(start), Evidence: usage.Observed},
	}}
	if end != "" {
		c.End = usage.Boundary{At: at(end), Evidence: usage.Observed}
	}
	return c
}

// metersNow are a meter of what there is, and one of what there is none of.
func metersNow(context.Context) ([]v1alpha1.UsageMeter, error) {
	meters := []v1alpha1.UsageMeter{{ObjectMeta: metav1.ObjectMeta{Name: "volume"}}, {ObjectMeta: metav1.ObjectMeta{Name: "vm"}}}
	meters[1].Spec.Target = v1alpha1.TargetReference{Group: "kubevirt.io", Kind: "VirtualMachineInstance"}
	meters[1].Spec.Dimensions = []v1alpha1.Dimension{{Name: "vcpu", Unit: "core", Quantity: "self.spec.cores"}}
	return meters, nil
}

func ledger() *timeline.Timeline {
	vm := subject("vm", "shop", shopUID, "web", "vm-1")
	vm.Bundle = "m1.large"
	plain := subject("vm", "shop", shopUID, "", "vm-2")
	app := subject("container", "shop", shopUID, "web", "pod-1")
	app.Container = "app"
	proxy := subject("container", "shop", shopUID, "web", "pod-1")
	proxy.Container = "proxy"
	bank := subject("vm", "bank", bankUID, "web", "vm-3")
	gone := subject("vm", "shop", goneUID, "web", "vm-0")
	both := subject("container", "shop", shopUID, "web", "vm-1")
	late := subject("vm", "shop", shopUID, "web", "vm-4")
	t := timeline.New()
	c := timeline.Commit{
		Time: committedAt,
		Meters: []timeline.Meter{
			{Name: "vm", ResourceType: "vm", Since: at("2026-11-01T00:00:00Z"), Dimensions: []usage.Dimension{vcpu, memory}},
			{Name: "container", ResourceType: "container", Since: at("2026-11-01T00:00:00Z"), Dimensions: []usage.Dimension{cpu}},
		},
		Changes: []usage.Change{
			held("vm", vm, vcpu, 4000, "2026-11-20T10:00:00Z", "2026-11-20T11:30:00Z"),
			held("vm", vm, vcpu, 8000, "2026-11-20T11:30:00Z", "2026-11-20T12:00:00Z"),
			held("vm", vm, memory, 8<<30, "2026-11-20T10:00:00Z", "2026-11-20T12:00:00Z"),
			held("vm", plain, vcpu, 1000, "2026-11-21T11:00:00Z", ""),
			held("container", app, cpu, 500, "2026-11-20T10:30:00Z", "2026-11-20T11:15:00Z"),
			held("container", proxy, cpu, 100, "2026-11-20T10:30:00Z", "2026-11-20T11:15:00Z"),
			held("container", both, cpu, 100, "2026-11-20T10:30:00Z", "2026-11-20T10:45:00Z"),
			held("vm", bank, vcpu, 2000, "2026-11-20T00:00:00Z", ""),
			held("vm", gone, vcpu, 2000, "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"),
			held("vm", late, vcpu, 1000, "2026-11-19T10:00:00Z", "2026-11-19T10:30:00Z"),
		},
	}
	for hour := at("2026-11-01T00:00:00Z"); hour < sealedAt; hour += 3600 {
		c.Sealed = append(c.Sealed, usage.Interval(hour, 3600))
	}
	less := held("vm", late, vcpu, 1000, "2026-11-19T10:20:00Z", "2026-11-19T10:30:00Z")
	less.Kind, less.Corrects = usage.Less, at("2026-11-19T10:00:00Z")
	c.Changes = append(c.Changes, less)
	t.Take(c)
	t.Publish()
	return t
}

// answers is a ledger that may not be loaded yet.
type answers struct {
	*timeline.Timeline
	loading bool
}

func (a *answers) Loaded() bool { return !a.loading }

// cluster says who may see what: a token is a user's name.
type cluster struct {
	allowed   map[string][]string                         // by user: namespaces; "" is all
	resources map[string][]string                         // by user: which of the operator's resources; all, of one who has no entry
	decide    func(user, resource, namespace string) bool // what may be listed; nil: the two above say so
	broken    error
}

func (c *cluster) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case token == "unasked":
		return nil, false, utilerrors.NewAggregate([]error{&url.Error{Op: "Post", URL: "https://10.0.0.1", Err: errors.New("connection refused")}})
	case token == "expired":
		return nil, false, errors.New("token has expired")
	case c.allowed[token] == nil:
		return nil, false, nil
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: token}}, true, nil
}

func (c *cluster) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if c.broken != nil {
		return authorizer.DecisionNoOpinion, "", c.broken
	}
	if c.decide != nil {
		return map[bool]authorizer.Decision{true: authorizer.DecisionAllow, false: authorizer.DecisionNoOpinion}[c.decide(a.GetUser().GetName(), a.GetResource(), a.GetNamespace())], "", nil
	}
	of, some := c.resources[a.GetUser().GetName()]
	if a.GetVerb() == "list" && a.GetAPIGroup() == "metering.usage-operator.dev" && (!some || slices.Contains(of, a.GetResource())) {
		for _, namespace := range c.allowed[a.GetUser().GetName()] {
			if namespace == "" || namespace == a.GetNamespace() {
				return authorizer.DecisionAllow, "", nil
			}
		}
	}
	return authorizer.DecisionNoOpinion, "", nil
}

type fixture struct {
	ledger  answers
	cluster cluster
	reports *usageapi.Kept
	more    []timeline.NamespaceRef // beside the usual ones
	clock   *testclock.FakePassiveClock
	rate    float64
	timeout time.Duration
}

func newFixture() *fixture {
	return &fixture{
		ledger:  answers{Timeline: ledger()},
		cluster: cluster{allowed: map[string][]string{"admin": {""}, "shop": {"shop"}, "bank": {"bank"}, "both": {"shop", "bank"}, "nobody": {}}},
		reports: kept(),
		clock:   testclock.NewFakePassiveClock(time.Unix(committedAt+5, 0)), rate: 1000, timeout: time.Minute,
	}
}

func (f *fixture) handler() http.Handler {
	return usageapi.New(usageapi.Options{
		Ledger: &f.ledger, Authenticator: &f.cluster, Authorizer: &f.cluster, Clock: f.clock, Log: logr.Discard(), OperatorNamespace: "usage-system", Meters: metersNow,
		Reports: f.reportsOf, RequestsPerSecond: f.rate, Timeout: f.timeout, Observe: func(string, int, time.Duration) {},
		Namespaces: func(_ context.Context, selector labels.Selector) ([]timeline.NamespaceRef, error) {
			refs := []timeline.NamespaceRef{{Name: "bank", UID: bankUID}, {Name: "empty", UID: "44"}, {Name: "shop", UID: shopUID}}
			refs = append(refs, f.more...)
			return slices.DeleteFunc(refs, func(ref timeline.NamespaceRef) bool { return !selector.Matches(labels.Set{"name": ref.Name}) }), nil
		},
	}).Handler()
}

// ask makes a request, and checks the answer against the description.
func ask(t *testing.T, h http.Handler, token, method, url, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, url, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	described(t, method, r.URL.Path, w)
	return w
}

func decode[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	var into T
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &into); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return into
}

// shape is one of the public APIs, with a request of everything in November.
type shape struct {
	name string
	// ask is the request for a namespace, or for all ("-").
	ask func(namespace string) (method, url, body string)
	// namespaces are those that the answer speaks of.
	namespaces func(w *httptest.ResponseRecorder) string
	hasAll     bool // it can be asked about all namespaces
}

var uids = map[string]string{"shop": shopUID, "bank": bankUID}

func shapes() []shape {
	seen := func(text string) string {
		var found []string
		for _, namespace := range []string{"shop", "bank"} {
			if strings.Contains(text, namespace) {
				found = append(found, namespace)
			}
		}
		return strings.Join(found, ", ")
	}
	return []shape{
		{
			name: "hourly details",
			ask: func(namespace string) (method, url, body string) {
				return "POST", "/api/web/namespaces/" + namespace + "/hourly_usage_details", `{"query":"from=2026-11-01T00:00:00Z,to=2026-11-21T12:30:00Z"}`
			},
		},
		{
			name: "charts", hasAll: true,
			ask: func(namespace string) (method, url, body string) {
				return "GET", "/api/v1/billing/costs/" + namespace + "/deployments/web/charts", ""
			},
		},
		{
			name: "usage records", hasAll: true,
			ask: func(namespace string) (method, url, body string) {
				if namespace == "-" {
					return "GET", "/v1/usage", ""
				}
				return "GET", "/v1/usage?project_id=" + namespace, ""
			},
			namespaces: func(w *httptest.ResponseRecorder) string { return seen(w.Body.String()) },
		},
		{
			name: "batched usage", hasAll: true,
			ask: func(namespace string) (method, url, body string) {
				customers := ""
				if namespace != "-" {
					uid := uids[namespace]
					if uid == "" {
						uid = "no-such-namespace"
					}
					customers = `,"customer_ids":["` + uid + `"]`
				}
				return "POST", "/v1/usage", `{"window_size":"day","starting_on":"2026-11-01T00:00:00Z","ending_before":"2026-12-01T00:00:00Z"` + customers + `}`
			},
			namespaces: func(w *httptest.ResponseRecorder) string { return seen(w.Body.String()) },
		},
	}
}

func TestWhoSeesWhat(t *testing.T) {
	cases := []struct {
		name, token, namespace string
		status                 int
		sees                   string // of an answer about all: shop, bank
	}{
		{"allowed", "shop", "shop", 200, "shop"},
		{"forbidden", "shop", "bank", 403, ""},
		{"forbidden where there is no such namespace, as if there were", "shop", "none", 403, ""},
		{"mixed: what may not be seen is left out", "shop", "-", 200, "shop"},
		{"mixed: both", "both", "-", 200, "shop, bank"},
		{"nothing", "nobody", "-", 403, ""},
		{"all", "admin", "-", 200, "shop, bank"},
		{"no such namespace", "admin", "none", 404, ""},
		{"anonymous", "", "shop", 401, ""},
		{"expired", "expired", "shop", 401, ""},
		{"anonymous, of all", "", "-", 401, ""},
	}
	h := newFixture().handler()
	for _, s := range shapes() {
		for _, c := range cases {
			if c.namespace == "-" && !s.hasAll {
				continue
			}
			t.Run(s.name+"/"+c.name, func(t *testing.T) {
				method, url, body := s.ask(c.namespace)
				w := ask(t, h, c.token, method, url, body)
				if w.Code != c.status {
					t.Fatalf("status %d: want %d: %s", w.Code, c.status, w.Body)
				}
				if c.namespace == "-" && c.status == http.StatusOK && s.namespaces != nil {
					if sees := s.namespaces(w); sees != c.sees {
						t.Errorf("it sees %q, want %q: %s", sees, c.sees, w.Body)
					}
				}
			})
		}
	}
}

// A tenant does not see what was there before him under his namespace's name.
func TestATenantDoesNotSeeWhoHadTheNameBefore(t *testing.T) {
	h := newFixture().handler()
	for _, s := range shapes() {
		method, url, body := s.ask("shop")
		tenant, admin := ask(t, h, "shop", method, url, body).Body.String(), ask(t, h, "admin", method, url, body).Body.String()
		old := "2026-11-01T00:00:00Z"
		if s.name == "charts" {
			old = fmt.Sprint(at(old))
		}
		if strings.Contains(tenant, old) {
			t.Errorf("%s: the tenant sees the 1st of November, when the namespace was another's: %s", s.name, tenant)
		}
		if s.name != "batched usage" && !strings.Contains(admin, old) { // which asks by the UID
			t.Errorf("%s: the administrator does not see the 1st of November: %s", s.name, admin)
		}
	}
}

func TestRequestsThatMakeNoSenseAreRefused(t *testing.T) {
	hourly, charts, batched := "POST /api/web/namespaces/shop/hourly_usage_details", "GET /api/v1/billing/costs/shop/deployments/web/charts", "POST /v1/usage"
	window := `"starting_on":"2026-11-01T00:00:00Z","ending_before":"2026-11-02T00:00:00Z"`
	cases := []struct{ request, body, says string }{
		{hourly, `{"query":"from=2026-11-01T00:00:00"}`, "has no time zone: write 2026-11-01T00:00:00Z for UTC, or 2026-11-01T00:00:00+01:00"},
		{hourly, `{"query":"sort=up"}`, `sort\" is none of from, to, deployment`},
		{hourly, `{"query":"deployment="}`, "the end is where a value should be"},
		{hourly, `{"namespace":"bank","query":""}`, "they have to be the same"},
		{hourly, `{"query":"from=2026-11-02T00:00:00Z, to=2026-11-01T00:00:00Z"}`, "is not before"},
		{hourly, `{"query":"from=1926-11-02T00:00:00Z"}`, "at most 10000"},
		{hourly, `{`, "not the JSON object"},
		{hourly, `{} {}`, "more than one object"},
		{hourly, `{"order":1}`, "unknown field"},
		{charts + "?bucketing_strategy=weekly", "", "want hourly, daily or monthly"},
		{charts + "?from=yesterday", "", "costs.invalid_date_range"},
		{charts + "?from=2026-11-01", "", "has no time zone"},
		{charts + "?from=2026-11-01T00:00:00+01:00", "", "written %2B"},
		{charts + "?from=2026-12-01T00:00:00Z", "", "is not before"},
		{"GET /v1/usage?limit=0", "", "from 1 to 1000"},
		{"GET /v1/usage?limit=many", "", "from 1 to 1000"},
		{"GET /v1/usage?cursor=*", "", "cursor cannot be read"},
		{"GET /v1/usage?from=2026-11-01T00:00:00Z&to=2026-11-01T00:00:00Z", "", "is not after from"},
		{batched, `{` + window + `}`, "window_size"},
		{batched, `{"window_size":"week",` + window + `}`, "none of hour, day, none"},
		{batched, `{"window_size":"day","starting_on":"2026-11-01T00:00:00Z"}`, "ending_before: want a time"},
		{batched, `{"window_size":"day",` + window + `,"billable_metrics":[{"id":"vm.fans"}]}`, "container.cpu, vm.memory, vm.vcpu"},
		{batched, `{"window_size":"day",` + window + `,"billable_metrics":[{"id":"vm.vcpu","group_by":{"key":"shoe size"}}]}`, "want one of"},
		{batched, `{"window_size":"day",` + window + `,"billable_metrics":[{"id":"vm.vcpu","group_by":{"key":"namespace"}}]}`, "take another key"},
		{batched, `{"window_size":"day",` + window + `,"billable_metrics":[{"id":"vm.vcpu","group_by":{"key":"resource","values":["a"]}}]}`, "leave values out"},
		{batched + "?next_page=*", `{"window_size":"day",` + window + `}`, "next_page cannot be read"},
		{batched + "?next_page=eyJxIjowLCJhIjoieHgifQ", `{"window_size":"day",` + window + `}`, "cursor cannot be read"},
	}
	h := newFixture().handler()
	for _, c := range cases {
		method, url, _ := strings.Cut(c.request, " ")
		w := ask(t, h, "shop", method, url, c.body)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s %s: status %d: %swant 400 and %s", c.request, c.body, w.Code, w.Body, c.says)
		}
	}
	if w := ask(t, h, "shop", "POST", "/v1/usage", `{"window_size":"`+strings.Repeat("x", 2<<20)+`"}`); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of 2 MiB: status %d, want 413", w.Code)
	}
	if w := ask(t, h, "shop", "DELETE", "/v1/usage", ""); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, POST" {
		t.Errorf("DELETE: status %d, Allow %q: want 405 and what there is", w.Code, w.Header().Get("Allow"))
	}
	if w := ask(t, h, "shop", "GET", "/v2/usage", ""); w.Code != http.StatusNotFound {
		t.Errorf("another path: status %d, want 404", w.Code)
	}
}

func TestWhileTheLedgerIsLoaded(t *testing.T) {
	f := newFixture()
	f.ledger.loading = true
	for _, s := range shapes() {
		method, url, body := s.ask("shop")
		w := ask(t, f.handler(), "shop", method, url, body)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: status %d, Retry-After %q: want 503, and when to come back", s.name, w.Code, w.Header().Get("Retry-After"))
		}
		if w := ask(t, f.handler(), "", method, url, body); w.Code != http.StatusUnauthorized {
			t.Errorf("%s: anonymous: status %d, want 401", s.name, w.Code)
		}
	}
}

func TestEachUserHasARate(t *testing.T) {
	f := newFixture()
	f.rate = 2
	h := f.handler()
	for _, s := range shapes() {
		f.clock.SetTime(f.clock.Now().Add(time.Minute))
		method, url, body := s.ask("shop")
		for range 4 {
			if w := ask(t, h, "shop", method, url, body); w.Code != http.StatusOK {
				t.Fatalf("%s: status %d: %s", s.name, w.Code, w.Body)
			}
		}
		w := ask(t, h, "shop", method, url, body)
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" {
			t.Errorf("%s: status %d, Retry-After %q: want 429 and 1", s.name, w.Code, w.Header().Get("Retry-After"))
		}
		if w := ask(t, h, "both", method, url, body); w.Code != http.StatusOK {
			t.Errorf("%s: another user: status %d", s.name, w.Code)
		}
		f.clock.SetTime(f.clock.Now().Add(500 * time.Millisecond))
		if w := ask(t, h, "shop", method, url, body); w.Code != http.StatusOK {
			t.Errorf("%s: half a second later: status %d", s.name, w.Code)
		}
	}
}

func TestWhatGoesWrongInside(t *testing.T) {
	f := newFixture()
	f.cluster.broken = errors.New("connection refused")
	for _, s := range shapes() {
		method, url, body := s.ask("shop")
		for _, token := range []string{"shop", "unasked"} {
			w := ask(t, f.handler(), token, method, url, body)
			if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "refused") {
				t.Errorf("%s: %s: status %d: %swant 503, and nothing of the inside", s.name, token, w.Code, w.Body)
			}
		}
	}
	f = newFixture()
	f.ledger.Timeline = nil // a panic
	for _, s := range shapes() {
		method, url, body := s.ask("shop")
		if w := ask(t, f.handler(), "shop", method, url, body); w.Code != http.StatusInternalServerError {
			t.Errorf("%s: a panic: status %d, want 500", s.name, w.Code)
		}
	}
	f = newFixture()
	f.timeout = time.Nanosecond
	for _, s := range shapes() {
		method, url, body := s.ask("-")
		if !s.hasAll {
			method, url, body = s.ask("shop")
		}
		w := ask(t, f.handler(), "admin", method, url, body)
		if s.name != "usage records" && w.Code != http.StatusGatewayTimeout {
			t.Errorf("%s: too late: status %d, want 504: %s", s.name, w.Code, w.Body)
		}
	}
}

func TestTheWordsBeforeTheToken(t *testing.T) {
	h := newFixture().handler()
	for header, value := range map[string]string{
		"Authorization": "ApiKey shop", "authorization": "APIToken shop", wire.TokenHeader: "Bearer shop",
	} {
		r := httptest.NewRequest(http.MethodGet, "/v1/usage", http.NoBody)
		r.Header.Set(header, value)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Errorf("%s: %s: status %d", header, value, w.Code)
		}
	}
}

func TestTheDescriptionIsServed(t *testing.T) {
	server := httptest.NewServer(newFixture().handler())
	defer server.Close()
	answer, err := server.Client().Get(server.URL + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || !json.Valid(text) || answer.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s, %v: %s", answer.Status, err, text)
	}
}
