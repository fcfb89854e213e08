package record

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// hour is 2026-11-21T20:00Z to 21:00Z.
var hour = usage.Interval(1795291200, 3600)

func subject(name string) *usage.Subject {
	object := usage.Object{APIVersion: "kubevirt.io/v1", Kind: "VirtualMachine", Name: name, UID: "uid-" + name}
	return &usage.Subject{
		ResourceType: "vm", Resource: object, Instance: object,
		Account: usage.Account{Namespace: "shop", NamespaceUID: "ns", Deployment: "web"},
	}
}

var vcpu = usage.Dimension{Name: "vcpu", Unit: usage.Core}

func held(s *usage.Subject, d usage.Dimension, level, from, to int64) usage.Segment {
	return usage.Segment{
		Subject: s, Dimension: d, Level: level,
		Start: usage.Boundary{At: hour.Start + from, Evidence: usage.ObjectTime},
		End:   usage.Boundary{At: hour.Start + to, Evidence: usage.Observed},
	}
}

func final(deployment string, segments ...usage.Segment) Input {
	return Input{
		Key:      Key{Account: usage.Account{Namespace: "shop", NamespaceUID: "ns", Deployment: deployment}, Interval: hour},
		Segments: segments, Namespace: "shop", Final: true,
	}
}

func TestAFinalRecord(t *testing.T) {
	db := subject("db-0")
	memory := usage.Dimension{Name: "memory", Unit: usage.Byte}
	records := For(final("web", held(db, memory, 16<<30, 0, 2250), held(db, vcpu, 4000, 0, 2250)))
	if len(records) != 1 {
		t.Fatalf("%d records; want 1", len(records))
	}
	r := records[0]
	if r.Name != "web.2026112120" || r.Namespace != "shop" || r.Labels[v1alpha1.LabelInterval] != "20261121T2000Z" {
		t.Errorf("it is %s/%s, interval %s", r.Namespace, r.Name, r.Labels[v1alpha1.LabelInterval])
	}
	want := []v1alpha1.Total{
		{ResourceType: "vm", Dimension: "memory", Quantity: "10", Unit: "GiB-hour", Exact: "38654705664000", ExactUnit: "byte-second"},
		{ResourceType: "vm", Dimension: "vcpu", Quantity: "2.5", Unit: "core-hour", Exact: "9000000", ExactUnit: "millicore-second"},
	}
	if diff := cmp.Diff(want, r.Status.Totals); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	if want := "memory 10 GiB-hour, vcpu 2.5 core-hour"; r.Status.Summary != want {
		t.Errorf("summary %q; want %q", r.Status.Summary, want)
	}
	if r.Status.Accuracy != v1alpha1.AccuracyExact || len(r.Status.Usage) != 1 || len(r.Status.Usage[0].Segments) != 2 {
		t.Errorf("accuracy %s, usage %+v", r.Status.Accuracy, r.Status.Usage)
	}
}

func TestSummariesNameTheTypeWhereThereAreSeveral(t *testing.T) {
	volume := subject("data")
	volume.ResourceType = "volume"
	got := For(final("web", held(subject("db"), vcpu, 1000, 0, 3600),
		held(volume, usage.Dimension{Name: "storage", Unit: usage.Byte}, 1<<30, 0, 3600)))[0].Status.Summary
	if want := "vm: vcpu 1 core-hour; volume: storage 1 GiB-hour"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheSummaryOfAnOpenRecordIsWhatIsHeldNow(t *testing.T) {
	open := func(s usage.Segment) usage.Segment {
		s.End = usage.Boundary{}
		return s
	}
	memory := usage.Dimension{Name: "memory", Unit: usage.Byte}
	pods := usage.Dimension{Name: "pods", Unit: usage.Count}
	cases := map[string]struct {
		segments []usage.Segment
		want     string
	}{
		"something is held": {
			[]usage.Segment{held(subject("a"), vcpu, 9000, 0, 60), open(held(subject("b"), memory, 16<<30, 0, 0)), open(held(subject("b"), vcpu, 4000, 0, 0)), open(held(subject("b"), pods, 2000, 0, 0))},
			"holds memory 16 GiB, 2 pods, vcpu 4 core",
		},
		"nothing is held any more": {[]usage.Segment{held(subject("a"), vcpu, 4000, 0, 900)}, "vcpu 1 core-hour"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			in := final("web", c.segments...)
			in.Final, in.Now = false, hour.Start+1800
			r := For(in)[0]
			if r.Status.Summary != c.want {
				t.Errorf("got %q, want %q", r.Status.Summary, c.want)
			}
			if r.Status.Phase != v1alpha1.PhaseOpen || r.Status.ObservedTime.Unix() != hour.Start+1800 {
				t.Errorf("it is %s up to %s", r.Status.Phase, r.Status.ObservedTime)
			}
		})
	}
}

func TestALongSummarySaysHowMuchItLeavesOut(t *testing.T) {
	var segments []usage.Segment
	for i := range 10 {
		segments = append(segments, held(subject("a"), usage.Dimension{Name: fmt.Sprintf("dimension%d", i), Unit: usage.Core}, 1000, 0, 3600))
	}
	got := For(final("web", segments...))[0].Status.Summary
	if got != "dimension0 1 core-hour, dimension1 1 core-hour; 8 more" {
		t.Errorf("%q", got)
	}
}

func TestAccuracy(t *testing.T) {
	s := subject("db")
	bounded := held(s, vcpu, 1000, 10, 20)
	bounded.End = usage.Boundary{At: hour.Start + 20, Slack: 5, Evidence: usage.ReplayBound}
	started := held(s, vcpu, 1000, 10, 20)
	started.Start.Evidence = usage.MeteringStarted
	startedBefore := held(s, vcpu, 1000, 0, 20)
	startedBefore.Start.Evidence = usage.MeteringStarted
	unreadable := held(s, vcpu, 1000, 10, 20)
	unreadable.Start.Evidence = usage.LastKnown
	cases := map[string]struct {
		segments []usage.Segment
		want     v1alpha1.Accuracy
	}{
		"all seen":                         {[]usage.Segment{held(s, vcpu, 1000, 0, 10)}, v1alpha1.AccuracyExact},
		"an end within bounds":             {[]usage.Segment{bounded}, v1alpha1.AccuracyEstimated},
		"an object that cannot be read":    {[]usage.Segment{unreadable}, v1alpha1.AccuracyEstimated},
		"metering began in mid-interval":   {[]usage.Segment{bounded, started}, v1alpha1.AccuracyPartial},
		"metering began with the interval": {[]usage.Segment{startedBefore}, v1alpha1.AccuracyExact},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := For(final("web", c.segments...))[0]
			if r.Status.Accuracy != c.want {
				t.Errorf("got %s, want %s", r.Status.Accuracy, c.want)
			}
		})
	}
	if end := For(final("web", bounded))[0].Status.Usage[0].Segments[0].EndLatest; end.Unix() != hour.Start+25 {
		t.Errorf("endLatest %s", end)
	}
}

func TestPartsFitAnObjectAndSumToTheWhole(t *testing.T) {
	long := strings.Repeat("x", 253)
	var segments []usage.Segment
	var whole usage.Amount
	for i := range 4000 {
		s := subject(fmt.Sprintf("%s%05d", long[:240], i))
		s.Region, s.Bundle = long, long
		s.Attributes = usage.NewAttributes(map[string]string{"a": long, "b": long, "c": long, "d": long})
		segments = append(segments, held(s, vcpu, int64(i), 0, 3600))
		whole = whole.Plus(usage.Held(int64(i), 3600))
	}
	records := For(final("web", segments...))
	var sum usage.Amount
	names := map[string]bool{}
	for i, r := range records {
		body, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if len(body) > 512<<10 {
			t.Errorf("part %d has %d bytes; want at most 512 KiB", i, len(body))
		}
		if int(r.Spec.Part.Index) != i || int(r.Status.Parts) != len(records) {
			t.Errorf("part %d says %d of %d", i, r.Spec.Part.Index, r.Status.Parts)
		}
		amount, err := usage.ParseAmount(r.Status.Totals[0].Exact)
		if err != nil {
			t.Fatal(err)
		}
		sum = sum.Plus(amount)
		names[r.Name] = true
	}
	if sum != whole || len(names) != len(records) || len(records) < 4 {
		t.Errorf("%d parts of %d names sum to %s; want %s", len(records), len(names), sum, whole)
	}
}

func TestTheSameSegmentsGiveTheSameBytes(t *testing.T) {
	s := subject("db")
	s.Attributes = usage.NewAttributes(map[string]string{"b": "2", "a": "1", "c": "3"})
	first, err := json.Marshal(For(final("web", held(s, vcpu, 1000, 0, 10)))[0])
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		again, err := json.Marshal(For(final("web", held(s, vcpu, 1000, 0, 10)))[0])
		if err != nil || string(again) != string(first) {
			t.Fatalf("%s\n%s\n%v", first, again, err)
		}
	}
	other := For(final("web", held(s, vcpu, 1000, 0, 11)))[0]
	if strings.Contains(string(first), other.Status.Digest) {
		t.Error("another second, the same digest")
	}
}

// Who reads the journal may have a subject twice where the ledger has it once.
func TestASubjectThatIsThereTwiceIsOne(t *testing.T) {
	var once, twice []usage.Segment
	for i := range 500 {
		name := strings.Repeat("x", 200) + fmt.Sprint(i)
		s := subject(name)
		once = append(once, held(s, vcpu, 1000, 0, 10), held(s, vcpu, 1000, 20, 30))
		twice = append(twice, held(subject(name), vcpu, 1000, 0, 10), held(subject(name), vcpu, 1000, 20, 30))
	}
	if diff := cmp.Diff(For(final("web", once...)), For(final("web", twice...))); diff != "" {
		t.Errorf("(-once +twice):\n%s", diff)
	}
}

func TestNames(t *testing.T) {
	minute := usage.Interval(hour.Start+5*60, 60)
	cases := map[string]struct {
		deployment string
		interval   usage.Window
		part       int
		namespace  string
		want       string
	}{
		"an hour":                {"web", hour, 0, "shop", "web.2026112120"},
		"a minute":               {"web", minute, 0, "shop", "web.202611212005"},
		"a further part":         {"web", hour, 1, "shop", "web.2026112120.p1"},
		"unattributed":           {"", hour, 0, "shop", "unattributed.2026112120"},
		"called unattributed":    {"unattributed", hour, 0, "shop", "unattributed-1532a206699ec079.2026112120"},
		"letters no name has":    {"Web_1", hour, 0, "shop", "web-1-93f4c8d00cea1ca1.2026112120"},
		"the namespace is gone":  {"web", hour, 0, "usage-system", "shop-web-223fee243be7fa1a.2026112120"},
		"it looks like a hashed": {"web-1a8ff52a24d2c5d1", hour, 0, "shop", "web-1a8ff52a24d2c5d1-7aa4bd0d5899c869.2026112120"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			in := final(c.deployment)
			in.Interval, in.Namespace = c.interval, c.namespace
			if got := Name(in, c.part); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestNamesAreValidAndNeverCollide(t *testing.T) {
	words := rapid.OneOf(
		rapid.SampledFrom([]string{"", "web", "web.2026112120", "web.2026112120.p1", "WEB", "unattributed", "-", "é", strings.Repeat("a", 300)}),
		rapid.StringMatching(`[a-zA-Z0-9._-]{0,40}`), rapid.String(),
	)
	rapid.Check(t, func(t *rapid.T) {
		inputs := map[string]string{}
		for range 10 {
			in := final(words.Draw(t, "deployment"))
			in.Namespace = rapid.SampledFrom([]string{"shop", "usage-system"}).Draw(t, "namespace")
			in.Interval = rapid.SampledFrom([]usage.Window{hour, hour.Next(), usage.Interval(hour.Start, 60)}).Draw(t, "interval")
			part := rapid.IntRange(0, 2).Draw(t, "part")
			name := Name(in, part)
			if errs := validation.IsDNS1123Subdomain(name); len(errs) > 0 {
				t.Fatalf("%q: %v", name, errs)
			}
			identity := fmt.Sprintf("%q %v %d", in.Account.Deployment, in.Interval, part)
			if other, taken := inputs[in.Namespace+"/"+name]; taken && other != identity {
				t.Fatalf("%s and %s are both %s", identity, other, name)
			}
			inputs[in.Namespace+"/"+name] = identity
			if errs := validation.IsValidLabelValue(deploymentLabel(in.Account.Deployment)); len(errs) > 0 {
				t.Fatalf("label of %q: %v", in.Account.Deployment, errs)
			}
		}
	})
}

func TestIntervalLabelsReadBack(t *testing.T) {
	if start, err := ParseIntervalLabel(IntervalLabel(hour)); err != nil || start != hour.Start {
		t.Errorf("got %d, %v; want %d", start, err, hour.Start)
	}
}

// A GPU, its memory and its cores are no sum.
func TestUnlikeThingsHaveTotalsOfTheirOwn(t *testing.T) {
	device, pod := usage.Dimension{Name: "extended_resource", Unit: usage.Count}, subject("pod")
	gpu, cores := held(pod, device.Of("nvidia.com/gpu"), 1000, 0, 3600), held(pod, device.Of("nvidia.com/gpucores"), 25_000, 0, 3600)
	r := For(final("web", gpu, cores))[0]
	want := []v1alpha1.Total{
		{ResourceType: "vm", Dimension: "extended_resource/nvidia.com/gpu", Quantity: "1", Unit: "nvidia.com/gpu-hour", Exact: "3600000", ExactUnit: "millicount-second"},
		{ResourceType: "vm", Dimension: "extended_resource/nvidia.com/gpucores", Quantity: "25", Unit: "nvidia.com/gpucores-hour", Exact: "90000000", ExactUnit: "millicount-second"},
	}
	if diff := cmp.Diff(want, r.Status.Totals); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	if want := "1 nvidia.com/gpu-hours, 25 nvidia.com/gpucores-hours"; r.Status.Summary != want {
		t.Errorf("summary %q; want %q", r.Status.Summary, want)
	}
}

// Names of devices are as long as tenants like: each part fits an object all the same.
func TestPartsOfManyUnlikeThingsFitAnObject(t *testing.T) {
	device, pod := usage.Dimension{Name: "extended_resource", Unit: usage.Count}, subject("pod")
	var segments []usage.Segment
	for i := range 3000 {
		what := fmt.Sprintf("%s.example/%04d", strings.Repeat("d", 170), i)
		segments = append(segments, held(pod, device.Of(what), 1000, 0, 3600))
	}
	for _, r := range For(final("web", segments...)) {
		text, err := json.Marshal(r)
		if err != nil || len(text) > 1<<20 || len(r.Status.Totals) > 1024 {
			t.Fatalf("%s: %d bytes, %d totals, %v", r.Name, len(text), len(r.Status.Totals), err)
		}
	}
}
