package report_test

import (
	"context"
	"fmt"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// stock is a cluster whose capacity is compared with what is held of it, second by second.
type stock struct {
	commit timeline.Commit
	since  map[string]int64
	gaps   []usage.Stretch
	held   []usage.Change
}

const (
	stockStart  = int64(1_800_000_000) // begins within an hour
	stockLength = int64(4 * 3600)
)

var stockMeters = map[string]usage.Dimension{
	"node_pool": {Name: "vcpu", Unit: usage.Core}, "container": {Name: "cpu", Unit: usage.Core}, "vm": {Name: "vcpu", Unit: usage.Core},
}

func drawStock(t *rapid.T) *stock {
	s := &stock{since: map[string]int64{}}
	s.commit.Time = stockStart + stockLength
	for _, name := range []string{"node_pool", "container", "vm"} {
		s.since[name] = stockStart + rapid.SampledFrom([]int64{-100, 0, 777, 5000}).Draw(t, name+" since")
		s.commit.Meters = append(s.commit.Meters, timeline.Meter{Name: name, ResourceType: name, Since: s.since[name], Dimensions: []usage.Dimension{stockMeters[name]}})
	}
	for range rapid.IntRange(0, 2).Draw(t, "gaps") {
		start := stockStart + rapid.Int64Range(0, stockLength-100).Draw(t, "gap")
		s.gaps = append(s.gaps, usage.Stretch{
			Meter:    rapid.SampledFrom([]string{"node_pool", "container", "vm"}).Draw(t, "of"),
			Window:   usage.Window{Start: start, End: start + rapid.Int64Range(1, 4000).Draw(t, "long")},
			Coverage: rapid.SampledFrom([]usage.Coverage{usage.CoverageUnknown, usage.CoverageEstimated}).Draw(t, "coverage"),
		})
	}
	s.commit.Coverage = s.gaps
	for i := range rapid.IntRange(0, 8).Draw(t, "held") {
		s.hold(t, i)
	}
	s.commit.Changes = s.held
	return s
}

func (s *stock) hold(t *rapid.T, i int) {
	resourceType := rapid.SampledFrom([]string{"node_pool", "container", "vm"}).Draw(t, "type")
	account := usage.Account{Namespace: "usage-system"} // as what is cluster-scoped
	if resourceType != "node_pool" {
		account = usage.Account{Namespace: "shop", NamespaceUID: "shop-uid", Deployment: rapid.SampledFrom([]string{"", "web"}).Draw(t, "deployment")}
	}
	object := usage.Object{Kind: "Thing", Name: fmt.Sprint("o", i), UID: fmt.Sprint("u", i)}
	start := max(s.since[resourceType], stockStart) + rapid.Int64Range(0, stockLength/2).Draw(t, "start")
	s.held = append(s.held, usage.Change{Segment: usage.Segment{
		Meter: resourceType, Dimension: stockMeters[resourceType], Level: rapid.Int64Range(1, 5000).Draw(t, "level"),
		Subject: &usage.Subject{ResourceType: resourceType, Resource: object, Instance: object, Account: account},
		Start:   usage.Boundary{At: start, Evidence: usage.Observed},
		End:     usage.Boundary{At: start + rapid.Int64Range(1, stockLength).Draw(t, "end"), Evidence: usage.Observed},
	}})
}

// known tells whether a second is known to both sides.
func (s *stock) known(at int64) bool {
	if at < s.since["node_pool"] || at < s.since["container"] {
		return false
	}
	for _, gap := range s.gaps {
		if gap.Coverage == usage.CoverageUnknown && gap.Contains(at) && at >= s.since[gap.Meter] {
			return false
		}
	}
	return true
}

// level is what is held at a second: of a type, and of that under no deployment.
func (s *stock) level(at int64, resourceType string) (all, unassigned int64) {
	for i := range s.held {
		x := &s.held[i]
		if x.Subject.ResourceType != resourceType || at < x.Start.At || at >= x.End.At {
			continue
		}
		all += x.Level
		if x.Subject.Deployment == "" {
			unassigned += x.Level
		}
	}
	return all, unassigned
}

// Of each window, what is held, idle and beyond the capacity is what a comparison of every
// second says, and adds up; what is not known is not compared.
func TestCapacityIsWhatIsHeldAndWhatIsIdle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawStock(t)
		ledger := timeline.New()
		ledger.Take(s.commit)
		ledger.Publish()
		from := stockStart + rapid.Int64Range(-7000, 7000).Draw(t, "from")
		zone := time.FixedZone("+00:30", 1800)
		w := usage.Window{Start: from, End: from + rapid.Int64Range(1, stockLength).Draw(t, "window")}
		windows, err := report.Cut(w, rapid.SampledFrom([]timeline.Size{timeline.None, timeline.Hour, timeline.Day}).Draw(t, "size"), zone, 100)
		if err != nil {
			t.Fatal(err)
		}
		got, err := report.Comparisons[0].Balances(context.Background(), ledger.Snapshot(), windows, s.commit.Time)
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range windows {
			w.End = max(w.Start, min(w.End, s.commit.Time))
			s.compare(t, w, &got[i])
		}
	})
}

// compare compares a balance with what every second of its window says.
func (s *stock) compare(t *rapid.T, w usage.Window, got *report.Balance) {
	var compared, capacity, attributed, unattributed, idle, beyond int64
	var hourCapacity, hourHeld int64
	end := func() {
		idle, beyond = idle+max(0, hourCapacity-hourHeld), beyond+max(0, hourHeld-hourCapacity)
		hourCapacity, hourHeld = 0, 0
	}
	for at := w.Start; at < w.End; at++ {
		// A piece of known time ends where an hour does, or where something is unknown.
		if at%3600 == 0 || !s.known(at) {
			end()
		}
		if !s.known(at) {
			continue
		}
		compared++
		there, _ := s.level(at, "node_pool")
		containers, plain := s.level(at, "container")
		machines, alone := s.level(at, "vm")
		capacity, hourCapacity = capacity+there, hourCapacity+there
		attributed += containers + machines - plain - alone
		unattributed += plain + alone
		hourHeld += containers + machines
	}
	end()
	want := fmt.Sprint(compared, w.Seconds()-compared, capacity, attributed, unattributed, idle, beyond)
	if text := fmt.Sprint(got.Compared, got.Unknown, got.Capacity, got.Attributed, got.Unattributed, got.Idle, got.Beyond); text != want {
		t.Fatalf("in %v it is\n%s, want\n%s", w, text, want)
	}
	left, right := whole(t, got.Attributed, got.Unattributed, got.Idle), whole(t, got.Capacity, got.Beyond)
	if left.Cmp(right) != 0 {
		t.Fatalf("%s is held and idle, of %s", left, right)
	}
}

func whole(t *rapid.T, amounts ...usage.Amount) *big.Int {
	sum := new(big.Int)
	for _, a := range amounts {
		n, ok := new(big.Int).SetString(a.String(), 10)
		if !ok {
			t.Fatalf("%s is no number", a)
		}
		sum.Add(sum, n)
	}
	return sum
}
