package collector

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

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
	// waited are the feeds of owners that it waited for in vain. Its own goroutine's.
	waited map[*feed]struct{}

	// probed are the bounds of the last change that was dated by the history. Its
	// own goroutine's.
	probed [2]int64

	// Under the collector's lock.
	meters          []*metering
	readers         []reader            // whom the list under way is for
	listed          map[string]struct{} // those of the list under way; nil when it is a replay
	begun           bool                // the first list
	ended           bool                // replaced, or needed no more
	whole           bool                // whole objects, not their metadata alone
	kept            bool                // attribution needs it, whether it is metered or not
	listing         bool                // a list other than a replay is under way
	checking        bool                // and it shows what was known already
	isSettled       bool
	synced          bool
	known           bool // every object was seen once: a list has ended
	err             error
	resourceVersion string
	observed        time.Time
	passed          int64 // everything before has been seen: seconds since the epoch
	checked         int64 // everything that was known was there then, by a list
	started         int64 // seconds since the epoch
}

// attach lets the feed of mapping's kind read for the meter; it starts one
// where there is none. Called under the lock.
func (c *Collector) attach(at *metering, mapping *meta.RESTMapping) {
	f := c.feeds[mapping.GroupVersionKind.GroupKind()]
	switch {
	case f == nil:
		f = c.start(mapping, true)
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
}

// restart replaces a feed by one that reads whole objects of mapping's version,
// and goes on where the old one stopped.
func (c *Collector) restart(old *feed, mapping *meta.RESTMapping) *feed {
	old.end()
	c.restored.positions[old.kind()] = old.position(old.kind())
	f := c.start(mapping, true)
	f.kept, f.meters = old.kept, old.meters
	for _, at := range f.meters {
		at.feed = f
	}
	return f
}

// start follows mapping's kind, once what its attribution needs is known.
// Called under the lock.
func (c *Collector) start(mapping *meta.RESTMapping, whole bool) *feed {
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
	f.resourceVersion, f.passed, f.checked = from.ResourceVersion, from.Time, from.Checked
	f.observed = timeOf(from.Time)
	f.source = source.New(client, f, c.Clock, source.Options{
		From:       source.Position{ResourceVersion: from.ResourceVersion, Time: timeOf(from.Time)},
		CheckEvery: c.CheckEvery, Metadata: partial,
	})
	c.feeds[kind] = f
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
	if len(f.meters) > 0 || f.kept {
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
	f.settle()
}

func (f *feed) kind() schema.GroupKind { return f.mapping.GroupVersionKind.GroupKind() }

// reader is a meter, and its expressions as they were when it began to read.
type reader struct {
	at    *metering
	meter *meter.Meter
}

// current tells whether the meter still reads so. Called under the lock.
func (r reader) current(c *Collector) bool {
	return r.at.meter == r.meter && c.meters[r.meter.Name()] == r.at
}

// Listing begins a list.
func (f *feed) Listing(list source.List) {
	f.collector.mu.Lock()
	defer f.collector.mu.Unlock()
	f.readers, f.listed = nil, nil
	if list.Origin != source.Replay {
		f.begun, f.listing, f.checking = true, true, list.Origin == source.Check
		f.listed = map[string]struct{}{}
	}
	for _, at := range f.meters {
		if f.isFor(list, at) {
			f.readers = append(f.readers, reader{at: at, meter: at.meter})
			at.listed = map[string]struct{}{}
		}
	}
}

// isFor tells whether the meter reads the list. A check shows what is known
// already, to those that know it.
func (f *feed) isFor(list source.List, at *metering) bool {
	switch list.Origin {
	case source.Replay:
		return at == list.For
	case source.Check:
		return at.from != 0 && at.from <= source.Revision(list.ResourceVersion)
	}
	return true
}

// Item is one object of a list.
func (f *feed) Item(list source.List, object *unstructured.Unstructured, now time.Time) {
	f.take(object, f.eventOf(list, object, now), f.readers)
	f.items.Add(1)
}

// Listed ends a list: what was known and the list does not have is gone.
func (f *feed) Listed(list source.List, resourceVersion string, now time.Time) {
	c := f.collector
	c.mu.Lock()
	if f.ended {
		c.mu.Unlock()
		return
	}
	earliest, latest := f.when(list, now)
	for _, r := range f.readers {
		if !r.current(c) {
			continue
		}
		if list.Origin != source.Replay {
			f.endMissing(r.at, earliest, latest)
		}
		r.at.listed = nil
		if r.at.from == 0 && !r.at.durable && list.Began.Unix()-r.at.ledger.Since > skew {
			// What came and went since it was made, before anybody looked, nobody knows.
			c.cover(r.at, r.at.ledger.Since, list.Began.Unix(), usage.CoverageEstimated)
		}
		if list.Origin != source.Check {
			r.at.from = source.Revision(resourceVersion)
		}
		c.Notify(r.meter.Name())
	}
	f.readers = nil
	if list.Origin == source.Replay {
		c.mu.Unlock()
		return
	}
	f.forgetMissing(ledger.Between(ledger.Resumed, earliest, latest))
	f.listed, f.listing, f.checking = nil, false, false
	f.synced, f.known = true, true
	f.advanced(resourceVersion, now)
	if list.Origin != source.Check {
		c.chronology.After(source.Revision(resourceVersion), list.Began.Unix())
		f.passed = max(f.passed, list.Began.Unix())
	}
	f.checked = max(f.checked, min(f.unseen(resourceVersion), now.Unix()))
	f.settle()
	checked := c.restored.checked
	c.mu.Unlock()
	if list.Origin == source.Check {
		wait(c.ctx, checked) // what follows is news, and moves what surrounds it
	}
}

// when is when what a list shows otherwise than it was known can have happened.
// What a check shows so is news that never arrived: it came after the last list.
func (f *feed) when(list source.List, now time.Time) (earliest, latest int64) {
	earliest, latest = list.After.Unix(), now.Unix()
	if list.Origin == source.Check {
		earliest = f.checked
		_, latest = f.collector.chronology.Bounds(source.Revision(list.ResourceVersion), latest)
	}
	return min(earliest, latest), latest
}

// unseen is the earliest moment of what is not seen up to resourceVersion:
// whatever that is has a later one. 0: it is not known.
func (f *feed) unseen(resourceVersion string) int64 {
	return f.collector.chronology.Earliest(source.Revision(resourceVersion) + 1)
}

// forgetMissing takes out of the graph what the list does not have.
func (f *feed) forgetMissing(moments ledger.Moments) {
	c := f.collector
	f.forgetNodes(f.listed, moments)
	if f.kind() != namespaceKind {
		return
	}
	for name, at := range c.namespaces {
		if _, there := f.listed[at.uid]; !there {
			delete(c.namespaces, name)
		}
	}
}

// forgetNodes takes the kind's objects out of the graph, but for those.
func (f *feed) forgetNodes(but map[string]struct{}, moments ledger.Moments) {
	c := f.collector
	var gone []string
	c.graph.Objects(f.kind().Group, f.kind().Kind, func(uid string) {
		if _, there := but[uid]; !there {
			gone = append(gone, uid)
		}
	})
	slices.Sort(gone)
	for _, uid := range gone {
		c.forget(uid, moments)
	}
}

// endMissing ends what the meter's list no longer has.
func (f *feed) endMissing(at *metering, earliest, latest int64) {
	c := f.collector
	var missing []string
	c.ledger.Objects(at.ledger, func(uid string) {
		if _, there := at.listed[uid]; !there {
			missing = append(missing, uid)
		}
	})
	slices.Sort(missing)
	for _, uid := range missing {
		c.ledger.Missing(at.ledger, uid, earliest, latest)
		delete(at.quarantine, uid)
		delete(at.named, uid)
	}
}

// Coming learns from changes that nobody saw when they happened.
func (f *feed) Coming(changes []source.Change) {
	for _, change := range changes {
		written, _ := lastWrite(change.Object)
		f.learn(source.Revision(change.Object.GetResourceVersion()), written, change.Type)
	}
}

// learn learns from when a change was written.
func (f *feed) learn(revision uint64, written int64, what watch.EventType) {
	c := f.collector
	switch {
	case what == watch.Deleted: // its last state was written before
	case what == watch.Added, written > c.chronology.Earliest(revision):
		c.chronology.Stamp(revision, written)
	default: // a write that only takes fields away leaves no time of its own
		c.chronology.AtLeast(revision, written)
	}
}

// Changed is one change that the watch delivered.
func (f *feed) Changed(change source.Change, now time.Time) {
	object := change.Object
	e := f.eventOf(source.List{}, object, now)
	e.origin, e.existed = ledger.Live, change.Type == watch.Modified
	if change.Replayed {
		e.origin = ledger.Replayed
	}
	f.date(&e, change)
	readers := f.readersOf(e.revision)
	if change.Type == watch.Deleted {
		f.drop(object, e, readers)
	} else {
		f.take(object, e, readers)
	}
}

// date finds out when the change can have happened, and learns from it.
func (f *feed) date(e *event, change source.Change) {
	c := f.collector
	c.chronology.Before(e.revision, e.now)
	f.learn(e.revision, e.written, change.Type)
	e.after, e.before = c.chronology.Bounds(e.revision, e.now)
	if !change.Replayed {
		e.before = e.now
		return
	}
	// What is between the same two marks as the change before it is known no better.
	if between := [2]int64{e.after, e.before}; between != f.probed {
		c.probe(e.revision)
		e.after, e.before = c.chronology.Bounds(e.revision, e.now)
		f.probed = [2]int64{e.after, e.before}
	}
}

// readersOf are the meters to which a change at the revision is news.
func (f *feed) readersOf(at uint64) []reader {
	f.collector.mu.Lock()
	defer f.collector.mu.Unlock()
	readers := make([]reader, 0, len(f.meters))
	for _, m := range f.meters {
		if m.from != 0 && m.from < at {
			readers = append(readers, reader{at: m, meter: m.meter})
		}
	}
	return readers
}

// Progress tells how far the watch has come.
func (f *feed) Progress(resourceVersion string, now time.Time) {
	f.collector.chronology.Before(source.Revision(resourceVersion), now.Unix())
	f.collector.mu.Lock()
	defer f.collector.mu.Unlock()
	f.advanced(resourceVersion, now)
}

// advanced notes the position. Called under the lock.
func (f *feed) advanced(resourceVersion string, now time.Time) {
	f.resourceVersion, f.observed = resourceVersion, now
	if f.err != nil {
		f.err = nil
		f.notify()
	}
}

// Resumed tells that the watch is up to date again, and how the stretch in
// which it was not is known.
func (f *feed) Resumed(how source.Bridge, from source.Position, now time.Time) {
	c := f.collector
	c.mu.Lock()
	defer c.mu.Unlock()
	coverage := usage.CoverageReplayed
	if how >= source.Sampled {
		coverage = usage.CoverageEstimated
	}
	f.cover(from.Time.Unix(), now.Unix(), coverage)
	c.Log.Info("went on where it was", "kind", f.kind().String(), "how", how.String(),
		"from", from.Time.UTC(), "resourceVersion", from.ResourceVersion)
}

// Failed tells why the source does not get on.
func (f *feed) Failed(err error) {
	c := f.collector
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.ended {
		return
	}
	if f.err == nil || f.err.Error() != err.Error() {
		c.Log.Info("cannot read a kind; trying again", "kind", f.kind().String(), "error", err.Error())
		f.err = err
		f.notify()
	}
	if apierrors.IsNotFound(err) && f.synced {
		f.uninstalled()
	}
	f.settle()
}

// uninstalled takes in that the kind itself is gone, and all its objects with it.
func (f *feed) uninstalled() {
	c := f.collector
	f.synced = false
	now := c.now().Unix()
	for _, at := range f.meters {
		at.listed = map[string]struct{}{}
		f.endMissing(at, min(c.chronology.Earliest(source.Revision(f.resourceVersion)), now), now)
		at.listed, at.from = nil, 0
	}
}

func (f *feed) notify() {
	for _, at := range f.meters {
		f.collector.Notify(at.meter.Name())
	}
}

func (f *feed) settle() {
	if !f.isSettled {
		f.isSettled = true
		close(f.settled)
		f.collector.checkedAll()
	}
}
