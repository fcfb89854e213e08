package usagecli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// many is how many segments of vcpu the busy machine has, each of ten seconds: more than fit on two pages.
const many = 12_000

// busy is a ledger with a machine that was resized very often, has memory that it kept all the time, and
// of which some was corrected.
func busy() *timeline.Timeline {
	vcpu, memory := usage.Dimension{Name: "vcpu", Unit: usage.Core}, usage.Dimension{Name: "memory", Unit: usage.Byte}
	object := usage.Object{APIVersion: "kubevirt.io/v1", Kind: "VirtualMachine", Name: "busy", UID: "uid-busy"}
	subject := &usage.Subject{ResourceType: "vm", Resource: object, Instance: object, Account: usage.Account{Namespace: "shop", NamespaceUID: "uid-shop", Deployment: "web"}}
	held := func(d usage.Dimension, level, start, end int64) usage.Change {
		return usage.Change{Segment: usage.Segment{
			Meter: "vm", Subject: subject, Dimension: d, Level: level,
			Start: usage.Boundary{At: day + start, Evidence: usage.Observed}, End: usage.Boundary{At: day + end, Evidence: usage.Observed},
		}}
	}
	less := held(memory, 16<<30, 20_000, 100_000)
	less.Kind = usage.Less
	c := timeline.Commit{
		Time: day + 72*3600, Sealed: hours(day, day+71*3600),
		Meters:  []timeline.Meter{{Name: "vm", ResourceType: "vm", Since: day, Dimensions: []usage.Dimension{vcpu, memory}}},
		Changes: []usage.Change{held(memory, 16<<30, 0, 10*many), less},
	}
	for i := range int64(many) {
		c.Changes = append(c.Changes, held(vcpu, 1001+i%7, i*10, i*10+10))
	}
	line := timeline.New()
	line.Take(c)
	line.Publish()
	return line
}

// A resource that is on several pages is one to whoever asks for it, with each segment once and all that
// it used.
func TestAResourceOnSeveralPagesIsOne(t *testing.T) {
	line := busy()
	shop := "--kubeconfig=" + kubeconfig(t, clusterOf(t, line), "shop", "shop")
	r := onlyResource(t, shop)
	if len(r.Segments) != many+1 || len(r.Corrections) != 1 {
		t.Fatalf("%d segments, %d corrections: want %d and one", len(r.Segments), len(r.Corrections), many+1)
	}
	if got, want := totalsShown(r), totalsHeld(t, line); got != want {
		t.Errorf("the totals are\n%s\nwant\n%s", got, want)
	}
	if s := &r.Segments[0]; s.Dimension != "memory" || s.Seconds != 10*many || s.Quantity != "533.333333" {
		t.Errorf("memory was held for %d s, %s %s: want %d, 533.333333", s.Seconds, s.Quantity, s.HourUnit, 10*many)
	}
	if s := &r.Corrections[0]; s.Seconds != 80_000 || s.Quantity != "355.555556" {
		t.Errorf("memory is corrected by %d s, %s %s: want 80000, 355.555556", s.Seconds, s.Quantity, s.HourUnit)
	}
	inTime := slices.IsSortedFunc(r.Segments[1:], func(a, b wire.Segment) int { return cmp.Compare(a.Start.Time, b.Start.Time) })
	whole := !slices.ContainsFunc(r.Segments[1:], func(s wire.Segment) bool { return s.Dimension != "vcpu" || s.Seconds != 10 })
	if !inTime || !whole {
		t.Errorf("segments of vcpu are in the order of time: %t, and whole: %t", inTime, whole)
	}
	if _, out, _ := run("get", "vm/busy", shop); strings.Count(out, "vm/busy in shop") != 1 || !strings.Contains(out, "memory 177.777778 GiB-hour") {
		t.Errorf("people see %.300s", out)
	}
}

// onlyResource is the one that get says.
func onlyResource(t *testing.T, kubeconfig string) *wire.Resource {
	t.Helper()
	status, out, stderr := run("get", "vm/busy", "-o", "json", kubeconfig)
	var list wire.ResourceList
	if err := json.Unmarshal([]byte(out), &list); err != nil || status != exitDone {
		t.Fatalf("status %d, %v: %s", status, err, stderr)
	}
	if len(list.Resources) != 1 || len(list.Meters) != 1 {
		t.Fatalf("%d resources, %d meters: want one of each", len(list.Resources), len(list.Meters))
	}
	return &list.Resources[0]
}

func totalsShown(r *wire.Resource) string {
	var lines []string
	for _, total := range r.Totals {
		lines = append(lines, fmt.Sprint(total.Dimension, " ", total.Exact, " ", total.Quantity, " ", total.Unit))
	}
	return strings.Join(lines, "\n")
}

// totalsHeld are those of the only resource, in one part.
func totalsHeld(t *testing.T, line *timeline.Timeline) string {
	t.Helper()
	w := usage.Window{Start: day, End: day + 72*3600}
	whole, _, err := line.Snapshot().Resources(t.Context(), &timeline.Filters{}, w, timeline.Place{}, timeline.Bounds{Resources: 1, Segments: 2 * many})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, total := range whole[0].Totals(w) {
		lines = append(lines, fmt.Sprint(total.Name, " ", total.Amount, " ", total.Unit.Hours(total.Amount, 6), " ", total.Unit.HourUnit(total.Name)))
	}
	return strings.Join(lines, "\n")
}
