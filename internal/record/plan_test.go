package record

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

func holdingsOf(held map[usage.Account][]usage.Segment) *Holdings {
	return &Holdings{
		Accounts: slices.SortedFunc(maps.Keys(held), usage.CompareAccounts),
		Cut:      func(a usage.Account) []usage.Segment { return held[a] },
	}
}

// published are the records of each namespace, by what the interval was sealed with.
func published(h *Holdings, limits usage.Limits) map[string][]*v1alpha1.UsageRecord {
	records, plan := map[string][]*v1alpha1.UsageRecord{}, PlanOf(h, limits)
	for _, account := range plan.Accounts(h.Accounts) {
		in := Input{Key: Key{Account: account, Interval: hour}, Namespace: account.Namespace, Final: true}
		plan.Fill(&in, h.Cut)
		records[account.Namespace] = append(records[account.Namespace], For(in)...)
	}
	return records
}

func bytesOf(records []*v1alpha1.UsageRecord) (bytes int64) {
	for _, r := range records {
		bytes += Bytes(r)
	}
	return bytes
}

func text(t *rapid.T, records []*v1alpha1.UsageRecord) string {
	out, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Whatever the limits, each namespace's totals and accuracy are the same; one that is
// under its share, and has no more deployments than may have records, has the same
// bytes as without limits, whatever the others hold. The oracle divides byte by byte.
func TestWhatLimitsChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := holdingsOf(anyHoldings(t, 4, 5))
		bytes, deployments := rapid.Int64Range(0, 40_000).Draw(t, "bytes"), rapid.Int64Range(0, 4).Draw(t, "deployments")
		all := published(h, usage.Limits{})
		limits := Limit(h, bytes, deployments)
		got := published(h, limits)
		share := shareOf(published(h, usage.Limits{Deployments: deployments}), bytes)
		for namespace, before := range all {
			after := got[namespace]
			if fmt.Sprint(sum(t, after...)) != fmt.Sprint(sum(t, before...)) {
				t.Fatalf("%s: %v, want %v", namespace, sum(t, after...), sum(t, before...))
			}
			few := deployments == 0 || int64(len(deploymentsOf(before))) <= deployments
			if few && bytesOf(before) <= share && text(t, before) != text(t, after) {
				t.Fatalf("%s takes %d of %d, and its records are\n%s\nnot\n%s", namespace, bytesOf(before), share, text(t, after), text(t, before))
			}
			if bytes > 0 && bytesOf(after) > share && after[0].Status.Detail != v1alpha1.DetailTotals {
				t.Fatalf("%s takes %d of %d, and lists %q", namespace, bytesOf(after), share, after[0].Status.Detail)
			}
			together := 0
			if !few {
				together = len(deploymentsOf(before)) - int(deployments)
			}
			expectTogether(t, after, together)
		}
	})
}

// expectTogether expects that so many deployments have no records of their own.
func expectTogether(t *rapid.T, records []*v1alpha1.UsageRecord, want int) {
	got := 0
	for _, r := range records {
		if r.Status.Deployments == 0 {
			continue
		}
		got = int(r.Status.Deployments)
		if r.Spec.Deployment != usage.OtherDeployments {
			t.Fatalf("those that have no records of their own are in that of %q", r.Spec.Deployment)
		}
	}
	if got != want {
		t.Fatalf("%d deployments have no records of their own, want %d: %s", got, want, text(t, records))
	}
}

// shareOf is what is left of who has most, when all that have most lose a byte, again
// and again, until all fit.
func shareOf(records map[string][]*v1alpha1.UsageRecord, bytes int64) int64 {
	var share, all int64
	takes := map[string]int64{}
	for namespace, of := range records {
		takes[namespace] = bytesOf(of)
		share, all = max(share, takes[namespace]), all+takes[namespace]
	}
	for bytes > 0 && all > bytes && share > 1 {
		for namespace, n := range takes {
			if n == share {
				takes[namespace], all = n-1, all-1
			}
		}
		share--
	}
	return share
}

func deploymentsOf(records []*v1alpha1.UsageRecord) map[string]bool {
	named := map[string]bool{}
	for _, r := range records {
		if r.Spec.Deployment != "" {
			named[r.Spec.Deployment] = true
		}
	}
	return named
}

// Those that held something for longest have records of their own; a name that somebody
// gave to an owner that there is not is none of them.
func TestWhichDeploymentsHaveRecordsOfTheirOwn(t *testing.T) {
	all := map[usage.Account][]usage.Segment{}
	for name, seconds := range map[string]int64{"": 1, "web": 3600, "db": 3600, "b": 20, "a": 20, "c": 10, usage.OtherDeployments: 3600} {
		s := subject("vm")
		s.Deployment = name
		all[s.Account] = []usage.Segment{held(s, vcpu, 1000, 0, seconds)}
	}
	got := published(holdingsOf(all), Limit(holdingsOf(all), 0, 3))["shop"]
	slices.SortFunc(got, func(a, b *v1alpha1.UsageRecord) int { return cmp.Compare(a.Spec.Deployment, b.Spec.Deployment) })
	var names []string
	for _, r := range got {
		names = append(names, r.Spec.Deployment)
	}
	if want := []string{"", usage.OtherDeployments, "a", "db", "web"}; !slices.Equal(names, want) {
		t.Errorf("records of %q, want %q", names, want)
	}
	others := got[1].Status
	if others.Deployments != 3 || others.Totals[0].Exact != "3630000" || len(others.Usage) != 1 {
		t.Errorf("the others are %d deployments, of %d entries, with %s", others.Deployments, len(others.Usage), others.Totals[0].Exact)
	}
	if got := got[1].Name; got != "other-deployments-e90c636a281d4558.2026112120" {
		t.Errorf("it is called %s", got)
	}
}

// One label a second on a pod of 100 containers.
func churn() map[usage.Account][]usage.Segment {
	all := map[usage.Account][]usage.Segment{}
	memory := usage.Dimension{Name: "memory", Unit: usage.Byte}
	for second := range int64(3600) {
		account := usage.Account{Namespace: "red", NamespaceUID: "red", Deployment: fmt.Sprintf("d%059d", second)}
		for c := range 100 {
			pod := usage.Object{APIVersion: "v1", Kind: "Pod", Name: "churn", UID: "5f1d6c1e-1e5a-4b8e-9d5b-000000000000"}
			s := &usage.Subject{ResourceType: "container", Resource: pod, Instance: pod, Container: fmt.Sprintf("container-%03d", c), Account: account}
			all[account] = append(all[account], held(s, vcpu, 100, second, second+1), held(s, memory, 1<<20, second, second+1))
		}
	}
	for _, segments := range all {
		slices.SortFunc(segments, usage.Segment.Compare)
	}
	return all
}

// With the budget of an interval, 32 MiB, a tenant who changes a label each second
// changes nothing of the records of others.
func BenchmarkChurn(b *testing.B) {
	all := churn()
	for n := range 100 {
		s := subject("vm")
		s.Namespace, s.NamespaceUID = fmt.Sprint("blue-", n), fmt.Sprint("blue-", n)
		all[s.Account] = []usage.Segment{held(s, vcpu, 1000, 0, 3600)}
	}
	h := holdingsOf(all)
	for b.Loop() {
		limits := Limit(h, 32<<20, 1000)
		plan := PlanOf(h, limits)
		if got := plan.Reduced(); len(got) != 1 || got[0].Namespace != "red" {
			b.Fatalf("reduced: %+v", got)
		}
	}
	size := func(limits usage.Limits) float64 {
		bytes := 0
		for _, r := range published(h, limits)["red"] {
			text, err := json.Marshal(r)
			if err != nil {
				b.Fatal(err)
			}
			bytes += len(text)
		}
		return float64(bytes) / 1e6
	}
	b.ReportMetric(size(usage.Limits{}), "MB-before")
	b.ReportMetric(size(Limit(h, 32<<20, 1000)), "MB-after")
}
