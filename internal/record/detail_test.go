package record

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

var details = []usage.Detail{usage.DetailSegments, usage.DetailResources, usage.DetailTotals}

// anyHoldings are what the accounts of some namespaces held in the hour.
func anyHoldings(t *rapid.T, namespaces, deployments int) map[usage.Account][]usage.Segment {
	all := map[usage.Account][]usage.Segment{}
	dimensions := []usage.Dimension{vcpu, {Name: "memory", Unit: usage.Byte}, {Name: "device/nvidia.com/gpu", Unit: usage.Count}}
	evidence := rapid.SampledFrom([]usage.Evidence{usage.ObjectTime, usage.Observed, usage.IntervalCut, usage.MeteringStarted, usage.LastKnown})
	for n := range rapid.IntRange(1, namespaces).Draw(t, "namespaces") {
		for d := range rapid.IntRange(1, deployments).Draw(t, "deployments") {
			account := usage.Account{Namespace: fmt.Sprint("tenant-", n), NamespaceUID: "uid", Deployment: fmt.Sprintf("d%02d", d)}
			if d == 0 {
				account.Deployment = rapid.SampledFrom([]string{"", "d00", usage.OtherDeployments}).Draw(t, "deployment")
			}
			for range rapid.IntRange(1, 6).Draw(t, "segments") {
				s := *subject(fmt.Sprint("vm-", rapid.IntRange(0, 2).Draw(t, "vm")))
				s.Account, s.ResourceType = account, rapid.SampledFrom([]string{"vm", "container"}).Draw(t, "type")
				s.Container = rapid.SampledFrom([]string{"", "a"}).Draw(t, "container")
				from := rapid.Int64Range(0, 3599).Draw(t, "from")
				segment := held(&s, rapid.SampledFrom(dimensions).Draw(t, "dimension"), rapid.Int64Range(0, 1<<40).Draw(t, "level"), from,
					rapid.Int64Range(from, 3600).Draw(t, "to"))
				segment.Start.Evidence = evidence.Draw(t, "evidence")
				segment.End.Slack = uint32(rapid.IntRange(0, 1).Draw(t, "slack"))
				all[account] = append(all[account], segment)
			}
		}
	}
	for _, segments := range all {
		slices.SortFunc(segments, usage.Segment.Compare)
	}
	return all
}

// sums are what records add up to, and how well that is known.
type sums struct {
	amounts  map[string]usage.Amount // by type, dimension and unit
	accuracy v1alpha1.Accuracy
}

func sum(t rapidOrTest, records ...*v1alpha1.UsageRecord) sums {
	all := sums{amounts: map[string]usage.Amount{}, accuracy: v1alpha1.AccuracyExact}
	rank := map[v1alpha1.Accuracy]int{v1alpha1.AccuracyExact: 0, v1alpha1.AccuracyEstimated: 1, v1alpha1.AccuracyPartial: 2}
	for _, r := range records {
		if rank[r.Status.Accuracy] > rank[all.accuracy] {
			all.accuracy = r.Status.Accuracy
		}
		for _, total := range r.Status.Totals {
			amount, err := usage.ParseAmount(total.Exact)
			if err != nil {
				t.Fatalf("%v", err)
			}
			key := total.ResourceType + " " + total.Dimension + " " + total.ExactUnit
			all.amounts[key] = all.amounts[key].Plus(amount)
		}
	}
	return all
}

type rapidOrTest interface{ Fatalf(string, ...any) }

// listed is what the entries of the records' usage add up to, by dimension.
func listed(t rapidOrTest, records []*v1alpha1.UsageRecord) map[string]usage.Amount {
	all := map[string]usage.Amount{}
	add := func(u *v1alpha1.Usage, dimension, exact string) {
		amount, err := usage.ParseAmount(exact)
		if err != nil {
			t.Fatalf("%v", err)
		}
		key := u.ResourceType + " " + u.Resource.UID + " " + u.Container + " " + dimension
		all[key] = all[key].Plus(amount)
	}
	for _, r := range records {
		for i := range r.Status.Usage {
			u := &r.Status.Usage[i]
			for _, s := range u.Segments {
				add(u, s.Dimension, s.Exact)
			}
			for _, s := range u.Totals {
				add(u, s.Dimension, s.Exact)
			}
		}
	}
	return all
}

// Whatever is listed, what it adds up to is the same, and so is how well that is known.
func TestTotalsAreTheSameInEachDetail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for account, segments := range anyHoldings(t, 2, 3) {
			in := final(account.Deployment, segments...)
			in.Account = account
			all := For(in)
			want, wantListed := sum(t, all...), listed(t, all)
			for _, detail := range details {
				in.Detail = detail
				got := For(in)
				if fmt.Sprint(sum(t, got...)) != fmt.Sprint(want) {
					t.Fatalf("%s: %v, want %v", detail, sum(t, got...), want)
				}
				if detail == usage.DetailResources && fmt.Sprint(listed(t, got)) != fmt.Sprint(wantListed) {
					t.Fatalf("by resource: %v, want %v", listed(t, got), wantListed)
				}
				var bytes int64
				for _, r := range got {
					bytes += Bytes(r)
				}
				if weighed := Weigh(segments, detail); weighed != bytes {
					t.Fatalf("%s: weighed as %d bytes, they are %d", detail, weighed, bytes)
				}
			}
		}
	})
}

func TestADigestIsOverWhatIsListed(t *testing.T) {
	segments := []usage.Segment{held(subject("a"), vcpu, 1000, 0, 60), held(subject("a"), vcpu, 2000, 60, 90)}
	more := []usage.Segment{held(subject("a"), vcpu, 1000, 0, 60), held(subject("a"), vcpu, 2000, 60, 91)}
	seen := map[string]string{}
	for _, detail := range details {
		for name, of := range map[string][]usage.Segment{"segments": segments, "a second more": more} {
			in := final("web", of...)
			in.Detail = detail
			digest := For(in)[0].Status.Digest
			if other, taken := seen[digest]; taken {
				t.Errorf("%s of %s has the digest of %s", detail, name, other)
			}
			seen[digest] = detail.String() + " of " + name
		}
	}
}

// What has one level each second, and very many names, fits objects in each detail.
func TestPartsFitAnObjectInEachDetail(t *testing.T) {
	var segments []usage.Segment
	device := usage.Dimension{Name: "extended_resource", Unit: usage.Count}
	for i := range 3000 {
		s := subject(fmt.Sprintf("pod-%04d", i/2))
		s.Container = fmt.Sprint(i % 2)
		segments = append(segments, held(s, device.Of(fmt.Sprintf("%0200d.example/gpu", i)), 1000, 0, 3600), held(s, vcpu, int64(i), 0, 10), held(s, vcpu, 7, 10, 20))
	}
	slices.SortFunc(segments, usage.Segment.Compare)
	for _, detail := range details {
		in := final("web", segments...)
		in.Detail = detail
		records := For(in)
		for _, r := range records {
			text, err := json.Marshal(r)
			if err != nil || len(text) > 1<<20 || len(r.Status.Totals) > 1024 || len(r.Status.Usage) > 1000 {
				t.Errorf("%s: %s has %d bytes, %d totals, %d entries, %v", detail, r.Name, len(text), len(r.Status.Totals), len(r.Status.Usage), err)
			}
		}
		if got := sum(t, records...); len(got.amounts) != 3001 {
			t.Errorf("%s: %d totals", detail, len(got.amounts))
		}
	}
}
