package usageapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// Pages of a question say what was known when the first was made; after a while they go
// on with what is known then, as they do on another replica.
func TestPagesAreOfOneMoment(t *testing.T) {
	f := newFixture()
	h := f.handler()
	page := func(handler http.Handler, from string) (text, next string) {
		t.Helper()
		spec := fmt.Sprintf(`{"startingOn":"2026-11-20T00:00:00Z","endingBefore":"2026-11-22T00:00:00Z","groupBy":["resource"],"filters":{"dimensions":["vcpu"]},"limit":2,"startFrom":%q}`, from)
		w := ask(t, handler, "admin", http.MethodPost, "/v1alpha1/report", spec)
		var got wire.Report
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
			t.Fatal(err, w.Code, w.Body)
		}
		for i := range got.Rows {
			text += fmt.Sprint(got.Rows[i].Group["resource"], " ", got.Rows[i].Exact, "; ")
		}
		return text, got.NextPage
	}
	_, next := page(h, "")
	before, last := page(h, next)
	if before != "vm-3 262800000; " || last != "" {
		t.Fatalf("the second page says %q, then %q", before, last)
	}
	// Half an hour later vm-3 has held two cores for longer.
	f.ledger.Take(timeline.Commit{Time: committedAt + 1800, Changes: []usage.Change{}})
	f.ledger.Publish()
	if again, _ := page(h, next); again != before {
		t.Errorf("the second page says %q now: want %q, as the first did", again, before)
	}
	const later = "vm-3 266400000; "
	if elsewhere, _ := page(f.handler(), next); elsewhere != later {
		t.Errorf("another replica says %q: want %q", elsewhere, later)
	}
	f.clock.SetTime(f.clock.Now().Add(time.Hour))
	if after, _ := page(h, next); after != later {
		t.Errorf("after a pause it says %q: want %q", after, later)
	}
}
