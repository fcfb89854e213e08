// Package lifecycle holds random lifecycles against the whole pure path, from
// an object to its record: meter, ledger, record. A brute-force oracle says
// what each record must contain, second by second.
package lifecycle

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/meter"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// draws are what is tried unless flags say otherwise: how many worlds, each of which lives
// through several lifecycles; and the same ones each time, so that CI is not red by chance.
var draws = map[string]string{"rapid.checks": "1000", "rapid.seed": "1"}

func TestMain(m *testing.M) {
	flag.Parse()
	flag.Visit(func(f *flag.Flag) { delete(draws, f.Name) })
	for name, value := range draws {
		if err := flag.Set(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// spec is a meter with everything in it that can split or date usage.
var spec = v1alpha1.UsageMeterSpec{
	ResourceType: "machine",
	Target:       v1alpha1.TargetReference{Group: "example.com", Kind: "Machine"},
	Exclude:      "has(self.metadata.labels.excluded)",
	Active:       "part.running",
	StartTime:    "part.?startedAt.orValue('')",
	EndTime:      "part.?finishedAt.orValue('')",
	Deployment:   "self.metadata.labels.deployment",
	Attributes:   map[string]v1alpha1.Expression{"tier": "self.metadata.labels.tier"},
	ForEach:      &v1alpha1.ForEach{In: "self.spec.parts", As: "part", Key: "part.name"},
	Dimensions: []v1alpha1.Dimension{
		{Name: "cpu", Unit: "core", Quantity: "part.cpu"},
		{Name: "memory", Unit: "byte", Quantity: "quantity(part.memory)"},
	},
}

const (
	length    = 60 // of an interval, in seconds
	intervals = 5
	begin     = int64(1_800_000_000 / 3600 * 3600)
	grace     = 10
)

func TestEveryRecordEqualsTheOracle(t *testing.T) {
	compiled, err := meter.Compile("machines", &spec, true)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, compiled)
		for w.now < begin+intervals*length {
			w.step()
		}
		w.sealThrough(begin + intervals*length)
		for _, interval := range w.intervals() {
			w.compareRecords(interval)
		}
		w.compareConservation()
	})
}

// intervals are those that the world lived through.
func (w *world) intervals() []usage.Window {
	var windows []usage.Window
	for at := begin; at < begin+intervals*length; at += length {
		windows = append(windows, usage.Window{Start: at, End: at + length})
	}
	return windows
}

// line is one cell of the oracle's table.
type line struct {
	Account                        usage.Account
	Instance, Container, Tier, Dim string
}

// compareRecords holds the Final records of an interval against the oracle.
func (w *world) compareRecords(interval usage.Window) {
	got := map[line]string{}
	for _, account := range w.ledger.Accounts(interval, w.now) {
		key := record.Key{Account: account, Interval: interval}
		segments := w.ledger.Cut(account, interval, w.now)
		for _, r := range record.For(record.Input{Key: key, Segments: segments, Namespace: account.Namespace, Final: true}) {
			w.readRecord(r, account, got)
		}
	}
	if diff := cmp.Diff(w.oracle.lines(interval), got); diff != "" {
		w.t.Fatalf("interval %d: the records differ from the oracle (-oracle +records):\n%s", (interval.Start-begin)/length, diff)
	}
}

// readRecord adds a record's segments to got, and holds its totals against them.
func (w *world) readRecord(r *v1alpha1.UsageRecord, account usage.Account, got map[line]string) {
	sums := map[string]usage.Amount{}
	for _, entry := range r.Status.Usage {
		ends := map[string]int64{}
		instance := entry.Resource.UID
		for _, s := range entry.Segments {
			key := line{account, instance, entry.Container, string(entry.Attributes["tier"]), s.Dimension}
			amount := parse(w.t, s.Exact)
			got[key] = parse(w.t, orZero(got[key])).Plus(amount).String()
			sums[s.Dimension] = sums[s.Dimension].Plus(amount)
			if s.StartTime.Unix() < ends[s.Dimension] {
				w.t.Fatalf("%s: %s of %s overlaps itself at %s", r.Name, s.Dimension, entry.Container, s.StartTime)
			}
			ends[s.Dimension] = s.EndTime.Unix()
		}
	}
	for _, total := range r.Status.Totals {
		if total.Exact != sums[total.Dimension].String() {
			w.t.Fatalf("%s: total %s is %s, its segments sum to %s", r.Name, total.Dimension, total.Exact, sums[total.Dimension])
		}
	}
}

// compareConservation cuts the whole time in one piece and at random places:
// both sum to the same.
func (w *world) compareConservation() {
	whole := usage.Window{Start: begin, End: begin + intervals*length}
	cut := whole.Start + rapid.Int64Range(0, whole.Seconds()).Draw(w.t, "cut")
	for _, account := range w.ledger.Accounts(whole, w.now) {
		var sum, parts usage.Amount
		for _, s := range w.ledger.Cut(account, whole, w.now) {
			sum = sum.Plus(s.Within(whole))
		}
		for _, part := range []usage.Window{{Start: whole.Start, End: cut}, {Start: cut, End: whole.End}} {
			for _, s := range w.ledger.Cut(account, part, w.now) {
				parts = parts.Plus(s.Within(part))
			}
		}
		if sum != parts {
			w.t.Fatalf("%v: cut at %d the parts sum to %s, the whole is %s", account, cut, parts, sum)
		}
	}
}

func parse(t *rapid.T, text string) usage.Amount {
	amount, err := usage.ParseAmount(text)
	if err != nil {
		t.Fatal(err)
	}
	return amount
}

func orZero(text string) string {
	if text == "" {
		return "0"
	}
	return text
}
