package usageapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// withClasses is the made-up cluster with a volume of each tenant: each has an attribute of its
// own beside the one of both.
func withClasses() *fixture {
	f := newFixture()
	storage := usage.Dimension{Name: "storage", Unit: usage.Byte}
	c := timeline.Commit{Time: committedAt, Meters: []timeline.Meter{
		{Name: "volume", ResourceType: "volume", Since: at("2026-11-01T00:00:00Z"), Dimensions: []usage.Dimension{storage}},
	}}
	for _, of := range []struct{ namespace, uid, own string }{{"shop", shopUID, "zone"}, {"bank", bankUID, "vault"}} {
		s := subject("volume", of.namespace, of.uid, "web", "data-"+of.namespace)
		s.Attributes = usage.NewAttributes(map[string]string{"storageClass": "fast", of.own: "a"})
		c.Changes = append(c.Changes, held("volume", s, storage, 1<<30, "2026-11-20T10:00:00Z", ""))
	}
	f.ledger.Take(c)
	f.ledger.Publish()
	return f
}

// grouped are the requests that tell rows apart by a key, of volumes on a day of November.
func grouped(token, key, day string) map[string]asked {
	from, to := "2026-11-"+day+"T00:00:00Z", "2026-11-"+day+"T12:00:00Z"
	report := asked{token, "POST", "/v1alpha1/report", fmt.Sprintf(`{"startingOn":%q,"endingBefore":%q,"groupBy":[%q],"filters":{"resourceTypes":["volume"]}}`, from, to, key)}
	series, top := report, report
	series.url, top.url = "/v1alpha1/series", "/v1alpha1/report?top=3"
	return map[string]asked{
		"report": report, "series": series, "top": top,
		"batched usage": {token, "POST", "/v1/usage", fmt.Sprintf(`{"window_size":"day","starting_on":%q,"ending_before":%q,"billable_metrics":[{"id":"volume.storage","group_by":{"key":%q}}]}`, from, to, key)},
	}
}

func TestAnAttributeThatNothingHasTellsNothingApart(t *testing.T) {
	h := withClasses().handler()
	for _, c := range []struct{ token, key, there string }{
		{"shop", "attribute:storageClas", `did you mean \"storageClass\"? there are storageClass, zone`},
		{"shop", "attribute:vault", "there are storageClass, zone"}, // of the bank, which the shop may not see
		{"bank", "attribute:zone", "there are storageClass, vault"},
		{"admin", "attribute:colour", "there are storageClass, vault, zone"},
	} {
		for face, request := range grouped(c.token, c.key, "20") {
			w := ask(t, h, request.token, request.method, request.url, request.body)
			name := strings.TrimPrefix(c.key, "attribute:")
			if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), fmt.Sprintf(`: in all that you may see, nothing was ever recorded under an attribute \"%s\"`, name)) ||
				!strings.Contains(w.Body.String(), c.there) || !strings.Contains(w.Body.String(), wire.NoSuchName) {
				t.Errorf("%s of %s by %s: %d, %s: want 400 and %s", face, c.token, c.key, w.Code, w.Body, c.there)
			}
		}
	}
}

// What is asked for may have no volume, or be of a tenant without one: an attribute that something
// else has which the caller may see is not misspelt.
func TestAnAttributeOfSomethingElseTellsNothingApartButExists(t *testing.T) {
	h := withClasses().handler()
	const window = `"startingOn":"2026-11-20T00:00:00Z","endingBefore":"2026-11-20T12:00:00Z"`
	for _, token := range []string{"shop", "both", "admin"} {
		for name, filters := range map[string]string{
			"another type":      `"resourceTypes":["vm"]`,
			"another dimension": `"dimensions":["vcpu"]`,
			"another namespace": `"namespaces":["bank"]`,
		} {
			if token == "shop" && name == "another namespace" {
				continue
			}
			for _, path := range []string{"/v1alpha1/report", "/v1alpha1/report?top=3", "/v1alpha1/series"} {
				w := ask(t, h, token, "POST", path, fmt.Sprintf(`{%s,"groupBy":["attribute:zone"],"filters":{%s}}`, window, filters))
				if w.Code != http.StatusOK {
					t.Errorf("%s, %s by %s: %d, %s", name, path, token, w.Code, w.Body)
				}
			}
		}
		w := ask(t, h, token, "POST", "/v1/usage", `{"window_size":"day","starting_on":"2026-11-20T00:00:00Z","ending_before":"2026-11-21T00:00:00Z","billable_metrics":[{"id":"vm.vcpu","group_by":{"key":"attribute:zone"}}]}`)
		if w.Code != http.StatusOK {
			t.Errorf("batched usage by %s: %d, %s", token, w.Code, w.Body)
		}
	}
}

// One that there is, is there in any window, also in one in which nothing was used: zero is
// another answer than no such name.
func TestAnAttributeThatThereIsTellsApart(t *testing.T) {
	h := withClasses().handler()
	for day, held := range map[string]bool{"20": true, "10": false} {
		for face, request := range grouped("shop", "attribute:zone", day) {
			w := ask(t, h, request.token, request.method, request.url, request.body)
			if w.Code != http.StatusOK || held != strings.Contains(w.Body.String(), `"a"`) {
				t.Errorf("%s on the %s: %d, %s", face, day, w.Code, w.Body)
			}
		}
	}
	// Where there is nothing at all, there is nothing to be misspelt.
	f := newFixture()
	f.cluster.allowed["empty"] = []string{"empty"}
	request := asked{"empty", "POST", "/v1alpha1/report", `{"startingOn":"2026-11-20T00:00:00Z","endingBefore":"2026-11-21T00:00:00Z","groupBy":["attribute:zone"]}`}
	if w := ask(t, f.handler(), request.token, request.method, request.url, request.body); w.Code != http.StatusOK {
		t.Errorf("a new namespace: %d, %s", w.Code, w.Body)
	}
}

// Each metric that is grouped is a query of its own: there are not more than a few.
func TestMetricsOfARequestAreBounded(t *testing.T) {
	h := newFixture().handler()
	metric := `{"id":"vm.vcpu","group_by":{"key":"deployment"}}`
	for n, status := range map[int]int{100: http.StatusOK, 101: http.StatusBadRequest} {
		body := `{"window_size":"none","starting_on":"2026-11-20T00:00:00Z","ending_before":"2026-11-21T00:00:00Z","billable_metrics":[` + strings.Repeat(metric+",", n-1) + metric + `]}`
		if w := ask(t, h, "admin", "POST", "/v1/usage", body); w.Code != status || status != http.StatusOK && !strings.Contains(w.Body.String(), "want at most 100") {
			t.Errorf("%d metrics: status %d, want %d: %.300s", n, w.Code, status, w.Body)
		}
	}
}
