package collector

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	metadatafake "k8s.io/client-go/metadata/fake"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/meter"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
)

const second0 = 1_000_000

// driven is a collector that took up a journal, with a feed of claims that the test
// drives in its source's place.
func driven(t *testing.T, state *journal.State) (*Collector, *feed) {
	t.Helper()
	clock := clocktesting.NewFakeClock(time.Unix(second0+3600, 0))
	c := New(Options{
		Clock: clock, Mapper: meta.NewDefaultRESTMapper(nil), Log: logr.Discard(),
		Metadata: metadatafake.NewSimpleMetadataClient(runtime.NewScheme()),
	})
	if err := c.Prepare(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	return c, follow(t, c, claimKind, "persistentvolumeclaims")
}

// follow is a kind's feed that goes on where the journal knows it, driven by hand.
func follow(t *testing.T, c *Collector, kind schema.GroupKind, resource string) *feed {
	t.Helper()
	_, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	from := c.position(kind)
	f := &feed{
		collector: c, cancel: cancel, whole: true, settled: make(chan struct{}), resourceVersion: from.ResourceVersion,
		started: c.now().Unix(),
		mapping: &meta.RESTMapping{
			Resource: schema.GroupVersionResource{Version: "v1", Resource: resource}, GroupVersionKind: kind.WithVersion("v1"),
			Scope: meta.RESTScopeNamespace,
		},
	}
	f.moved.Store(source.Revision(from.ResourceVersion))
	f.source = source.New(nil, f, c.Clock, source.Options{From: source.Position{ResourceVersion: from.ResourceVersion, Time: timeOf(from.Time)}})
	c.feeds[kind] = f
	c.turns.enter(f)
	return f
}

func claimObject(uid string, revision int) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "PersistentVolumeClaim",
		"metadata": map[string]any{"namespace": "shop", "name": uid, "uid": uid, "resourceVersion": strconv.Itoa(revision)},
	}}
}

// journalHolding is a journal's state in which a meter holds the claim "data" under the deployment "db".
func journalHolding() *journal.State {
	storage := usage.Dimension{Name: "storage", Unit: usage.Byte}
	object := usage.Object{APIVersion: "v1", Kind: "PersistentVolumeClaim", Name: "data", UID: "data"}
	return &journal.State{
		Sequence: 1, Time: second0,
		Meters:    []journal.Meter{{Name: "volume", ResourceType: "volume", Kind: claimKind.Kind, Since: second0 - 60, Dimensions: []usage.Dimension{storage}, Listed: true}},
		Positions: []journal.Position{{Kind: claimKind.Kind, ResourceVersion: "100", Time: second0}},
		Segments: []usage.Change{{Kind: usage.Put, Segment: usage.Segment{
			Meter: "volume", Dimension: storage, Level: 1,
			Subject: &usage.Subject{ResourceType: "volume", Resource: object, Instance: object, Account: usage.Account{Namespace: "shop", Deployment: "db"}},
			Start:   usage.Boundary{At: second0 - 60, Evidence: usage.Observed},
		}}},
	}
}

// The feed's source may be in the middle of an object when the last meter is removed.
func TestAnEndedFeedLeavesNothingBehind(t *testing.T) {
	c, f := driven(t, &journal.State{})
	f.Changed(source.Change{Type: watch.Added, Object: claimObject("data", 101)}, c.now())
	if !c.graph.Contains("data") {
		t.Fatal("the feed tells the graph of nothing")
	}
	c.mu.Lock()
	f.detach(&metering{})
	c.mu.Unlock()
	if c.graph.Contains("data") {
		t.Error("the graph has an object of a kind that is not followed any more")
	}
	f.Changed(source.Change{Type: watch.Added, Object: claimObject("late", 102)}, c.now())
	if c.graph.Contains("late") {
		t.Error("an ended feed has left an object in the graph, for good")
	}
}

// What a former run knew of a claim that went meanwhile is dropped: by the list that
// does not have it, or when everything has been listed.
func TestNoSeedIsKeptOfWhatWentMeanwhile(t *testing.T) {
	placed := func(c *Collector, uid string) string {
		c.graph.Upsert(attribution.NodeOf(claimObject(uid, 1)))
		return c.graph.Place(uid).Deployment
	}
	check := source.List{Origin: source.Check, ResourceVersion: "100", After: time.Unix(second0, 0)}

	t.Run("its meter lists the kind", func(t *testing.T) {
		c, f := driven(t, journalHolding())
		other := &feed{settled: make(chan struct{}), collector: c} // cannot be read: not all is known
		c.feeds[podKind] = other
		entry := c.restored.ledger["volume"]
		at := newMetering(compiled(t), "", entry)
		at.feed, at.from = f, 100
		c.meters["volume"], f.meters = at, []*metering{at}
		f.Listing(check)
		go f.Listed(check, "100", c.now()) // which waits for the other kind
		for over := false; !over; {
			c.mu.Lock()
			over = f.isSettled
			c.mu.Unlock()
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if got := placed(c, "data"); got != "" {
			t.Errorf("a claim that went is still to be put under %q", got)
		}
		c.restored.checking = false
		close(c.restored.checked)
	})
	t.Run("nobody meters the kind", func(t *testing.T) {
		c, f := driven(t, journalHolding())
		c.stopForgotten()
		f.Listing(check)
		f.Listed(check, "100", c.now())
		if got := placed(c, "data"); got != "" {
			t.Errorf("a claim that went is still to be put under %q", got)
		}
	})
	t.Run("one that is there keeps it", func(t *testing.T) {
		c, f := driven(t, journalHolding())
		f.Listing(check)
		f.Item(check, claimObject("data", 100), c.now())
		f.Listed(check, "100", c.now())
		if got := c.graph.Place("data").Deployment; got != "db" {
			t.Errorf("it is put under %q, want db", got)
		}
	})
}

// An operator that loses its lease while it catches up goes on where it was: each
// change that was taken in moves the position that the next batch commits.
func TestCatchingUpMakesProgressThatIsCommitted(t *testing.T) {
	c, f := driven(t, journalHolding())
	check := source.List{Origin: source.Check, ResourceVersion: "100", After: time.Unix(second0, 0)}
	position := func() string {
		t.Helper()
		for _, p := range c.Batch(c.now().Unix(), nil).Positions {
			if p.Kind == claimKind.Kind {
				if p.Time > second0 {
					t.Errorf("the position is of %d, and what was not seen began at %d", p.Time, second0)
				}
				return p.ResourceVersion
			}
		}
		return ""
	}
	f.Listing(check)
	f.Item(check, claimObject("data", 90), c.now())
	if got := position(); got != "100" {
		t.Errorf("in the middle of the check the position is %q, want 100", got)
	}
	f.Listed(check, "100", c.now())
	for revision := 101; revision < 110; revision++ {
		f.Changed(source.Change{Type: watch.Modified, Object: claimObject("data", revision), Replayed: true}, c.now())
		if got := position(); got != strconv.Itoa(revision) {
			t.Errorf("after the change of revision %d the position is %q", revision, got)
		}
	}
	if !f.source.Behind() {
		t.Error("it has not caught up")
	}
}

// compiled is a meter of claims.
func compiled(t *testing.T) *meter.Meter {
	t.Helper()
	spec := &v1alpha1.UsageMeterSpec{}
	if err := yaml.UnmarshalStrict([]byte(`
resourceType: volume
target: {kind: PersistentVolumeClaim}
dimensions:
- {name: storage, unit: byte, quantity: 'self.status.?capacity.?storage'}
`), spec); err != nil {
		t.Fatal(err)
	}
	m, err := meter.Compile("volume", spec, true)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A meter that is taken up after its kind has been listed anew has the stretch that was not seen, too:
// attribution has kinds read before their meters come.
func TestAMeterThatComesLaterHasWhatWasNotSeen(t *testing.T) {
	c, f := driven(t, journalHolding())
	again := source.List{Origin: source.Resumed, After: time.Unix(second0, 0), Began: c.now()}
	f.Listing(again)
	f.Listed(again, "150", c.now())
	at := newMetering(compiled(t), "", c.restored.ledger["volume"])
	at.from = 100
	c.meters["volume"] = at
	c.attach(at, f.mapping)
	want := []usage.Stretch{{Meter: "volume", Coverage: usage.CoverageEstimated, Window: usage.Window{Start: second0, End: c.now().Unix()}}}
	if diff := cmp.Diff(want, c.coverage, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("coverage (-want +got):\n%s", diff)
	}
}

// A kind that was behind others when the last run ended: its objects are put where they
// belong as of what the others had come to, and that is said.
func TestWhatAKindBehindOthersSaysIsEstimated(t *testing.T) {
	for name, c := range map[string]struct {
		revision  int
		seconds   int64 // before the journal's last entry
		estimated bool
	}{
		"of long before":              {150, 10, true},
		"of the last moment":          {150, 1, false},
		"of after all had come there": {201, 10, false},
	} {
		t.Run(name, func(t *testing.T) {
			state := journalHolding()
			state.Positions = append(state.Positions, journal.Position{Kind: podKind.Kind, ResourceVersion: "200", Time: second0})
			collector, f := driven(t, state)
			check := source.List{Origin: source.Check, ResourceVersion: "100", After: time.Unix(second0, 0)}
			entry := collector.restored.ledger["volume"]
			at := newMetering(compiled(t), "", entry)
			at.feed, at.from = f, 100
			collector.meters["volume"], f.meters = at, []*metering{at}
			f.Listing(check)
			f.Listed(check, "100", collector.now())
			collector.chronology.Before(uint64(c.revision+1), second0-c.seconds)
			for range 2 {
				f.Changed(source.Change{Type: watch.Modified, Object: claimObject("data", c.revision), Replayed: true}, collector.now())
				c.revision++
			}
			var want []usage.Stretch
			if c.estimated {
				want = []usage.Stretch{{Meter: "volume", Coverage: usage.CoverageEstimated, Window: usage.Window{Start: second0 - 60, End: second0}}}
			}
			if diff := cmp.Diff(want, collector.coverage, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("coverage (-want +got):\n%s", diff)
			}
		})
	}
}

// An operator that is killed while a kind catches up leaves the others where nothing has happened in them since:
// the next one does not take them to be ahead of it.
func TestAKindInWhichNothingHappenedIsNotAheadOfOneThatCatchesUp(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(c *Collector, pods, claims *feed)
		want string
	}{
		"nothing happened":          {func(*Collector, *feed, *feed) {}, "100"},
		"something happened before": {func(_ *Collector, pods, _ *feed) { pods.moved.Store(95) }, "100"},
		"something happened":        {func(_ *Collector, pods, _ *feed) { pods.moved.Store(150) }, "150"},
		"the slower gets on": {func(c *Collector, _, claims *feed) {
			claims.Changed(source.Change{Type: watch.Modified, Object: claimObject("data", 120), Replayed: true}, c.now())
			claims.Progress("120", c.now())
		}, "120"},
		"a meter began in between":     {func(_ *Collector, pods, _ *feed) { pods.meters = []*metering{{from: 160}} }, "160"},
		"the slower is not waited for": {func(c *Collector, _, claims *feed) { c.turns.missing(claims) }, "200"},
		"the slower cannot catch up":   {func(_ *Collector, _, claims *feed) { claims.started -= 121 }, "200"},
	} {
		t.Run(name, func(t *testing.T) {
			state := journalHolding()
			state.Positions = append(state.Positions, journal.Position{Kind: podKind.Kind, ResourceVersion: "90", Time: second0 - 5})
			collector, claims := driven(t, state)
			pods := follow(t, collector, podKind, "pods")
			pods.Progress("200", collector.now())
			c.do(collector, pods, claims)
			for _, p := range collector.positions() {
				if p.Kind == podKind.Kind && p.ResourceVersion != c.want {
					t.Errorf("pods go on at %s, want %s", p.ResourceVersion, c.want)
				}
			}
		})
	}
}

// What an edited meter reads differently when the next run begins is so since the edit, and
// not since the last check: what was sealed in between stays as it is.
func TestAnEditWhileNoOperatorRanChangesNothingBefore(t *testing.T) {
	c, f := driven(t, journalHolding())
	f.checked = second0 - 1800
	f.passed.Store(second0)
	at := newMetering(compiled(t), "as it was", c.restored.ledger["volume"])
	at.feed, at.from = f, 100
	c.meters["volume"], f.meters = at, []*metering{at}
	c.editedAway(at, Target{Version: "edited", Edited: second0 + 100}, c.now().Unix())

	check := source.List{Origin: source.Check, ResourceVersion: "100", After: time.Unix(second0, 0)}
	claim := claimObject("data", 90)
	claim.Object["status"] = map[string]any{"capacity": map[string]any{"storage": "2"}}
	f.Listing(check)
	f.Item(check, claim, c.now())
	f.Listed(check, "100", c.now())
	changes := c.Batch(c.now().Unix(), nil).Changes
	if len(changes) == 0 {
		t.Fatal("the level changes nothing")
	}
	for _, change := range changes {
		start, end := change.Start, change.End
		if began := second0 - 60; start.At != int64(began) && (start.At-int64(start.Slack) < second0 || start.At > second0+100) {
			t.Errorf("%s: a start at %d, or up to %d s before; the edit was between %d and %d", change.Kind, start.At, start.Slack, second0, second0+100)
		}
		if !end.IsZero() && (end.At < second0 || end.At+int64(end.Slack) > second0+100) {
			t.Errorf("%s: an end at %d, or up to %d s later; the edit was between %d and %d", change.Kind, end.At, end.Slack, second0, second0+100)
		}
	}
}
