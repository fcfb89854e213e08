package dashboard

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(method, path string, header http.Header) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, http.NoBody)
	r.Header = header
	Handler().ServeHTTP(w, r)
	return w
}

// The page is what people wait for: all that it loads has at most 60 kB, packed.
func TestThePageIsSmall(t *testing.T) {
	const budget = 60_000
	sum := 0
	for _, name := range []string{"", "app.js", "app.css"} {
		w := get(http.MethodGet, Prefix+name, http.Header{"Accept-Encoding": {"gzip, br"}})
		if w.Code != http.StatusOK || w.Header().Get("Content-Encoding") != "gzip" {
			t.Fatalf("%s: status %d, %v", name, w.Code, w.Header())
		}
		sum += w.Body.Len()
	}
	t.Logf("%d bytes", sum)
	if sum > budget {
		t.Errorf("it loads %d bytes, and may %d", sum, budget)
	}
}

// Nothing is inline, and nothing is of another host: the policy refuses both.
func TestThePageHasNothingInlineAndNothingForeign(t *testing.T) {
	w := get(http.MethodGet, Prefix, http.Header{})
	page := w.Body.String()
	for _, wrong := range []string{`<script>`, `<style`, `style="`, `onclick`, `onload`, `http:`, `https:`} {
		if strings.Contains(page, wrong) {
			t.Errorf("the page has %s", wrong)
		}
	}
	if !regexp.MustCompile(`default-src 'none'.*frame-ancestors 'none'`).MatchString(w.Header().Get("Content-Security-Policy")) ||
		strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") || strings.Contains(policy, "*") {
		t.Errorf("the policy is %q", w.Header().Get("Content-Security-Policy"))
	}
	for _, wrong := range []string{"innerHTML", "document.write", "new Function", "eval("} {
		text := string(files()["app.js"].plain)
		// Preact has innerHTML for a property that the page never gives.
		if n := strings.Count(text, wrong); n > map[string]int{"innerHTML": 4}[wrong] {
			t.Errorf("the script has %s %d times", wrong, n)
		}
	}
	if strings.Contains(string(files()["app.js"].plain), `dangerouslySetInnerHTML:`) {
		t.Error("the page sets what a tenant wrote as HTML")
	}
}

func TestTheLicencesAreShown(t *testing.T) {
	text := get(http.MethodGet, Prefix+"licenses.txt", http.Header{}).Body.String()
	for _, name := range []string{"preact", "@preact/signals", "uplot"} {
		if !strings.Contains(text, "==== "+name+" ") {
			t.Errorf("there is none of %s", name)
		}
	}
}

func TestFilesAreServedAsTheyAreAskedFor(t *testing.T) {
	first := get(http.MethodGet, Prefix+"app.css", http.Header{})
	if !bytes.Equal(first.Body.Bytes(), files()["app.css"].plain) || first.Header().Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("%v", first.Header())
	}
	for _, c := range []struct {
		method, name string
		header       http.Header
		want         int
	}{
		{http.MethodGet, "app.css", http.Header{"If-None-Match": {first.Header().Get("ETag")}}, http.StatusNotModified},
		{http.MethodGet, "app.css", http.Header{"If-None-Match": {`"other"`}}, http.StatusOK},
		{http.MethodHead, "", http.Header{}, http.StatusOK},
		{http.MethodGet, "nosuch.js", http.Header{}, http.StatusNotFound},
		{http.MethodGet, "../dashboard.go", http.Header{}, http.StatusNotFound},
		{http.MethodPost, "", http.Header{}, http.StatusMethodNotAllowed},
	} {
		if w := get(c.method, Prefix+c.name, c.header); w.Code != c.want || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s: status %d, want %d", c.method, c.name, w.Code, c.want)
		}
	}
}
