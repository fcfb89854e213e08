package usageapi_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// answered makes a request that may be anything, and wants it answered as
// described: with what was asked for, or with what is wrong with it.
func answered(t *testing.T, h http.Handler, method, target, body string) {
	t.Helper()
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	r.URL = &url.URL{Path: target}
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut(target, "?")
	r.Header.Set("Authorization", "Bearer both")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	switch w.Code {
	case http.StatusOK, http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge:
		described(t, method, r.URL.Path, w)
	default:
		t.Errorf("%s %s: status %d: %s", method, target, w.Code, w.Body)
	}
}

// fuzzed is a handler that asks nobody to wait.
func fuzzed() http.Handler {
	f := newFixture()
	f.rate = 1e12
	return f.handler()
}

func FuzzBodies(f *testing.F) {
	for _, body := range []string{
		`{"namespace":"shop","query":"web"}`, `{"query":"from=2026-11-20T00:00:00Z, to=2026-11-21T00:00:00Z"}`, "", "{}", "[]", "null", `{"query":1}`,
		`{"window_size":"day","starting_on":"2026-11-01T00:00:00Z","ending_before":"2026-11-22T00:00:00Z"}`,
		`{"window_size":"none","starting_on":"2026-11-01T00:00:00Z","ending_before":"2026-11-22T00:00:00Z","customer_ids":["` + shopUID + `"],"billable_metrics":[{"id":"vm.vcpu","group_by":{"key":"deployment","values":["web"]}}]}`,
	} {
		f.Add(body)
	}
	h := fuzzed()
	f.Fuzz(func(t *testing.T, body string) {
		answered(t, h, "POST", "/api/web/namespaces/shop/hourly_usage_details", body)
		answered(t, h, "POST", "/v1/usage", body)
	})
}

func FuzzURLs(f *testing.F) {
	f.Add("shop", "web", "bucketing_strategy=daily&from=2026-11-01T00:00:00Z")
	f.Add("-", "-", "limit=1&resource_type=vm&project_id=shop&to=2026-11-21T00:00:00%2B01:00")
	h := fuzzed()
	f.Fuzz(func(t *testing.T, organization, deployment, query string) {
		if strings.ContainsAny(organization+deployment, "/?%") || organization == "" || deployment == "" || strings.Trim(organization, ".") == "" || strings.Trim(deployment, ".") == "" {
			return
		}
		answered(t, h, "GET", "/api/v1/billing/costs/"+organization+"/deployments/"+deployment+"/charts?"+query, "")
		answered(t, h, "GET", "/v1/usage?"+query, "")
		answered(t, h, "GET", "/v1/usage/"+deployment+"?"+query, "")
	})
}

func FuzzCursors(f *testing.F) {
	for _, text := range []string{`{"q":0,"a":""}`, `{"q":0,"a":"eyJxIjoieCIsInMiOjEsImciOltdfQ"}`, `{"Namespace":"shop","Type":"vm","Name":"vm-1","UID":"x"}`, `{"q":"0","s":1,"g":["a"]}`} {
		f.Add([]byte(text))
	}
	h := fuzzed()
	f.Fuzz(func(t *testing.T, raw []byte) {
		cursor := base64.RawURLEncoding.EncodeToString(raw)
		answered(t, h, "GET", "/v1/usage?cursor="+cursor, "")
		answered(t, h, "GET", "/v1alpha1/records?cursor="+cursor, "")
		answered(t, h, "POST", "/v1/usage?next_page="+cursor, `{"window_size":"hour","starting_on":"2026-11-19T00:00:00Z","ending_before":"2026-11-22T00:00:00Z"}`)
		within := base64.RawURLEncoding.EncodeToString([]byte(`{"q":0,"a":"` + cursor + `"}`))
		answered(t, h, "POST", "/v1/usage?next_page="+within, `{"window_size":"hour","starting_on":"2026-11-19T00:00:00Z","ending_before":"2026-11-22T00:00:00Z"}`)
	})
}
