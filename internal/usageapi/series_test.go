package usageapi_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// chartBody is a report by resource and day, with more fields.
const chartBody = `{"startingOn":"2026-10-31T00:00:00Z","endingBefore":"2026-11-22T00:00:00Z","windowSize":"day","groupBy":["namespace","resource","resourceType"]%s}`

func chartOf(t *testing.T, token, query, more string) *wire.Series {
	t.Helper()
	w := ask(t, newFixture().handler(), token, http.MethodPost, "/v1alpha1/series"+query, fmt.Sprintf(chartBody, more))
	var got wire.Series
	if err := json.Unmarshal(w.Body.Bytes(), &got); w.Code != http.StatusOK || err != nil {
		t.Fatal(w.Code, err, w.Body)
	}
	return &got
}

func whole(t *testing.T, text string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		t.Fatalf("%q is no number", text)
	}
	return n
}

// In each window the lines and the others of a metric are its total; a window of which
// nothing is known has null, and not zero.
func TestASeriesAddsUpInEachWindow(t *testing.T) {
	got := chartOf(t, "admin", "?top=1", "")
	if len(got.Windows) != 22 || len(got.Series) != 3 || len(got.Others) != 2 || len(got.Totals) != 3 {
		t.Fatalf("%d windows, %d lines, %d others, %d totals", len(got.Windows), len(got.Series), len(got.Others), len(got.Totals))
	}
	for i := range got.Totals {
		total := &got.Totals[i]
		for w := range got.Windows {
			sum := linesOf(t, got, total, w)
			if unknown := got.Windows[w].Unknown > 0; unknown != (total.Exact[w] == nil) {
				t.Fatalf("%s in window %d: unknown is %v, and it says %v", total.Dimension, w, unknown, total.Exact[w])
			}
			if total.Exact[w] != nil && sum.Cmp(whole(t, *total.Exact[w])) != 0 {
				t.Errorf("%s.%s in window %d: the lines add up to %s, the total is %s", total.ResourceType, total.Dimension, w, sum, *total.Exact[w])
			}
		}
	}
	if first := &got.Windows[0]; first.Unknown != 86400 || first.Observed != 0 {
		t.Errorf("the first window, before metering began, is %+v", first)
	}
}

// linesOf is what the lines of a total's metric, and their others, add up to in a window.
func linesOf(t *testing.T, s *wire.Series, total *wire.Line, w int) *big.Int {
	t.Helper()
	sum := new(big.Int)
	for _, list := range [][]wire.Line{s.Series, s.Others} {
		for j := range list {
			if l := &list[j]; l.ResourceType == total.ResourceType && l.Dimension == total.Dimension && l.Exact[w] != nil {
				sum.Add(sum, whole(t, *l.Exact[w]))
			}
		}
	}
	return sum
}

// The totals of series are those of the report.
func TestASeriesHasTheTotalsOfItsReport(t *testing.T) {
	got := chartOf(t, "admin", "", "")
	w := ask(t, newFixture().handler(), "admin", http.MethodPost, "/v1alpha1/report", fmt.Sprintf(chartBody, ""))
	var of wire.Report
	if err := json.Unmarshal(w.Body.Bytes(), &of); err != nil || len(of.Totals) != len(got.Totals) {
		t.Fatal(err, w.Body)
	}
	for i := range of.Totals {
		if a, b := of.Totals[i].Exact, got.Totals[i].Total.Exact; a != b {
			t.Errorf("%s: the report says %s, and the series %s", of.Totals[i].Dimension, a, b)
		}
	}
}

func TestASeriesIsOfWhatTheCallerSees(t *testing.T) {
	got := chartOf(t, "bank", "", "")
	for i := range got.Series {
		if got.Series[i].Group["namespace"] != "bank" {
			t.Errorf("bank sees %v", got.Series[i].Group)
		}
	}
	if got.Visible != "namespaces=1" || len(got.Series) == 0 {
		t.Errorf("of %s: %d lines", got.Visible, len(got.Series))
	}
}

func TestASeriesIsBounded(t *testing.T) {
	h := newFixture().handler()
	for query, body := range map[string]string{
		"?top=0": "", "?top=51": "", "?top=x": "", "?most=1": "", "": `,"startFrom":"x"`, "?top=2": `,"zeros":"Maybe"`,
	} {
		if w := ask(t, h, "admin", http.MethodPost, "/v1alpha1/series"+query, fmt.Sprintf(chartBody, body)); w.Code != http.StatusBadRequest {
			t.Errorf("%s with %s: status %d: %s", query, body, w.Code, w.Body)
		}
	}
	years := `{"startingOn":"2020-01-01T00:00:00Z","endingBefore":"2026-11-22T00:00:00Z","windowSize":"hour"}`
	if w := ask(t, h, "admin", http.MethodPost, "/v1alpha1/series", years); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "larger windows") {
		t.Errorf("the hours of years: status %d: %s", w.Code, w.Body)
	}
}

// Capacity is for those who see all namespaces; what is not known is null.
func TestCapacityIsForThoseWhoSeeAll(t *testing.T) {
	h := newFixture().handler()
	const url = "/v1alpha1/capacity?from=2026-11-20T00:00:00Z&to=2026-11-22T00:00:00Z&window_size=day"
	for _, token := range []string{"shop", "both", "nobody"} {
		if w := ask(t, h, token, http.MethodGet, url, ""); w.Code != http.StatusForbidden {
			t.Errorf("%s: status %d: %s", token, w.Code, w.Body)
		}
	}
	w := ask(t, h, "admin", http.MethodGet, url, "")
	var got wire.Capacity
	if err := json.Unmarshal(w.Body.Bytes(), &got); w.Code != http.StatusOK || err != nil {
		t.Fatal(w.Code, err, w.Body)
	}
	if d := &got.Dimensions[0]; d.Dimension != "cpu" || d.Total.ComparedSeconds != 0 || d.Total.UnknownSeconds == 0 || d.Total.Idle != nil {
		t.Errorf("nothing meters nodes, and it says %+v", d.Total)
	}
	for _, bad := range []string{"?window_size=year", "?time_zone=Mars", "?time_zone=Local", "?from=x", "?size=day", "?from=2020-01-01T00:00:00Z&window_size=hour"} {
		if w := ask(t, h, "admin", http.MethodGet, "/v1alpha1/capacity"+bad, ""); w.Code != http.StatusBadRequest {
			t.Errorf("%s: status %d: %s", bad, w.Code, w.Body)
		}
	}
}
