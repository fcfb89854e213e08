package lifecycle

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/meter"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// world is a handful of machines that live and die, the ledger that watches
// them through a meter, and the oracle that knows the truth.
type world struct {
	t        *rapid.T
	meter    *meter.Meter
	ledger   *ledger.Ledger
	entry    *ledger.Meter
	oracle   *oracle
	now      int64 // when the next thing happens
	observed int64 // when the last thing was observed
	frontier int64 // the time of the latest write that was delivered
	machines map[string]*machine
	born     int
	journal  map[usage.SegmentKey]usage.Change
	brief    []usage.Change // what has no length, and no key
	sealed   []usage.Window
}

// machine is the truth about one object.
type machine struct {
	name, uid        string
	created          int64
	written          int64
	deployment, tier string
	excluded         bool
	parts            []*part
}

type part struct {
	name                  string
	running               bool
	cpu, memory           int64
	startedAt, finishedAt int64 // as the object states them; 0: it does not
	ended                 int64 // when it last stopped running, stated or not
}

func newWorld(t *rapid.T, compiled *meter.Meter) *world {
	return &world{
		t: t, meter: compiled, ledger: ledger.New(), oracle: newOracle(),
		entry: ledger.NewMeter("machines", begin, compiled.Dimensions()),
		now:   begin, observed: begin, frontier: begin, machines: map[string]*machine{},
		journal: map[usage.SegmentKey]usage.Change{},
	}
}

// step lets some time pass, often to just around an interval's boundary, and
// lets one thing happen.
func (w *world) step() {
	w.pass()
	if rapid.IntRange(0, 9).Draw(w.t, "restart") == 0 {
		w.restart()
	}
	name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(w.t, "machine")
	m := w.machines[name]
	if m == nil {
		w.create(name)
		return
	}
	act := rapid.SampledFrom([]string{
		"resize", "resize", "relabel", "retier", "stop", "start", "finish", "touch", "again", "exclude", "delete", "recreate",
	}).Draw(w.t, "act")
	p := rapid.SampledFrom(m.parts).Draw(w.t, "part")
	switch act {
	case "resize":
		p.cpu, p.memory = w.level(), w.level()*1000
	case "relabel":
		m.deployment = w.deployment()
	case "retier":
		m.tier = rapid.SampledFrom([]string{"gold", "iron"}).Draw(w.t, "tier")
	case "stop":
		p.running, p.finishedAt, p.ended = false, 0, w.now
	case "finish":
		w.finish(m, p)
		return
	case "start":
		w.start(p)
	case "exclude":
		m.excluded = !m.excluded
	case "again": // delivered twice: a replay changes nothing
		w.observe(m, w.observed)
		return
	case "delete":
		w.remove(m)
		return
	case "recreate":
		w.remove(m)
		w.now = w.observed
		w.create(name)
		return
	}
	w.write(m)
}

// pass moves on: not at all, a few seconds, or to a boundary and a second around it.
func (w *world) pass() {
	boundary := usage.Interval(w.now, length).End
	next := rapid.SampledFrom([]int64{
		w.now, w.now + 1, w.now + rapid.Int64Range(2, 25).Draw(w.t, "seconds"), boundary - 1, boundary, boundary + 1,
	}).Draw(w.t, "next")
	w.now = max(w.now, next)
	w.sealThrough(w.now - grace)
}

func (w *world) sealThrough(moment int64) {
	next := usage.Interval(begin, length)
	if len(w.sealed) > 0 {
		next = w.sealed[len(w.sealed)-1].Next()
	}
	for ; next.End <= moment; next = next.Next() {
		w.ledger.Seal(next)
		w.sealed = append(w.sealed, next)
	}
}

func (w *world) level() int64 { return rapid.Int64Range(0, 4).Draw(w.t, "level") * 500 }

// deployment is never unattributed: what then is found within seconds counts from
// the start, and has its own tests.
func (w *world) deployment() string {
	return rapid.SampledFrom([]string{"web", "db", "api"}).Draw(w.t, "deployment")
}

func (w *world) create(name string) {
	w.born++
	m := &machine{
		name: name, uid: fmt.Sprintf("%s-%d", name, w.born), created: w.now, written: w.now,
		deployment: w.deployment(), tier: "iron",
	}
	for i := range rapid.IntRange(1, 2).Draw(w.t, "parts") {
		p := &part{name: fmt.Sprintf("p%d", i), cpu: w.level(), memory: w.level() * 1000}
		if rapid.Bool().Draw(w.t, "starts at once") {
			w.start(p)
		}
		m.parts = append(m.parts, p)
	}
	w.machines[name] = m
	w.write(m)
}

// start makes a part run. It may say since when, or say nothing, or still say
// when it was started before.
func (w *world) start(p *part) {
	if p.running {
		return
	}
	says := rapid.SampledFrom([]string{"says", "says nothing", "says an old one"}).Draw(w.t, "startedAt")
	if says == "says an old one" && p.startedAt == p.ended {
		says = "says" // of what lasted no time, a restart knows nothing: its start may be that of what comes then
	}
	p.running, p.finishedAt = true, 0
	switch says {
	case "says":
		p.startedAt = w.now
	case "says nothing":
		p.startedAt = 0
	}
}

// finish makes a part stop at a moment that the object states, and that is
// written a little later.
func (w *world) finish(m *machine, p *part) {
	if !p.running || m.excluded {
		return
	}
	p.running, p.finishedAt, p.ended = false, w.now, w.now
	w.oracle.set(m.uid, p.name, w.now, nil)
	w.now += rapid.Int64Range(0, 2).Draw(w.t, "reported after")
	w.write(m)
}

// write is a write to the API server now, and its event some time later.
func (w *world) write(m *machine) {
	m.written = w.now
	for _, p := range m.parts {
		if p.finishedAt == 0 || m.excluded {
			w.oracle.set(m.uid, p.name, w.now, m.holds(p))
		}
	}
	w.observe(m, w.delivered())
}

// delivered is when the event of what happens now arrives: soon, or with a
// backlog that a busy operator has let grow.
func (w *world) delivered() int64 {
	return max(w.observed, w.now+rapid.SampledFrom([]int64{0, 0, 1, 2, 5, 9}).Draw(w.t, "delay"))
}

func (w *world) observe(m *machine, at int64) {
	members, err := w.meter.Read(m.object())
	if err != nil {
		w.t.Fatalf("read: %v", err)
	}
	err = w.ledger.Observe(&ledger.Observation{
		Meter: w.entry, UID: m.uid, Members: members,
		Written: m.written, After: w.frontier, Now: at, Existed: m.written != m.created,
	})
	w.frontier = max(w.frontier, m.written)
	if err != nil {
		w.t.Fatalf("observe: %v", err)
	}
	w.observed = at
}

// remove lets the object go. No object says when: it counts when it is seen.
func (w *world) remove(m *machine) {
	at := w.delivered()
	members, err := w.meter.Read(m.object())
	if err != nil {
		w.t.Fatalf("read: %v", err)
	}
	w.ledger.Remove(&ledger.Observation{Meter: w.entry, UID: m.uid, Members: members, After: at, Now: at})
	for _, p := range m.parts {
		w.oracle.set(m.uid, p.name, at, nil)
	}
	w.observed = at
	delete(w.machines, m.name)
}

// holds is what a part holds, by the oracle's cells.
func (m *machine) holds(p *part) held {
	if !p.running || m.excluded {
		return nil
	}
	account := usage.Account{Namespace: "tenant", Deployment: m.deployment}
	return held{
		line{account, m.uid, p.name, m.tier, "cpu"}:    p.cpu,
		line{account, m.uid, p.name, m.tier, "memory"}: p.memory,
	}
}

// object is the machine as the API server has it.
func (m *machine) object() *unstructured.Unstructured {
	labels := map[string]any{"deployment": m.deployment, "tier": m.tier}
	if m.excluded {
		labels["excluded"] = ""
	}
	parts := make([]any, len(m.parts))
	for i, p := range m.parts {
		fields := map[string]any{
			"name": p.name, "running": p.running,
			"cpu": fmt.Sprintf("%dm", p.cpu), "memory": fmt.Sprint(p.memory),
		}
		if p.startedAt != 0 {
			fields["startedAt"] = stamp(p.startedAt)
		}
		if p.finishedAt != 0 {
			fields["finishedAt"] = stamp(p.finishedAt)
		}
		parts[i] = fields
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.com/v1", "kind": "Machine",
		"metadata": map[string]any{
			"name": m.name, "namespace": "tenant", "uid": m.uid, "labels": labels,
			"creationTimestamp": stamp(m.created),
			"managedFields":     []any{map[string]any{"manager": "test", "time": stamp(m.written)}},
		},
		"spec": map[string]any{"parts": parts},
	}}
}

func stamp(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

// restart puts a new ledger in the place of the old one, from what that has told
// the journal, and shows it what there is.
func (w *world) restart() {
	for _, change := range w.ledger.Unwritten() {
		switch {
		case change.Kind == usage.Void:
			delete(w.journal, change.Key())
		case change.HasKey():
			w.journal[change.Key()] = change
		case change.Kind == usage.Put:
			w.brief = append(w.brief, change)
		}
	}
	changes := slices.Clone(w.brief)
	for _, change := range w.journal {
		changes = append(changes, change)
	}
	w.ledger = ledger.New()
	w.entry = ledger.NewMeter("machines", begin, w.meter.Dimensions())
	w.ledger.Restore([]*ledger.Meter{w.entry}, changes, w.sealed, 0)
	for _, m := range w.machines {
		members, err := w.meter.Read(m.object())
		if err != nil {
			w.t.Fatalf("read: %v", err)
		}
		err = w.ledger.Observe(&ledger.Observation{
			Meter: w.entry, UID: m.uid, Members: members,
			Written: m.written, After: w.frontier, Now: w.observed, Origin: ledger.Resumed,
		})
		if err != nil {
			w.t.Fatalf("observe: %v", err)
		}
	}
	if w.ledger.HasUnwritten() {
		w.t.Fatalf("a restart changed something: %v", w.ledger.Unwritten())
	}
}
