// Package collector runs the sources and feeds the ledger: it is the one writer
// that events of every metered kind go through.
//
// A feed follows one kind, whoever asked for it: meters read its objects, the
// attribution graph learns who owns, mounts, selects and routes to whom.
// Expressions are evaluated in the feed's own goroutine; graph and ledger are
// written under one lock, which is never held while the API server is asked.
package collector

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/chronology"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/memory"
	"github.com/usage-operator/usage-operator/internal/meter"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Options are what a collector needs.
type Options struct {
	Dynamic  dynamic.Interface
	Metadata metadata.Interface
	Mapper   meta.RESTMapper
	Clock    clock.WithTicker
	// Namespace is the operator's own: usage of cluster-scoped objects belongs to it.
	Namespace string
	// OwnerKinds are kinds that control what is metered, beside those that are known to.
	OwnerKinds []schema.GroupKind
	// CheckEvery is how often what is known is compared with what there is, so that
	// an event that never arrived is found; 0: never.
	CheckEvery time.Duration
	// Retention is for how long what has ended is kept, in seconds.
	Retention int64
	// Memory is what a ledger that is restored has to fit into.
	Memory memory.Limit
	// PackAtOnce packs what is gone with each batch, sealed or not: for tests. It changes nothing
	// that can be seen.
	PackAtOnce bool
	Log        logr.Logger
	// Notify is called with a meter's name when its status has something new to
	// say. It may not block.
	Notify func(meter string)
}

// Collector turns what the sources deliver into segments.
type Collector struct {
	Options

	mu          lock
	ctx         context.Context // of Prepare; nil before
	released    chan struct{}   // closed by Start: feeds may begin
	since       int64           // when the ledger began
	began       int64           // when Prepare was called: new meters look from then on
	turns       *turns
	chronology  chronology.Clock
	ledger      *ledger.Ledger
	restored    restored
	coverage    []usage.Stretch // what is not observed, of what is kept
	unwritten   []usage.Stretch // of those, what the journal does not have
	doubts      []doubt         // of what is not sealed
	digest      [32]byte        // of the last seal
	lastCut     *sealedCut      // what that interval was sealed as
	answered    int64           // since when the API server answers; while it does not, now
	counted     counted
	graph       *attribution.Graph
	recent      recent
	meters      map[string]*metering
	feeds       map[schema.GroupKind]*feed
	namespaces  map[string]namespace
	nodes       map[string]*unstructured.Unstructured // their names and labels
	departed    int                                   // how many of them are gone
	stopped     map[string]struct{}                   // meters that were removed or suspended
	provisional map[string]provisional                // placements that wait for an owner, by UID
	left        map[attribution.Reference]left
	shares      *attribution.Shares
	sharers     map[attribution.Holder]*sharer
	named       named
	vanished    map[string]struct{} // owners, and kinds of owners, that are not there
	running     sync.WaitGroup
}

// New is a collector that meters nothing yet.
func New(options Options) *Collector {
	if options.Notify == nil {
		options.Notify = func(string) {}
	}
	return &Collector{
		Options:     options,
		released:    make(chan struct{}),
		turns:       newTurns(options.Clock),
		ledger:      ledger.New(),
		graph:       attribution.New(),
		recent:      newRecent(),
		meters:      map[string]*metering{},
		feeds:       map[schema.GroupKind]*feed{},
		namespaces:  map[string]namespace{},
		nodes:       map[string]*unstructured.Unstructured{},
		stopped:     map[string]struct{}{},
		provisional: map[string]provisional{},
		left:        map[attribution.Reference]left{},
		shares:      attribution.NewShares(),
		sharers:     map[attribution.Holder]*sharer{},
		vanished:    map[string]struct{}{},
		named:       newNamed(options.OwnerKinds),
		counted:     counted{lost: map[Lost]int64{}},
	}
}

// metering is a meter at work.
type metering struct {
	meter   *meter.Meter
	version string // of the UsageMeter that meter was compiled from
	ledger  *ledger.Meter
	feed    *feed
	// from is the resourceVersion of the list that showed the meter everything:
	// what the watch delivers up to there is no news. 0: not listed yet.
	from uint64
	// durable tells that the journal has it as listed: what happens from then on is
	// replayed by whoever takes the journal up.
	durable bool
	// listed are the objects of the list that is under way.
	listed     map[string]struct{}
	quarantine map[string]Quarantined // by UID
	// named are the objects whose deployment the meter's own expression gave.
	named map[string]struct{}
	// amendments are the edits that have not taken effect, in order. relisting: the first
	// of them was carried out, and waits for its list.
	amendments []*amendment
	relisting  bool
	// edited is when it was edited, while no operator ran: until a list has shown what it
	// reads now.
	edited attribution.Span
	// unedited is the version that it was edited from, until a list has shown what it reads
	// now. carried is the version to which the run before had edited it, and had not listed.
	unedited, carried string
	// parts are the objects that say that they are a part of others, and represented
	// knows which of them are; nil: the meter has no such objects.
	parts       map[string]*part
	shown       map[string]shown // keys by UID, also of those that name none
	represented *attribution.Representations
	// sites are the nodes that objects run on, by name, and on is which by the objects'
	// UIDs, of a meter that reads something of nodes.
	sites map[string]*site
	on    map[string]*site
	others
}

func newMetering(m *meter.Meter, version string, entry *ledger.Meter) *metering {
	at := &metering{
		meter: m, version: version, ledger: entry,
		quarantine: map[string]Quarantined{}, named: map[string]struct{}{}, parts: map[string]*part{}, shown: map[string]shown{},
	}
	at.relate(m)
	return at
}

// relate makes a metering ready for what its meter says of other objects.
func (at *metering) relate(m *meter.Meter) {
	at.represented = nil
	clear(at.shown)
	if m.CanBeRepresented() {
		at.represented = attribution.NewRepresentations()
	}
	at.others = others{}
	at.sites, at.on = nil, nil
	if m.RunsOnNodes() {
		at.sites, at.on = map[string]*site{}, map[string]*site{}
	}
}

// Target is what a meter is applied to.
type Target struct {
	Mapping *meta.RESTMapping
	// Version changes when the UsageMeter's spec does.
	Version string
	// Created is when the UsageMeter was created, in seconds since the epoch:
	// nothing is metered before.
	Created int64
	// Edited is when its spec was written last, in seconds since the epoch; 0: it is not known.
	Edited int64
}

// Start begins to follow what there is, until ctx is done. Before it comes
// Prepare, and every meter that was known is applied.
func (c *Collector) Start() {
	c.mu.Lock()
	c.stopForgotten()
	followed := slices.Collect(maps.Keys(c.restored.positions))
	c.mu.Unlock()
	for _, kind := range followed {
		// What owns something goes on to be followed where it was.
		if f := c.owning(kind, "", true, 0); f == nil && builtIn(kind.Group) {
			c.mu.Lock()
			delete(c.restored.positions, kind) // nor is it next time
			c.mu.Unlock()
		}
	}
	close(c.released)
	c.running.Go(func() { c.pulse(c.ctx) })
}

// Wait waits, once Prepare's ctx is done, for the sources to end.
func (c *Collector) Wait() { c.running.Wait() }

// Started tells whether Start was called: meters that are applied are metered.
func (c *Collector) Started() bool {
	select {
	case <-c.released:
		return true
	default:
		return false
	}
}

// Alive tells, by getting the lock, that the collector is not stuck.
func (c *Collector) Alive() {
	c.mu.Lock()
	defer c.mu.Unlock()
}

// Apply meters the target's kind with m, from now on. Applied again, it goes
// on where it was: what the new expressions read differently changes now.
func (c *Collector) Apply(m *meter.Meter, target Target) error {
	c.followOther(m)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil || c.ctx.Err() != nil {
		return fmt.Errorf("UsageMeter %s: the collector is not running", m.Name())
	}
	now := c.Clock.Now().Unix()
	if at := c.meters[m.Name()]; at != nil && at.stopping() {
		c.hurryAmendments(at)
	}
	at := c.meters[m.Name()]
	switch {
	case at == nil || at.feed.mapping.Resource == target.Mapping.Resource:
	case at.feed.kind() == target.Mapping.GroupVersionKind.GroupKind():
		// The same objects in another version: what is held goes on.
		c.restart(at.feed, target.Mapping)
	default:
		c.stop(at, now)
		at = nil
	}
	switch {
	case at == nil:
		if at = c.resume(m, target, now); at == nil {
			at = newMetering(m, target.Version, ledger.NewMeter(m.Name(), c.countsFrom(m, target, now), m.Dimensions()))
		}
		c.meters[m.Name()] = at
		c.attach(at, target.Mapping)
		if at.ledger.Since == target.Created && c.restored.time > 0 { // it may have been another one, or suspended, at first
			c.cover(at, target.Created, min(target.Edited, now), usage.CoverageEstimated)
		}
		c.askRepresentatives(at)
		c.askOther(at)
		if at.version != target.Version {
			c.editedAway(at, target, now)
		}
	case at.amended() != target.Version:
		c.amend(at, &amendment{moment: now, meter: m, version: target.Version})
	}
	delete(c.stopped, m.Name())
	return nil
}

// countsFrom is from when on a meter counts that the journal does not know. Called under the lock.
func (c *Collector) countsFrom(m *meter.Meter, target Target, now int64) int64 {
	if _, stopped := c.stopped[m.Name()]; stopped {
		return now
	}
	// Since the last run wrote, it was created, or written so that it is applied: that run may
	// have metered by it, and not have written that yet, and one that ran all the time would have.
	switch {
	case c.restored.time > 0 && target.Created >= c.restored.time:
		return target.Created
	case c.restored.time > 0 && target.Edited >= c.restored.time:
		return min(target.Edited, now)
	}
	return max(c.began, target.Created)
}

// Remove ends the meter: its open segments end now, once what happened until now has been seen.
func (c *Collector) Remove(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped[name] = struct{}{}
	if at := c.meters[name]; at != nil && !at.stopping() {
		c.amend(at, &amendment{moment: c.Clock.Now().Unix()})
	}
}

func (c *Collector) stop(at *metering, now int64) {
	c.hurryAmendments(at)
	c.ledger.Stop(at.ledger, now, now)
	delete(c.meters, at.meter.Name())
	c.unshareAll(at, now)
	at.feed.release(now)
	at.feed.reviewRepresentatives(now)
	at.feed.detach(at)
	// Whoever measured the same was refused what this one held.
	for _, other := range at.feed.meters {
		at.feed.source.Replay(other)
	}
}

func (c *Collector) now() time.Time { return c.Clock.Now() }
