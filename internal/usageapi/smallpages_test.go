package usageapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/usage-operator/usage-operator/internal/fairqueue"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// busyLedger has a few machines with as many segments each, in namespace shop.
func busyLedger(segments ...int) *timeline.Timeline {
	start := at("2026-11-01T00:00:00Z")
	c := timeline.Commit{Time: committedAt, Meters: []timeline.Meter{{Name: "vm", ResourceType: "vm", Since: start, Dimensions: []usage.Dimension{vcpu}}}}
	for r, n := range segments {
		s := subject("vm", "shop", shopUID, "web", fmt.Sprint("machine-", r))
		for i := range int64(n) {
			c.Changes = append(c.Changes, usage.Change{Segment: usage.Segment{
				Meter: "vm", Subject: s, Dimension: vcpu, Level: 1000 + i%7,
				Start: usage.Boundary{At: start + i*60, Evidence: usage.Observed}, End: usage.Boundary{At: start + i*60 + 60, Evidence: usage.Observed},
			}})
		}
	}
	line := timeline.New()
	line.Take(c)
	line.Publish()
	return line
}

// withMemory is an API whose answers have so much memory.
func withMemory(line *timeline.Timeline, bytes int64) *usageapi.API {
	f := newFixture()
	return usageapi.New(usageapi.Options{
		Ledger: &answers{Timeline: line}, Authenticator: &f.cluster, Authorizer: &f.cluster, Clock: f.clock, Log: logr.Discard(), OperatorNamespace: "usage-system", Meters: metersNow,
		RequestsPerSecond: 1e6, Timeout: time.Minute, Observe: func(string, int, time.Duration) {}, Memory: bytes,
		Namespaces: func(context.Context, labels.Selector) ([]timeline.NamespaceRef, error) {
			return []timeline.NamespaceRef{{Name: "shop", UID: shopUID}}, nil
		},
	})
}

// allPages are the resources of all pages of both lists of them, as they are written, and how many pages those are.
func allPages(t *testing.T, h http.Handler) (resources []any, pages int) {
	t.Helper()
	for _, list := range []struct{ path, resources string }{{"/v1/usage?project_id=shop", "items"}, {"/v1alpha1/resources?project_id=shop", "resources"}} {
		for cursor, more := "", true; more; pages++ {
			w := ask(t, h, "shop", "GET", list.path+"&cursor="+url.QueryEscape(cursor), "")
			page := decode[map[string]any](t, w)
			resources = append(resources, page[list.resources].([]any)...)
			next := decode[struct {
				wire.ResourceList
				Pagination struct {
					Next string `json:"next_cursor"`
				} `json:"pagination"`
			}](t, w)
			cursor = next.Next + next.Pagination.Next
			more = cursor != ""
		}
	}
	return resources, pages
}

// Where there is room for small pages alone, there are more of them; what is said of each resource is the same.
func TestWhatIsSaidOfAResourceDoesNotDependOnTheRoom(t *testing.T) {
	line := busyLedger(20, 300, 100, 50, 5200, 1)
	want, few := allPages(t, withMemory(line, 0).Handler())
	got, many := allPages(t, withMemory(line, 1<<20).Handler())
	if many <= few {
		t.Fatalf("%d pages where there is little room, and %d where there is much", many, few)
	}
	if len(want) != len(got) {
		t.Fatalf("%d resources and parts of some, want %d", len(got), len(want))
	}
	for i := range want {
		was, _ := json.Marshal(want[i])
		is, _ := json.Marshal(got[i])
		if diff := cmp.Diff(string(was), string(is)); diff != "" {
			t.Errorf("%.200s: %.200s", was, is)
		}
	}
}

// A resource that alone takes more than what was admitted waits until that is admitted, and holds
// nothing meanwhile.
func TestAResourceThatTakesMoreIsAdmitted(t *testing.T) {
	api := withMemory(busyLedger(1000), 8<<20)
	var shares []*fairqueue.Share
	for i := range 3 { // the spare part is left
		share, err := api.Occupy(t.Context(), fmt.Sprint("other-", i), 2<<20)
		if err != nil {
			t.Fatal(err)
		}
		shares = append(shares, share)
	}
	answered := make(chan *httptest.ResponseRecorder, 1)
	go func() { answered <- ask(t, api.Handler(), "shop", "GET", "/v1/usage?project_id=shop", "") }()
	until(t, "it waits", func() bool { return len(answered) > 0 || api.Load().Waiting == 1 })
	if len(answered) > 0 {
		t.Fatalf("it was answered, status %d, with less admitted than it takes", (<-answered).Code)
	}
	if load := api.Load(); load.Admitted != 6<<20 {
		t.Errorf("while it waits it holds %d bytes", load.Admitted-6<<20)
	}
	shares[0].Release()
	list := decode[struct {
		Items []struct {
			Dimensions []any `json:"dimensions"`
		} `json:"items"`
	}](t, <-answered)
	if len(list.Items) != 1 || len(list.Items[0].Dimensions) != 1000 {
		t.Errorf("%d resources: want one with 1000 segments", len(list.Items))
	}
	shares[1].Release()
	shares[2].Release()
	until(t, "all is given back", func() bool { return api.Load() == fairqueue.Load{} })
}
