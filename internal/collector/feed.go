package collector

import (
	"context"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/meter"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// feed follows one kind.
type feed struct {
	collector *Collector
	mapping   *meta.RESTMapping
	source    *source.Source
	cancel    context.CancelFunc
	// settled is closed once the first list is done, or has failed: nobody
	// waits for a kind that cannot be read.
	settled chan struct{}
	// items counts the objects of its lists, so that others see it get on.
	items atomic.Int64
	// waited are the feeds of owners that it waited for, and that were not listed in time. Its own goroutine's.
	waited map[*feed]struct{}

	// probed are the bounds of the last change that was dated by the history. Its
	// own goroutine's.
	probed [2]int64
	// dated is when each object was written last, by its own word, of those of which nothing
	// else says that; datedLast is the latest of these. Its own goroutine's.
	dated     map[string]int64
	datedLast int64
	// doubted tells that the kind was found to be behind others. Its own goroutine's.
	doubted bool

	// Under the collector's lock.
	owners          map[schema.GroupKind]struct{} // that are followed, of its objects
	meters          []*metering
	stretches       []usage.Stretch     // that are not observed, and not sealed: of meters that come later, too
	readers         []reader            // whom the list under way is for
	listed          map[string]struct{} // those of the list under way; nil when it is a replay
	begun           bool                // the first list
	ended           bool                // replaced, or needed no more
	whole           bool                // whole objects, not their metadata alone
	kept            bool                // attribution needs it, whether it is metered or not
	listing         bool                // a list other than a replay is under way
	checking        bool                // and it shows what was known already
	isSettled       bool
	resumed         bool // a former run has read it
	synced          bool
	known           bool // every object was seen once: a list has ended
	err             error
	resourceVersion string
	observed        time.Time
	passed          atomic.Int64     // everything before has been seen: seconds since the epoch
	moved           atomic.Uint64    // the revision of what was taken in last
	estimated       int64            // up to here, what was not seen is estimated
	lost            journal.Position // where it was when its history was lost, while what is known is compared
	checked         int64            // everything that was known was there then, by a list
	started         int64            // seconds since the epoch
}

// attach lets the feed of mapping's kind read for the meter; it starts one
// where there is none. Called under the lock.
func (c *Collector) attach(at *metering, mapping *meta.RESTMapping) {
	f := c.feeds[mapping.GroupVersionKind.GroupKind()]
	delete(c.named.by, mapping.GroupVersionKind.GroupKind()) // it counts as metered
	switch {
	case f == nil:
		f = c.start(mapping, true, 0)
	case !f.whole || f.mapping.Resource != mapping.Resource:
		f = c.restart(f, mapping)
	case f.begun: // and the meter missed the beginning
		f.source.Replay(at)
		at.from = 0
	}
	if !f.begun && f.resourceVersion != "" && at.from == 0 {
		f.source.Replay(at) // the feed goes on where it was, and the meter is new
	}
	at.feed = f
	f.meters = append(f.meters, at)
	for _, s := range f.stretches {
		c.cover(at, s.Start, s.End, s.Coverage)
	}
	for _, d := range c.doubts {
		f.coverDoubt(d)
	}
}

// restart replaces a feed by one that reads whole objects of mapping's version,
// and goes on where the old one stopped.
func (c *Collector) restart(old *feed, mapping *meta.RESTMapping) *feed {
	old.end()
	c.restored.positions[old.kind()] = old.position(old.kind())
	f := c.start(mapping, true, 0)
	f.kept, f.meters, f.stretches, f.owners, f.lost = old.kept, old.meters, slices.Clone(old.stretches), old.owners, old.lost
	for _, at := range f.meters {
		at.feed = f
		if at.relisting {
			f.source.ReplayHere(at)
		}
	}
	return f
}

// start follows mapping's kind, once what its attribution needs is known: from where
// a former run stopped, or else from the revision at which it was met; 0: from now.
// Called under the lock.
func (c *Collector) start(mapping *meta.RESTMapping, whole bool, met uint64) *feed {
	ctx, cancel := context.WithCancel(c.ctx)
	f := &feed{
		collector: c, mapping: mapping, cancel: cancel, whole: whole,
		settled: make(chan struct{}), waited: map[*feed]struct{}{}, started: c.now().Unix(),
	}
	partial := source.MetadataClient(c.Metadata, mapping.Resource, mapping.GroupVersionKind)
	client := partial
	if whole {
		client = c.Dynamic.Resource(mapping.Resource)
	}
	kind := mapping.GroupVersionKind.GroupKind()
	from := c.position(kind)
	f.resumed = from.ResourceVersion != "" || from.Time != 0
	if !f.resumed && met != 0 {
		met = min(met, c.deliveredByAll())
		from.ResourceVersion, from.Time = strconv.FormatUint(met, 10), c.chronology.Earliest(met)
		from.Checked = from.Time
	}
	f.resourceVersion, f.checked = from.ResourceVersion, from.Checked
	f.moved.Store(source.Revision(from.ResourceVersion))
	f.passed.Store(from.Time)
	f.observed = timeOf(from.Time)
	f.source = source.New(client, f, c.Clock, source.Options{
		From:       source.Position{ResourceVersion: from.ResourceVersion, Time: timeOf(from.Time)},
		CheckEvery: c.CheckEvery, Metadata: partial,
	})
	c.feeds[kind] = f
	c.turns.enter(f)
	c.running.Go(func() {
		if f.await(ctx) {
			f.source.Run(ctx)
		}
	})
	return f
}

// await waits until the collector is started, and what the kind's attribution
// needs is known; false when ctx is done before.
func (f *feed) await(ctx context.Context) bool {
	c := f.collector
	if !wait(ctx, c.released) {
		return false
	}
	c.mu.Lock()
	before := c.before(f.kind())
	c.mu.Unlock()
	for _, needed := range before {
		if !wait(ctx, needed.settled) {
			return false
		}
	}
	return true
}

func wait(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// detach lets the feed read no longer for the meter, and ends a feed that
// nobody needs.
func (f *feed) detach(at *metering) {
	f.meters = slices.DeleteFunc(f.meters, func(m *metering) bool { return m == at })
	if len(f.meters) > 0 || f.kept || f.tellsOfOthers() {
		return
	}
	f.end()
	delete(f.collector.feeds, f.kind())
	now := f.collector.now().Unix()
	f.forgetNodes(nil, ledger.Between(ledger.Live, now, now))
}

// end stops the feed. What its source still delivers falls on deaf ears.
func (f *feed) end() {
	f.ended = true
	f.cancel()
	f.collector.turns.leave(f)
	f.settle()
}

func (f *feed) kind() schema.GroupKind { return f.mapping.GroupVersionKind.GroupKind() }

// reader is a meter, and its expressions as they were when it began to read.
type reader struct {
	at    *metering
	meter *meter.Meter
}

// alive tells whether the meter still reads, be it by other expressions. Called under the lock.
func (r reader) alive(c *Collector) bool { return c.meters[r.meter.Name()] == r.at }

// current tells whether the meter still reads so. Called under the lock.
func (r reader) current(c *Collector) bool { return r.at.meter == r.meter && r.alive(c) }

func (f *feed) notify() {
	for _, at := range f.meters {
		f.collector.Notify(at.meter.Name())
	}
	for _, at := range f.tellingOf() {
		f.collector.Notify(at.meter.Name())
	}
}

func (f *feed) settle() {
	if !f.isSettled {
		f.isSettled = true
		close(f.settled)
		f.collector.checkedAll()
		f.collector.decideAll()
		f.collector.tellAll()
	}
}
