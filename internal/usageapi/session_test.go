package usageapi_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// browse makes a request as a browser does, with more headers in pairs.
func browse(h http.Handler, method, url, body, cookie string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "https://usage.test"+url, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if cookie != "" {
		r.AddCookie(&http.Cookie{Name: "__Host-usage-session", Value: cookie})
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// A login makes a cookie that no script reads and no other site sends; it counts as its token
// does, and logging out deletes it.
func TestALoginIsACookieOfTheToken(t *testing.T) {
	h := newFixture().handler()
	w := browse(h, http.MethodPost, "/ui/session", `{"token":" shop "}`, "")
	var who wire.Session
	if err := json.Unmarshal(w.Body.Bytes(), &who); w.Code != http.StatusOK || err != nil || who.User != "shop" {
		t.Fatal(w.Code, err, w.Body)
	}
	cookie := w.Result().Cookies()[0]
	if want := "__Host-usage-session=shop; Path=/; HttpOnly; Secure; SameSite=Strict"; cookie.Raw != want {
		t.Errorf("the cookie is %s, want %s", cookie.Raw, want)
	}
	w = browse(h, http.MethodGet, "/ui/session", "", cookie.Value)
	if err := json.Unmarshal(w.Body.Bytes(), &who); err != nil || who.User != "shop" || !who.LoggedIn {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w = browse(h, http.MethodDelete, "/ui/session", "", cookie.Value); w.Code != http.StatusOK || w.Result().Cookies()[0].MaxAge >= 0 {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestALoginIsRefused(t *testing.T) {
	h := newFixture().handler()
	for name, c := range map[string]struct {
		body    string
		headers []string
		want    int
	}{
		"a token that the cluster does not know": {`{"token":"stranger"}`, nil, http.StatusUnauthorized},
		"an expired one":                         {`{"token":"expired"}`, nil, http.StatusUnauthorized},
		"no token":                               {`{}`, nil, http.StatusBadRequest},
		"what is no token":                       {`{"token":"shop\r\nSet-Cookie: a=b"}`, nil, http.StatusBadRequest},
		"too long a token":                       {`{"token":"` + strings.Repeat("a", 3801) + `"}`, nil, http.StatusBadRequest},
		"a form":                                 {`{"token":"shop"}`, []string{"Content-Type", "text/plain"}, http.StatusBadRequest},
		"another site's request":                 {`{"token":"shop"}`, []string{"Origin", "https://evil.test"}, http.StatusForbidden},
		"another site's, by its browser":         {`{"token":"shop"}`, []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		"the API server does not answer":         {`{"token":"unasked"}`, nil, http.StatusServiceUnavailable},
	} {
		if w := browse(h, http.MethodPost, "/ui/session", c.body, "", c.headers...); w.Code != c.want || len(w.Result().Cookies()) > 0 {
			t.Errorf("%s: status %d, cookies %v: %s", name, w.Code, w.Result().Cookies(), w.Body)
		}
	}
}

// A cookie counts for the page's own requests only, and a token beside it counts more.
func TestACookieCountsForThePageOnly(t *testing.T) {
	h := newFixture().handler()
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
	} {
		if w := browse(h, http.MethodGet, "/v1alpha1/status", "", "shop", headers...); w.Code != http.StatusUnauthorized {
			t.Errorf("%v: status %d", headers, w.Code)
		}
	}
	if w := browse(h, http.MethodPost, "/v1alpha1/report", `{"period":{"unit":"month"}}`, "shop", "Origin", "https://evil.test"); w.Code != http.StatusUnauthorized {
		t.Errorf("another site's: status %d", w.Code)
	}
	if w := browse(h, http.MethodDelete, "/ui/session", "", "shop", "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden {
		t.Errorf("another site logs out: status %d", w.Code)
	}
	w := browse(h, http.MethodGet, "/ui/session", "", "shop", "Authorization", "Bearer bank", "Sec-Fetch-Site", "same-origin")
	if !strings.Contains(w.Body.String(), `"bank"`) {
		t.Errorf("a token beside a cookie: %d %s", w.Code, w.Body)
	}
	if w := browse(h, http.MethodGet, "/v1alpha1/status", "", "a b"); w.Code != http.StatusUnauthorized {
		t.Errorf("what is no token: status %d", w.Code)
	}
}

// Of every route, a tenant sees with a cookie what it sees with its token, and nothing of
// another tenant; without either it is refused.
func TestTheTenantMatrixOfCookiesAndTokens(t *testing.T) {
	h := newFixture().handler()
	const month = `{"startingOn":"2026-11-01T00:00:00Z","endingBefore":"2026-11-22T00:00:00Z","groupBy":["namespace","resource","resourceType"]%s}`
	for _, c := range []struct{ method, url, body string }{
		{http.MethodPost, "/v1alpha1/report", strings.ReplaceAll(month, "%s", "")},
		{http.MethodPost, "/v1alpha1/series", strings.ReplaceAll(month, "%s", `,"windowSize":"day"`)},
		{http.MethodGet, "/v1alpha1/resources", ""},
		{http.MethodGet, "/v1alpha1/records?from=2026-11-20T00:00:00Z&to=2026-11-21T00:00:00Z", ""},
		{http.MethodGet, "/v1alpha1/capacity", ""},
		{http.MethodGet, "/v1alpha1/status", ""},
		{http.MethodGet, "/v1/usage", ""},
		{http.MethodPost, "/v1/usage", `{"window_size":"none","starting_on":"2026-11-01T00:00:00Z","ending_before":"2026-11-22T00:00:00Z"}`},
		{http.MethodGet, "/ui/session", ""},
	} {
		for tenant, other := range map[string]string{"shop": "bank", "bank": "shop"} {
			byToken := browse(h, c.method, c.url, c.body, "", "Authorization", "Bearer "+tenant)
			byCookie := browse(h, c.method, c.url, c.body, tenant)
			if same := strings.ReplaceAll(byCookie.Body.String(), `"loggedIn":true`, `"loggedIn":false`); same != byToken.Body.String() || byCookie.Code != byToken.Code {
				t.Errorf("%s %s as %s: by cookie %d %s\nby token %d %s", c.method, c.url, tenant, byCookie.Code, byCookie.Body, byToken.Code, byToken.Body)
			}
			if strings.Contains(byCookie.Body.String(), other) {
				t.Errorf("%s %s: %s sees of %s: %s", c.method, c.url, tenant, other, byCookie.Body)
			}
			if want := c.url == "/v1alpha1/capacity"; want != (byCookie.Code == http.StatusForbidden) {
				t.Errorf("%s as %s: status %d", c.url, tenant, byCookie.Code)
			}
		}
		if w := browse(h, c.method, c.url, c.body, ""); w.Code != http.StatusUnauthorized {
			t.Errorf("%s %s of nobody: status %d", c.method, c.url, w.Code)
		}
	}
}
