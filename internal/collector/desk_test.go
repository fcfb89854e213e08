package collector

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/meter"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// desk is a collector that is handed its events, without an API server.
type desk struct {
	*Collector
	clock *clocktesting.FakeClock
	feeds map[string]*feed
}

var scopes = map[string]meta.RESTScope{
	"Pod": meta.RESTScopeNamespace, "PersistentVolumeClaim": meta.RESTScopeNamespace, "VirtualMachineInstance": meta.RESTScopeNamespace,
	"Service": meta.RESTScopeNamespace, "Gateway": meta.RESTScopeNamespace,
	"Node": meta.RESTScopeRoot, "PersistentVolume": meta.RESTScopeRoot, "ClusterUserDefinedNetwork": meta.RESTScopeRoot,
}

type failer interface {
	Helper()
	Fatal(args ...any)
}

// newDesk applies the built-in meters, each to the kind that it is named with.
func newDesk(t failer, kinds map[string]schema.GroupVersionKind) *desk {
	t.Helper()
	fake := clocktesting.NewFakeClock(time.Unix(1000, 0))
	d := &desk{
		Collector: New(Options{Clock: fake, Mapper: meta.NewDefaultRESTMapper(nil), Namespace: "metering"}),
		clock:     fake, feeds: map[string]*feed{},
	}
	d.ctx = context.Background()
	d.namespaces["shop"] = namespace{uid: "ns-1"}
	names := make([]string, 0, len(kinds))
	for name := range kinds {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		kind := kinds[name]
		f := d.feeds[kind.Kind]
		if f == nil {
			f = &feed{
				collector: d.Collector, whole: true, cancel: func() {}, settled: make(chan struct{}), waited: map[*feed]struct{}{},
				mapping: &meta.RESTMapping{GroupVersionKind: kind, Scope: scopes[kind.Kind]},
				source:  source.New(nil, nil, fake, source.Options{}),
			}
			d.feeds[kind.Kind] = f
			d.Collector.feeds[kind.GroupKind()] = f
			d.turns.enter(f)
		}
		compiled := builtinMeter(t, name, f.namespaced())
		at := newMetering(compiled, "1", ledger.NewMeter(name, 1000, compiled.Dimensions()))
		at.feed = f
		f.meters = append(f.meters, at)
		d.meters[name] = at
	}
	for _, f := range d.feeds { // nobody waits: a test says what comes when
		for _, other := range d.feeds {
			f.waited[other] = struct{}{}
		}
	}
	return d
}

var compiledMeters sync.Map // by name: to compile one takes longer than most of these tests

func builtinMeter(t failer, name string, namespaced bool) *meter.Meter {
	t.Helper()
	if compiled, done := compiledMeters.Load(name); done {
		return compiled.(*meter.Meter)
	}
	text, err := os.ReadFile("../../config/meters/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	m := &v1alpha1.UsageMeter{}
	if err := yaml.UnmarshalStrict(text, m); err != nil {
		t.Fatal(err)
	}
	compiled, err := meter.Compile(name, &m.Spec, namespaced)
	if err != nil {
		t.Fatal(err)
	}
	compiledMeters.Store(name, compiled)
	return compiled
}

// settle tells that all kinds have been listed.
func (d *desk) settle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.feeds {
		f.settle()
	}
}

func (d *desk) readers(f *feed) []reader {
	var readers []reader
	for _, at := range f.meters {
		readers = append(readers, reader{at: at, meter: at.meter})
	}
	return readers
}

// sees delivers an object as it was written at the moment; it comes when the clock is at now.
func (d *desk) sees(t failer, text string, origin ledger.Origin, written, now int64) {
	t.Helper()
	object := parsed(t, text)
	d.clock.SetTime(time.Unix(now, 0))
	f := d.feeds[object.GetKind()]
	e := event{revision: uint64(written), resourceVersion: fmt.Sprint(written), written: written, now: now, before: now, origin: origin}
	if origin != ledger.First {
		e.after, e.existed = written-1, object.GetCreationTimestamp().Unix() < written
	}
	f.take(object, e, d.readers(f))
}

// late delivers a change of which it is known when it was, long after that.
func (d *desk) late(t failer, text string, written, now int64) {
	t.Helper()
	object := parsed(t, text)
	d.clock.SetTime(time.Unix(now, 0))
	f := d.feeds[object.GetKind()]
	f.take(object, event{
		revision: uint64(written), resourceVersion: fmt.Sprint(written), written: written, now: now, after: written, before: written,
		origin: ledger.Live, existed: object.GetCreationTimestamp().Unix() < written,
	}, d.readers(f))
}

// removed delivers that an object went at the moment.
func (d *desk) removed(t failer, text string, at, now int64) {
	t.Helper()
	object := parsed(t, text)
	d.clock.SetTime(time.Unix(now, 0))
	f := d.feeds[object.GetKind()]
	f.drop(object, event{revision: uint64(at), resourceVersion: fmt.Sprint(at), now: now, after: at, before: at, origin: ledger.Live}, d.readers(f))
}

func parsed(t failer, text string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = object.UnmarshalJSON(raw)
	}
	if err != nil {
		t.Fatal(text, err)
	}
	return object
}

// cores are the stretches in which cores were held, until 1100, in order.
func (d *desk) cores() []string {
	const now = 1100
	window := usage.Window{Start: 0, End: now}
	var found []usage.Segment
	for _, account := range d.Accounts(window, now) {
		for _, s := range d.Cut(account, window, now) {
			if s.Dimension.Name == "cpu" {
				found = append(found, s)
			}
		}
	}
	slices.SortFunc(found, func(a, b usage.Segment) int { return cmp.Compare(a.Start.At, b.Start.At) })
	lines := []string{}
	for _, s := range found {
		end := s.End.At
		if s.End.IsZero() {
			end = now
		}
		line := fmt.Sprintf("%s %d [%d, %d)", s.Subject.Instance.Name, s.Level, s.Start.At, end)
		lines = append(lines, line)
	}
	return lines
}

func stamped(at int64) string { return time.Unix(at, 0).UTC().Format(time.RFC3339) }
