package usageapi_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// recordsOf are all pages of records.
func recordsOf(t *testing.T, h http.Handler, token, query string) (all []v1alpha1.UsageRecord, pages int) {
	t.Helper()
	for next := ""; ; pages++ {
		page := decode[v1alpha1.UsageRecordList](t, ask(t, h, token, "GET", "/v1alpha1/records?"+query+"&cursor="+next, ""))
		all = append(all, page.Items...)
		if next = page.Continue; next == "" {
			return all, pages + 1
		}
	}
}

func namesOf(records []v1alpha1.UsageRecord) string {
	var names []string
	for i := range records {
		names = append(names, records[i].Namespace+"/"+records[i].Name)
	}
	return strings.Join(names, " ")
}

func TestRecordsOfSealedIntervals(t *testing.T) {
	h := newFixture().handler()
	unattributed := record.Name(record.Input{Key: record.Key{
		Account: usage.Account{Namespace: "shop", NamespaceUID: shopUID}, Interval: usage.Interval(at("2026-11-21T11:00:00Z"), 3600),
	}, Namespace: "shop"}, 0)
	moved := record.Name(record.Input{Key: record.Key{
		Account: usage.Account{Namespace: "shop", NamespaceUID: goneUID, Deployment: "web"}, Interval: usage.Interval(at("2026-11-01T00:00:00Z"), 3600),
	}, Namespace: "usage-system"}, 0)
	for query, want := range map[string]string{
		"interval=2026-11-20T10:59:59Z":                                     "bank/web.2026112010 shop/web.2026112010",
		"interval=2026-11-20T11:00:00Z&project_id=shop":                     "shop/web.2026112011",
		"from=2026-11-20T10:59:59Z&to=2026-11-20T11:00:01Z&project_id=shop": "shop/web.2026112010 shop/web.2026112011",
		"from=2026-11-21T11:00:00Z&to=2026-11-21T12:30:00Z&project_id=shop": "shop/" + unattributed,
		"from=2026-11-21T11:00:00Z&project_id=shop&deployment=web":          "",
		"from=2026-11-21T11:00:00Z&deployment=":                             "shop/" + unattributed,
		"from=2026-11-01T00:00:00Z&to=2026-11-01T01:00:00Z":                 "usage-system/" + moved,
	} {
		if got, _ := recordsOf(t, h, "admin", query); namesOf(got) != want {
			t.Errorf("%s: got %q, want %q", query, namesOf(got), want)
		}
	}
}

func TestARecordIsByteByByteTheOneThatWasPublished(t *testing.T) {
	h := newFixture().handler()
	got, _ := recordsOf(t, h, "shop", "interval=2026-11-19T10:00:00Z")
	s := held("vm", subject("vm", "shop", shopUID, "web", "vm-4"), vcpu, 1000, "2026-11-19T10:00:00Z", "2026-11-19T10:30:00Z")
	want := record.For(record.Input{
		Key:      record.Key{Account: s.Subject.Account, Interval: usage.Interval(at("2026-11-19T10:00:00Z"), 3600)},
		Segments: []usage.Segment{s.Segment}, Namespace: "shop", Final: true,
	})
	if len(got) != 1 || got[0].Status.Digest != want[0].Status.Digest {
		t.Fatalf("the record as it was sealed, without its correction: (-want, +got)\n%s", cmp.Diff(want[0], &got[0]))
	}
}

func TestRecordsComeInPages(t *testing.T) {
	f := newFixture()
	c := commitOfMany(12_000)
	f.ledger.Take(c)
	f.ledger.Publish()
	h := f.handler()
	all, pages := recordsOf(t, h, "admin", "from=2026-11-19T00:00:00Z&to=2026-11-19T03:00:00Z")
	resources := map[string]int{}
	for i := range all {
		resources[all[i].Spec.StartTime.UTC().Format(time.TimeOnly)] += int(all[i].Status.Resources)
	}
	if pages < 6 || resources["00:00:00"] != 12_000 || resources["01:00:00"] != 12_000 || resources["02:00:00"] != 12_000 {
		t.Errorf("%d pages have %v: want 12,000 resources in each hour", pages, resources)
	}
	names := strings.Fields(namesOf(all))
	slices.Sort(names)
	if len(slices.Compact(names)) != len(all) {
		t.Error("a record is there twice")
	}
}

// However much one account held: pages are small, and together they have its records as they
// were published, in the same order.
func TestRecordsOfALargeAccountComeInPages(t *testing.T) {
	f := newFixture()
	want := largeAccount(f)
	h := f.handler()
	var got []v1alpha1.UsageRecord
	pages := 0
	for next := ""; pages == 0 || next != ""; pages++ {
		page := decode[v1alpha1.UsageRecordList](t, ask(t, h, "admin", "GET", "/v1alpha1/records?interval=2026-11-19T00:00:00Z&cursor="+next, ""))
		next = page.Continue
		if n := segmentsOf(page.Items); n > 6000 {
			t.Errorf("page %d has %d segments", pages, n)
		}
		got = append(got, page.Items...)
	}
	if pages < 4 || len(got) != len(want)+2 {
		t.Fatalf("%d records in %d pages: want %d", len(got), pages, len(want)+2)
	}
	if got[0].Spec.Deployment != "before" || got[len(got)-1].Spec.Deployment != "small" {
		t.Errorf("the first is of %s, the last of %s", got[0].Spec.Deployment, got[len(got)-1].Spec.Deployment)
	}
	for i := range want {
		said := func(r *v1alpha1.UsageRecord) string {
			return fmt.Sprintf("%s, part %d of %d, %s", r.Name, r.Spec.Part.Index, r.Status.Parts, r.Status.Digest)
		}
		if g, w := said(&got[i+1]), said(want[i]); g != w {
			t.Errorf("record %d is %s: want %s", i, g, w)
		}
	}
}

// largeAccount has the ledger have 21,000 segments of one account in an hour, between two small
// ones, and gives that account's records.
func largeAccount(f *fixture) []*v1alpha1.UsageRecord {
	hour := usage.Interval(at("2026-11-19T00:00:00Z"), 3600)
	var segments []usage.Segment
	var c timeline.Commit
	for i := range 21_000 {
		s := subject("vm", "bank", bankUID, "large", fmt.Sprint("large-", i/3))
		change := held("vm", s, []usage.Dimension{vcpu, memory}[i%2], int64(1000+i), "2026-11-19T00:00:00Z", "2026-11-19T01:00:00Z")
		change.Start.At += int64(i % 600)
		part, _ := change.Cut(hour, hour.End)
		c.Changes, segments = append(c.Changes, change), append(segments, part)
	}
	for _, deployment := range []string{"before", "small"} {
		c.Changes = append(c.Changes, held("vm", subject("vm", "bank", bankUID, deployment, deployment), vcpu, 1, "2026-11-19T00:00:00Z", "2026-11-19T01:00:00Z"))
	}
	f.ledger.Take(c)
	f.ledger.Publish()
	slices.SortFunc(segments, usage.Segment.Compare)
	return record.For(record.Input{
		Key: record.Key{Account: segments[0].Subject.Account, Interval: hour}, Segments: segments, Namespace: "bank", Final: true,
	})
}

func segmentsOf(records []v1alpha1.UsageRecord) (n int) {
	for i := range records {
		for _, used := range records[i].Status.Usage {
			n += len(used.Segments)
		}
	}
	return n
}

// A cursor that no page gave is refused, whatever it has.
func TestCursorsOfRecordsAreChecked(t *testing.T) {
	h := newFixture().handler()
	for _, cursor := range []string{
		`null`, `{"Part":1,"Parts":3}`, `{"Part":3,"Parts":3,"Last":{"Subject":{}}}`, `{"Part":1,"Parts":3,"Last":{}}`,
		`{"Part":1,"Parts":3,"Last":{"Subject":{}},"Interval":{"Start":1,"End":2}}`,
	} {
		text := base64.RawURLEncoding.EncodeToString([]byte(cursor))
		if w := ask(t, h, "admin", "GET", "/v1alpha1/records?cursor="+text, ""); w.Code != http.StatusBadRequest {
			t.Errorf("%s: status %d", cursor, w.Code)
		}
	}
}

// commitOfMany is very many resources, each with something in three hours.
func commitOfMany(n int) (c timeline.Commit) {
	for i := range n {
		s := subject("vm", "bank", bankUID, fmt.Sprint("many-", i%100), fmt.Sprint("many-", i))
		c.Changes = append(c.Changes, held("vm", s, vcpu, 1000, "2026-11-19T00:30:00Z", "2026-11-19T02:30:00Z"))
	}
	return c
}

func TestRecordsOfNamespacesThatOneMaySee(t *testing.T) {
	h := newFixture().handler()
	for token, want := range map[string]string{"admin": "bank shop usage-system", "shop": "shop", "both": "bank shop"} {
		got, _ := recordsOf(t, h, token, "from=2026-11-01T00:00:00Z")
		var namespaces []string
		for i := range got {
			namespaces = append(namespaces, got[i].Namespace)
		}
		slices.Sort(namespaces)
		if text := strings.Join(slices.Compact(namespaces), " "); text != want {
			t.Errorf("%s sees records in %q, want %q", token, text, want)
		}
	}
	for token, want := range map[string]int{"nobody": 403, "": 401, "expired": 401} {
		if w := ask(t, h, token, "GET", "/v1alpha1/records?project_id=shop", ""); w.Code != want {
			t.Errorf("%q: status %d, want %d", token, w.Code, want)
		}
	}
}

func TestRecordsAreRefusedWithWhatToDo(t *testing.T) {
	h := newFixture().handler()
	for query, says := range map[string]string{
		"interval=2026-11-21T12:00:00Z":                           "ends at 2026-11-21T12:00:00Z",
		"interval=2026-11-21":                                     "has no time zone",
		"interval=2026-11-20T10:00:00Z&from=2026-11-20T10:00:00Z": "not both",
		"resource_type=vm":                                        "there is no parameter",
		"cursor=!":                                                "metadata.continue",
		"from=2026-11-20T10:00:00Z&to=2026-11-20T10:00:00Z":       "not after from",
	} {
		if w := ask(t, h, "shop", "GET", "/v1alpha1/records?"+query, ""); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: status %d: %s: want 400 and %s", query, w.Code, w.Body, says)
		}
	}
	if w := ask(t, h, "shop", "GET", "/v1alpha1/resources?name=vm-1&interval=2026-11-20T11:00:00Z", ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"quantity":"6"`) {
		t.Errorf("status %d: %s: want the 6 core-hours of that hour", w.Code, w.Body)
	}
}
