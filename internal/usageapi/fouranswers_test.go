package usageapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// The four answers without a figure.
const (
	zero       = "zero"
	unknown    = "unknown"
	notVisible = "not visible"
	noSuchName = "no such name"
)

// answersThatAre are all of them: a face without one of them fails its test.
var answersThatAre = []string{zero, unknown, notVisible, noSuchName}

// asked is a request of a face, and of whom it comes.
type asked struct{ token, method, url, body string }

// Days of which all is known and on which nothing was used, and of which nothing is known.
const (
	idle   = `"starting_on":"2026-11-10T00:00:00Z","ending_before":"2026-11-11T00:00:00Z"`
	before = `"starting_on":"2026-01-10T00:00:00Z","ending_before":"2026-01-12T00:00:00Z"`
)

// between is a day, as the URL has it.
func between(day string) string {
	return fmt.Sprintf("from=2026-%sT00:00:00Z&to=2026-%sT23:00:00Z", day, day)
}

// faces are what is asked to get each answer, and how many nulls the unknown one has.
func faces() map[string]map[string]asked {
	hourly := func(token, query string) asked {
		body, err := json.Marshal(map[string]string{"query": query})
		if err != nil {
			panic(err)
		}
		return asked{token, "POST", "/api/web/namespaces/shop/hourly_usage_details", string(body)}
	}
	get := func(token, url string) asked { return asked{token, "GET", url, ""} }
	charts := "/api/v1/billing/costs/shop/deployments/"
	batched := func(token, rest string) asked {
		return asked{token, "POST", "/v1/usage", `{"window_size":"day",` + rest + `}`}
	}
	report := func(token, window, filters string) asked {
		window = strings.NewReplacer("starting_on", "startingOn", "ending_before", "endingBefore").Replace(window)
		return asked{token, "POST", "/v1alpha1/report", `{` + window + `,"groupBy":["deployment"],"filters":{` + filters + `}}`}
	}
	series := func(a asked) asked {
		a.url = "/v1alpha1/series"
		return a
	}
	return map[string]map[string]asked{
		"hourly details": {
			zero:       hourly("shop", "deployment=web, from=2026-11-10T00:00:00Z, to=2026-11-11T00:00:00Z"),
			unknown:    hourly("shop", "from=2026-01-10T00:00:00Z, to=2026-01-11T00:00:00Z"),
			notVisible: hourly("bank", ""), noSuchName: hourly("shop", "deployment=nosuch"),
		},
		"hourly details, by container": {
			zero:       hourly("shop", "container=app, from=2026-11-10T00:00:00Z, to=2026-11-11T00:00:00Z"),
			unknown:    hourly("shop", "container in (app, proxy), from=2026-01-10T00:00:00Z, to=2026-01-11T00:00:00Z"),
			notVisible: hourly("bank", "container=app"), noSuchName: hourly("shop", "container=nosuch"),
		},
		"charts": {
			zero: get("shop", charts+"web/charts?"+between("11-10")), unknown: get("shop", charts+"web/charts?"+between("01-10")),
			notVisible: get("bank", charts+"web/charts"), noSuchName: get("shop", charts+"nosuch/charts"),
		},
		"usage records": {
			zero: get("shop", "/v1/usage?"+between("11-10")), unknown: get("shop", "/v1/usage?"+between("01-10")),
			notVisible: get("nobody", "/v1/usage"), noSuchName: get("shop", "/v1/usage?resource_type=vmm"),
		},
		"usage record": {
			zero: get("shop", "/v1/usage/uid-vm-2?"+between("11-10")), unknown: get("shop", "/v1/usage/uid-vm-2?"+between("01-10")),
			notVisible: get("nobody", "/v1/usage/uid-vm-2"), noSuchName: get("shop", "/v1/usage/uid-nosuch"),
		},
		"batched usage": {
			zero: batched("shop", idle), unknown: batched("shop", before),
			notVisible: batched("nobody", idle), noSuchName: batched("shop", idle+`,"billable_metrics":[{"id":"vm.vcpuu"}]`),
		},
		"batched usage, by deployment": {
			zero:       batched("shop", idle+`,"billable_metrics":[{"id":"vm.vcpu","group_by":{"key":"deployment"}}]`),
			unknown:    batched("shop", before+`,"billable_metrics":[{"id":"vm.vcpu","group_by":{"key":"deployment"}}]`),
			notVisible: batched("shop", idle+`,"customer_ids":["`+bankUID+`"]`),
			noSuchName: batched("shop", idle+`,"billable_metrics":[{"id":"vm.vcpu","group_by":{"key":"deployment","values":["nosuch"]}}]`),
		},
		"report": {
			zero: report("shop", idle, ""), unknown: report("shop", before, ""),
			notVisible: report("nobody", idle, ""), noSuchName: report("shop", idle, `"resourceTypes":["vmm"]`),
		},
		"series": {
			zero: series(report("shop", idle, "")), unknown: series(report("shop", before, "")),
			notVisible: series(report("nobody", idle, "")), noSuchName: series(report("shop", idle, `"resourceTypes":["vmm"]`)),
		},
		"resources": {
			zero: get("shop", "/v1alpha1/resources?"+between("11-10")), unknown: get("shop", "/v1alpha1/resources?"+between("01-10")),
			notVisible: get("shop", "/v1alpha1/resources?project_id=bank"), noSuchName: get("shop", "/v1alpha1/resources?name=nosuch"),
		},
		"records": {
			zero: get("shop", "/v1alpha1/records?"+between("11-10")), unknown: get("shop", "/v1alpha1/records?"+between("01-10")),
			notVisible: get("nobody", "/v1alpha1/records"), noSuchName: get("shop", "/v1alpha1/records?deployment=nosuch"),
		},
	}
}

// withoutRows are the faces whose answers have room for resources, records and lines alone: the
// header, and the windows of a series, say what is unknown.
var withoutRows = map[string]bool{"resources": true, "records": true, "series": true}

func TestZeroUnknownNotVisibleAndNoSuchNameAreFourAnswers(t *testing.T) {
	f := newFixture()
	f.cluster.allowed["bank"] = []string{"bank"}
	h := f.handler()
	for face, cells := range faces() {
		for _, answer := range answersThatAre {
			t.Run(face+"/"+answer, func(t *testing.T) {
				request, filled := cells[answer]
				if !filled {
					t.Fatal("the cell is empty")
				}
				w := ask(t, h, request.token, request.method, strings.ReplaceAll(request.url, " ", "%20"), request.body)
				if got := whichAnswer(w, withoutRows[face]); got != answer {
					t.Errorf("%+v: it is %s: want %s:\n%d %v\n%s", request, got, answer, w.Code, w.Header(), w.Body)
				}
			})
		}
	}
}

// whichAnswer is which of the answers one is, as a client tells them apart.
func whichAnswer(w *httptest.ResponseRecorder, byHeader bool) string {
	text := w.Body.String()
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
	}
	switch w.Code {
	case http.StatusForbidden:
		if has("cannot list resource", "may not see") {
			return notVisible
		}
	case http.StatusBadRequest, http.StatusNotFound:
		if has("there are ", "there is ") && has(wire.NoSuchName, "deployment.not_found") {
			return noSuchName
		}
	case http.StatusOK:
		figure := has(`"exact":"`) && !has(`"exact":""`)
		null := has(`"quantity":null`, `"value":null`) || has(`"group":{`) && !has(`"quantity"`)
		return withoutFigures(w.Header().Get(wire.CoverageHeader), figure, null, byHeader)
	}
	return noneOfThem
}

const noneOfThem = "none of them"

// withoutFigures is which of the answers one without an error is.
func withoutFigures(coverage string, figure, null, byHeader bool) string {
	switch {
	case coverage == "0" && !figure && (null || byHeader):
		return unknown
	case coverage == "100" && !figure && !null:
		return zero
	}
	return noneOfThem
}

// One known day more does not change what is said of a day before: there is a row of it.
func TestThePublicPagesSampleBody(t *testing.T) {
	h := newFixture().handler()
	sample := `{"window_size": "day", "starting_on": "2021-01-01T00:00:00Z", "ending_before": "2021-01-03T00:00:00Z"}`
	got := decode[batchedAnswer](t, ask(t, h, "admin", "POST", "/v1/usage", sample))
	if len(got.Data) != 2 || got.Data[0].Value != nil || got.Data[0].Start != "2021-01-01T00:00:00Z" || got.Data[1].Start != "2021-01-02T00:00:00Z" {
		t.Errorf("%+v: want a row for each day, without a value", got.Data)
	}
	if got = decode[batchedAnswer](t, ask(t, h, "admin", "POST", "/v1/usage?unknown=omit", sample)); len(got.Data) != 0 {
		t.Errorf("%+v: want nothing, as it was asked for", got.Data)
	}
	one := decode[batchedAnswer](t, ask(t, h, "shop", "POST", "/v1/usage", sample[:len(sample)-1]+`,"customer_ids":["`+shopUID+`"],"billable_metrics":[{"id":"vm.vcpu"}]}`))
	if len(one.Data) != 2 || one.Data[0].Customer != "shop" || one.Data[0].Metric != "vm vcpu (unknown)" {
		t.Errorf("%+v: want that they are of what was asked for", one.Data)
	}
}

func TestUnknownCanBeOmitted(t *testing.T) {
	h := newFixture().handler()
	for face, cells := range faces() {
		request := cells[unknown]
		at, err := url.Parse(strings.ReplaceAll(request.url, " ", "%20"))
		if err != nil {
			t.Fatal(err)
		}
		query := at.Query()
		query.Set("unknown", "omit")
		at.RawQuery = query.Encode()
		w := ask(t, h, request.token, request.method, at.String(), request.body)
		if own := strings.HasPrefix(at.Path, "/v1alpha1/"); own {
			if w.Code != http.StatusBadRequest {
				t.Errorf("%s: status %d: it is for the public shapes", face, w.Code)
			}
			continue
		}
		if w.Code != http.StatusOK || (strings.Contains(w.Body.String(), `"quantity":null`) || strings.Contains(w.Body.String(), `"value":null`)) || w.Header().Get(wire.CoverageHeader) != "0" {
			t.Errorf("%s: %d, %s", face, w.Code, w.Body)
		}
		query.Set("unknown", "zero")
		at.RawQuery = query.Encode()
		if w := ask(t, h, request.token, request.method, at.String(), request.body); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "none of null, omit") {
			t.Errorf("%s: %d, %s", face, w.Code, w.Body)
		}
	}
}

func TestParametersThatThereAreNotAreRefused(t *testing.T) {
	h := newFixture().handler()
	for request, says := range map[string]string{
		"GET /v1/usage?resource_typ=vm":      `there is no parameter \"resource_typ\": did you mean \"resource_type\"? there are project_id`,
		"GET /v1/usage?sort=up":              `there is no parameter \"sort\"; there are project_id, resource_type, region`,
		"GET /v1/usage/uid-vm-2?limit=1":     `there is no parameter \"limit\"`,
		"POST /v1alpha1/report?x=1":          `there is no parameter \"x\"; there are top`,
		"GET /v1/usage?region=us-1":          `region: nothing was ever recorded under a region \"us-1\": did you mean \"eu-1\"?`,
		"GET /v1/usage?deployment=wep":       `did you mean \"web\"?`,
		"GET /v1/usage?resource_type=nks_vm": `resource_type: there is no resource type \"nks_vm\"`,
		"GET /v1/usage?project_id=shop&to=2026-11-21T12:00:00Z&form=2026-11-01T00:00:00Z": `did you mean \"from\"?`,
	} {
		method, url, _ := strings.Cut(request, " ")
		w := ask(t, h, "shop", method, url, "{}")
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: status %d: %swant 400 and %s", request, w.Code, w.Body, says)
		}
	}
	if w := ask(t, h, "admin", "GET", "/v1/usage?project_id=shpo", ""); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), `did you mean \"shop\"?`) {
		t.Errorf("a namespace: status %d: %s", w.Code, w.Body)
	}
	// What there is, is what the caller may see.
	if w := ask(t, h, "shop", "GET", "/v1/usage?deployment=x", ""); strings.Contains(w.Body.String(), "bank") {
		t.Errorf("it tells of another tenant: %s", w.Body)
	}
	for path, allow := range map[string]string{"/v1/usage": "GET, POST", "/v1/usage/x": "GET", "/v1alpha1/report": "POST", "/openapi.json": "GET"} {
		w := ask(t, h, "shop", "PATCH", path, "")
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != allow {
			t.Errorf("PATCH %s: status %d, Allow %q: want 405 and %q", path, w.Code, w.Header().Get("Allow"), allow)
		}
	}
}

// Each parameter that is described is one that is known, and the other way round.
func TestParametersAreThoseThatAreDescribed(t *testing.T) {
	for path, item := range description()["paths"].(map[string]any) {
		for method, operation := range item.(map[string]any) {
			list, _ := operation.(map[string]any)["parameters"].([]any)
			query := url.Values{}
			for _, p := range list {
				if p := p.(map[string]any); p["in"] == "query" {
					query.Set(p["name"].(string), "omit")
				}
			}
			query.Set("nosuch", "x")
			target := strings.NewReplacer("{namespace}", "shop", "{organization_id}", "shop", "{deployment_id}", "web", "{resource_id}", "uid-vm-2").Replace(path)
			w := ask(t, newFixture().handler(), "shop", strings.ToUpper(method), target+"?"+query.Encode(), "{}")
			_, known, _ := strings.Cut(w.Body.String(), "there are ")
			query.Del("nosuch")
			for name := range query {
				if !strings.Contains(known, name) && name != "unknown" {
					t.Errorf("%s %s: %s is described, and not known: %s", method, path, name, w.Body)
				}
			}
		}
	}
}
