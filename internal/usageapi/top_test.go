package usageapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

const byResource = `{"startingOn":"2026-11-01T00:00:00Z","endingBefore":"2026-11-21T12:00:00Z","groupBy":["namespace","resource","resourceType"]%s}`

// What used most is told on one page, with what the others add up to: together they are
// the totals.
func TestTheTopOfAReport(t *testing.T) {
	h := newFixture().handler()
	w := ask(t, h, "admin", http.MethodPost, "/v1alpha1/report?top=1", fmt.Sprintf(byResource, ""))
	var got wire.Report
	if err := json.Unmarshal(w.Body.Bytes(), &got); w.Code != http.StatusOK || err != nil {
		t.Fatal(w.Code, err, w.Body)
	}
	text := ""
	for i := range got.Rows {
		row := &got.Rows[i]
		text += fmt.Sprintln(row.Group["resourceType"], row.Group["dimension"], row.Group["resource"], row.Exact)
	}
	for _, o := range got.Others {
		text += fmt.Sprintln(o.ResourceType, o.Dimension, o.Count, "others", o.Exact, o.Quantity, o.Unit)
	}
	want := `container cpu pod-1 1620000
vm memory vm-1 61847529062400
vm vcpu vm-3 259200000
container cpu 1 others 90000 0.025 core-hour
vm vcpu 4 others 213600000 59.333333 core-hour
`
	if text != want {
		t.Errorf("it says\n%swant\n%s", text, want)
	}
	if got.NextPage != "" || got.RowCount == nil || *got.RowCount != 8 || len(got.Totals) == 0 {
		t.Errorf("next %q, %v rows: want 8 in all, and totals", got.NextPage, got.RowCount)
	}
	for query, body := range map[string]string{
		"top=0": "", "top=x": "", "top=1001": "", "top=1": `,"windowSize":"day"`, "top=2": `,"startFrom":"x"`,
	} {
		if w := ask(t, h, "admin", http.MethodPost, "/v1alpha1/report?"+query, fmt.Sprintf(byResource, body)); w.Code != http.StatusBadRequest {
			t.Errorf("%s with %s: status %d: %s", query, body, w.Code, w.Body)
		}
	}
}

func TestTotalsComeWithTheFirstPageAlone(t *testing.T) {
	h := newFixture().handler()
	w := ask(t, h, "admin", http.MethodPost, "/v1alpha1/report", fmt.Sprintf(byResource, `,"limit":3`))
	var first, second wire.Report
	if err := json.Unmarshal(w.Body.Bytes(), &first); err != nil || len(first.Totals) == 0 || first.NextPage == "" {
		t.Fatal(err, w.Body)
	}
	w = ask(t, h, "admin", http.MethodPost, "/v1alpha1/report", fmt.Sprintf(byResource, `,"limit":3,"startFrom":"`+first.NextPage+`"`))
	if err := json.Unmarshal(w.Body.Bytes(), &second); err != nil || len(second.Totals) != 0 || len(second.Rows) != 3 {
		t.Errorf("%v: the second page: %s", err, w.Body)
	}
}
