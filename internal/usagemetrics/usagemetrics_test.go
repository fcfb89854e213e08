package usagemetrics

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

const hour0 = int64(1_800_000_000)

// machineChange is a virtual machine that begins, or has ended.
func machineChange(namespace, name, dimension string, level, start, end int64) usage.Change {
	object := usage.Object{Kind: "VM", Name: name, UID: namespace + "/" + name}
	c := usage.Change{Segment: usage.Segment{
		Meter: "vm", Dimension: usage.Dimension{Name: dimension, Unit: usage.Core}, Level: level,
		Subject: &usage.Subject{ResourceType: "vm", Resource: object, Instance: object, Account: usage.Account{Namespace: namespace, NamespaceUID: namespace}},
		Start:   usage.Boundary{At: start, Evidence: usage.Observed},
	}}
	if end != 0 {
		c.End = usage.Boundary{At: end, Evidence: usage.Observed}
	}
	return c
}

func gathered(t interface{ Fatal(...any) }, c prometheus.Collector) []*dto.MetricFamily {
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// scraped are the series of a metric, as the text format has them.
func scraped(t interface{ Fatal(...any) }, c prometheus.Collector, name string) map[string]float64 {
	found := map[string]float64{}
	for _, family := range gathered(t, c) {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			found[strings.Join(labels, ",")] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return found
}

// machines are virtual machines that begin and end, hour by hour, and the hours are sealed.
type machines struct {
	line    *timeline.Timeline
	now     int64
	running map[string]usage.Change
	sealed  float64 // in the last hour
	made    int
}

func (m *machines) hour(t *rapid.T, namespaces int) {
	var c timeline.Commit
	m.sealed = 0
	for _, key := range slices.Sorted(maps.Keys(m.running)) {
		x := m.running[key]
		if rapid.IntRange(0, 2).Draw(t, "ends") == 0 {
			x.End = usage.Boundary{At: m.now + rapid.Int64Range(1, 3599).Draw(t, "end"), Evidence: usage.Observed}
			c.Changes = append(c.Changes, x)
			delete(m.running, key)
			m.sealed += float64(x.Level * (x.End.At - m.now))
			continue
		}
		m.sealed += float64(x.Level * 3600)
	}
	for range rapid.IntRange(0, 4).Draw(t, "begin") {
		m.made++
		x := machineChange(fmt.Sprint("ns-", rapid.IntRange(0, namespaces-1).Draw(t, "namespace")), fmt.Sprint("vm-", m.made),
			rapid.SampledFrom([]string{"vcpu", "device/a", "device/b", "device/c"}).Draw(t, "dimension"),
			rapid.Int64Range(1, 100).Draw(t, "level"), m.now+rapid.Int64Range(0, 3599).Draw(t, "start"), 0)
		c.Changes = append(c.Changes, x)
		m.running[fmt.Sprint(m.made)] = x
		m.sealed += float64(x.Level * (m.now + 3600 - x.Start.At))
	}
	c.Sealed = []usage.Window{{Start: m.now, End: m.now + 3600}}
	m.now += 3600
	m.line.Take(c)
	m.line.Publish()
}

func (m *machines) held() float64 {
	sum := 0.0
	for _, x := range m.running {
		sum += float64(x.Level)
	}
	return sum
}

// watcher is a Prometheus that adds up how series grow from scrape to scrape.
type watcher struct {
	collector *Collector
	last      map[string]float64 // nil: nothing was scraped yet
	highest   map[string]float64 // of each series
	grown     float64
}

// scrape reads the counters.
func (w *watcher) scrape(t *rapid.T) {
	now := scraped(t, w.collector, "usage_operator_unit_seconds_total")
	for labels, value := range now {
		if value < w.highest[labels] {
			t.Fatalf("%s was %v, and is %v", labels, w.highest[labels], value)
		}
		w.highest[labels] = value
		if was, there := w.last[labels]; there {
			w.grown += value - was
		}
	}
	w.last = now
}

// places checks what is held now, and by how many series of which namespaces.
func (w *watcher) places(t *rapid.T, total float64, selected map[string]bool) {
	c, budget := w.collector, w.collector.options.Series
	own, sum := map[string]int{}, 0.0
	for labels, value := range scraped(t, c, "usage_operator_held") {
		sum += value
		_, after, _ := strings.Cut(labels, "namespace=")
		name, _, _ := strings.Cut(after, ",")
		if name != Other {
			own[name]++
		}
		if name != Other && selected != nil && !selected[name] {
			t.Fatalf("%s has a series, and is not selected", name)
		}
	}
	if sum != total {
		t.Fatalf("all series hold %v, want %v", sum, total)
	}
	wanted := map[string]int{}
	for _, r := range c.totals.Awake() {
		if selected == nil || selected[r.Namespace] {
			wanted[r.Namespace]++
		}
	}
	series, folded := 0, 0
	for name, want := range wanted {
		series, folded = series+own[name], folded+want-own[name]
		if want <= budget/len(wanted) && own[name] != want {
			t.Fatalf("%s has %d series, and wants %d of %d for %d namespaces", name, own[name], want, budget, len(wanted))
		}
	}
	if series > budget || folded != c.folded {
		t.Fatalf("%d series of %d, and %d are folded, where the metric says %d", series, budget, folded, c.folded)
	}
}

// Whatever tenants hold: there are no more series than the budget and those of Other,
// the sum over all series is what is held, and the sum of the series' increases what was
// sealed. A series never decreases, and a namespace within its share has all of its own.
func TestSumsStayRightWithinTheBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machines{line: timeline.New(), now: hour0, running: map[string]usage.Change{}}
		m.line.Take(timeline.Commit{Meters: []timeline.Meter{{Name: "vm", ResourceType: "vm", Since: hour0, Dimensions: []usage.Dimension{
			{Name: "vcpu", Unit: usage.Core}, {Name: "device", Unit: usage.Core},
		}}}})
		var selected map[string]bool
		w := &watcher{highest: map[string]float64{}, collector: New(Options{Series: rapid.IntRange(0, 12).Draw(t, "budget"), Snapshot: m.line.Snapshot})}
		if rapid.Bool().Draw(t, "selects") {
			selected = map[string]bool{}
			w.collector.options.Selected = func() (map[string]bool, error) { return selected, nil }
		}
		var sealed float64
		for range rapid.IntRange(1, 60).Draw(t, "hours") {
			if selected != nil && rapid.IntRange(0, 3).Draw(t, "labels change") == 0 {
				selected = map[string]bool{"ns-0": rapid.Bool().Draw(t, "ns-0"), "ns-1": rapid.Bool().Draw(t, "ns-1")}
			}
			m.hour(t, 4)
			if w.last != nil {
				sealed += m.sealed
			}
			if rapid.IntRange(0, 3).Draw(t, "no scrape") == 0 {
				continue
			}
			w.scrape(t)
			w.places(t, m.held(), selected)
			if w.grown != sealed {
				t.Fatalf("the series have grown by %v, and %v were sealed", w.grown, sealed)
			}
		}
	})
}

// The first series that there are stay, as far as the share goes.
func TestASeriesKeepsItsPlace(t *testing.T) {
	line := timeline.New()
	c := New(Options{Series: 3, Snapshot: line.Snapshot})
	commit := func(changes ...usage.Change) map[string]float64 {
		line.Take(timeline.Commit{Changes: changes})
		line.Publish()
		return scraped(t, c, "usage_operator_held")
	}
	commit(machineChange("m", "1", "d", 1, hour0, 0), machineChange("m", "2", "e", 1, hour0, 0))
	got := commit(machineChange("m", "3", "a", 1, hour0, 0), machineChange("m", "4", "b", 5, hour0, 0))
	want := map[string]float64{
		"dimension=a,namespace=m,resource_type=vm,unit=millicore": 1, "dimension=d,namespace=m,resource_type=vm,unit=millicore": 1, "dimension=e,namespace=m,resource_type=vm,unit=millicore": 1,
		"dimension=a,namespace=(other),resource_type=vm,unit=millicore": 0, "dimension=b,namespace=(other),resource_type=vm,unit=millicore": 5,
		"dimension=d,namespace=(other),resource_type=vm,unit=millicore": 0, "dimension=e,namespace=(other),resource_type=vm,unit=millicore": 0,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	got = commit(machineChange("small", "5", "d", 7, hour0, 0))
	if got["dimension=d,namespace=small,resource_type=vm,unit=millicore"] != 7 {
		t.Errorf("a namespace of one series has none: %v", got)
	}
}

// While the namespaces cannot be read, those have series that had them.
func TestSelectedNamespacesAreAsTheyWere(t *testing.T) {
	line := timeline.New()
	line.Take(timeline.Commit{Changes: []usage.Change{machineChange("shop", "1", "vcpu", 1, hour0, 0)}})
	line.Publish()
	failure, failed := error(nil), 0
	c := New(Options{
		Series: 10, Snapshot: line.Snapshot, Failed: func(error) { failed++ },
		Selected: func() (map[string]bool, error) { return map[string]bool{"shop": true}, failure },
	})
	const series = "dimension=vcpu,namespace=shop,resource_type=vm,unit=millicore"
	for range 2 {
		if got := scraped(t, c, "usage_operator_held"); got[series] != 1 {
			t.Errorf("got %v", got)
		}
		failure = errors.New("the API server is away")
	}
	if failed == 0 {
		t.Error("nobody is told")
	}
}

func TestMetricsOfUsage(t *testing.T) {
	line := timeline.New()
	node := machineChange("usage-system", "node", "vcpu", 64_000, hour0, 0)
	node.Subject.ResourceType = "node_pool"
	less, more := machineChange("shop", "1", "vcpu", 2000, hour0, hour0+60), machineChange("shop", "1", "vcpu", 1000, hour0, hour0+60)
	less.Kind, more.Kind = usage.Less, usage.More
	gpu := machineChange("shop", "2", usage.Dimension{Name: "device"}.Of("a.com/gpu").Name, 3000, hour0+3000, 0)
	line.Take(timeline.Commit{
		Changes: []usage.Change{node, machineChange("shop", "1", "vcpu", 2000, hour0, 0), gpu, less, more},
		Sealed:  []usage.Window{{Start: hour0, End: hour0 + 3600}},
	})
	line.Publish()
	c := New(Options{Namespace: "usage-system", Series: 2, ByDeployment: true, Snapshot: line.Snapshot})
	for name, want := range map[string]map[string]float64{
		"held": {
			"deployment=,dimension=device/a.com/gpu,namespace=shop,resource_type=vm,unit=millicore":      3000,
			"deployment=,dimension=vcpu,namespace=usage-system,resource_type=node_pool,unit=millicore":   64_000,
			"deployment=(other),dimension=device,namespace=(other),resource_type=vm,unit=millicore":      0,
			"deployment=(other),dimension=vcpu,namespace=(other),resource_type=node_pool,unit=millicore": 0,
			"deployment=(other),dimension=vcpu,namespace=(other),resource_type=vm,unit=millicore":        2000,
		},
		"corrected_unit_seconds_total": {
			"dimension=device,kind=Less,resource_type=vm,unit=millicore":      0,
			"dimension=device,kind=More,resource_type=vm,unit=millicore":      0,
			"dimension=vcpu,kind=Less,resource_type=node_pool,unit=millicore": 0,
			"dimension=vcpu,kind=More,resource_type=node_pool,unit=millicore": 0,
			"dimension=vcpu,kind=Less,resource_type=vm,unit=millicore":        120_000,
			"dimension=vcpu,kind=More,resource_type=vm,unit=millicore":        60_000,
		},
		"unit_seconds_total": {
			"deployment=,dimension=device/a.com/gpu,namespace=shop,resource_type=vm,unit=millicore":      600 * 3000,
			"deployment=,dimension=vcpu,namespace=usage-system,resource_type=node_pool,unit=millicore":   3600 * 64_000,
			"deployment=(other),dimension=device,namespace=(other),resource_type=vm,unit=millicore":      0,
			"deployment=(other),dimension=vcpu,namespace=(other),resource_type=node_pool,unit=millicore": 0,
			"deployment=(other),dimension=vcpu,namespace=(other),resource_type=vm,unit=millicore":        0, // of this run
		},
		"node_capacity":       {"dimension=vcpu,unit=millicore": 64_000},
		"usage_series":        {"": 2},
		"usage_series_budget": {"": 2},
		"usage_series_folded": {"": 1},
	} {
		if got := scraped(t, c, "usage_operator_"+name); !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	problems, err := promlint.NewWithMetricFamilies(gathered(t, c)).Lint()
	if err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

// A replica that stands by shows nothing.
func TestNothingIsShownWithoutALedger(t *testing.T) {
	c := New(Options{Series: 2, Snapshot: func() *timeline.Snapshot { return nil }})
	if families := gathered(t, c); len(families) != 0 {
		t.Errorf("%d metrics", len(families))
	}
}

// BenchmarkCollect is a scrape after a commit: 10,000 machines of three dimensions each.
func BenchmarkCollect(b *testing.B) {
	for _, namespaces := range []int{100, 5_000} {
		b.Run(fmt.Sprint(namespaces, " namespaces"), func(b *testing.B) {
			line := timeline.New()
			var commit timeline.Commit
			for i := range 10_000 {
				for _, dimension := range []string{"vcpu", "memory", "gpu"} {
					commit.Changes = append(commit.Changes, machineChange(fmt.Sprint("ns-", i%namespaces), fmt.Sprint("vm-", i), dimension, 1, hour0, 0))
				}
			}
			line.Take(commit)
			line.Publish()
			c := New(Options{Series: 2000, Snapshot: line.Snapshot})
			registry := prometheus.NewRegistry()
			registry.MustRegister(c)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				line.Take(timeline.Commit{Time: int64(i)})
				line.Publish()
				if _, err := registry.Gather(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
