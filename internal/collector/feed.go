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

	"github.com/usage-operator/usage-operator/internal/meter"
	"github.com/usage-operator/usage-operator/internal/source"
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

	// Under the collector's lock.
	meters          []*metering
	readers         []reader            // whom the list under way is for
	listed          map[string]struct{} // those of the list under way; nil when it is a replay
	begun           bool                // the first list
	ended           bool                // replaced, or needed no more
	whole           bool                // whole objects, not their metadata alone
	kept            bool                // attribution needs it, whether it is metered or not
	isSettled       bool
	synced          bool
	err             error
	resourceVersion string
	observed        time.Time
	// frontier is a moment, by the API server's clock, before which nothing more
	// can have happened. It follows the times of the writes that the watch
	// delivers, so that a backlog, delivered late, is dated by them.
	frontier int64
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
	}
	at.feed = f
	f.meters = append(f.meters, at)
}

// restart replaces a feed by one that reads whole objects of mapping's version.
func (c *Collector) restart(old *feed, mapping *meta.RESTMapping) *feed {
	old.end()
	f := c.start(mapping, true)
	f.kept, f.meters = old.kept, old.meters
	for _, at := range f.meters {
		at.feed, at.from = f, 0
	}
	return f
}

// start follows mapping's kind, once what its attribution needs is known.
// Called under the lock.
func (c *Collector) start(mapping *meta.RESTMapping, whole bool) *feed {
	ctx, cancel := context.WithCancel(c.ctx)
	f := &feed{
		collector: c, mapping: mapping, cancel: cancel, whole: whole,
		settled: make(chan struct{}), waited: map[*feed]struct{}{},
	}
	var client source.Client = source.MetadataClient(c.Metadata, mapping.Resource, mapping.GroupVersionKind)
	if whole {
		client = c.Dynamic.Resource(mapping.Resource)
	}
	f.source = source.New(client, f, c.Clock, source.Options{})
	before := c.before(mapping.GroupVersionKind.GroupKind())
	c.feeds[mapping.GroupVersionKind.GroupKind()] = f
	c.running.Go(func() {
		for _, needed := range before {
			select {
			case <-needed.settled:
			case <-ctx.Done():
				return
			}
		}
		f.source.Run(ctx)
	})
	return f
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
	f.forgetNodes(nil)
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
		f.begun, f.listed = true, map[string]struct{}{}
	}
	for _, at := range f.meters {
		if list.Origin != source.Replay || at == list.For {
			f.readers = append(f.readers, reader{at: at, meter: at.meter})
			at.listed = map[string]struct{}{}
		}
	}
}

// Item is one object of a list.
func (f *feed) Item(list source.List, object *unstructured.Unstructured, now time.Time) {
	f.take(object, eventOf(list, object, now), f.readers)
	f.items.Add(1)
}

// Listed ends a list: what was known and the list does not have is gone.
func (f *feed) Listed(list source.List, resourceVersion string, now time.Time) {
	c := f.collector
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.ended {
		return
	}
	after := list.After.Add(-delivery).Unix()
	for _, r := range f.readers {
		if !r.current(c) {
			continue
		}
		if list.Origin != source.Replay {
			f.endMissing(r.at, after, now.Unix())
		}
		r.at.listed, r.at.from = nil, source.Revision(resourceVersion)
		c.Notify(r.meter.Name())
	}
	if list.Origin != source.Replay {
		f.forgetMissing()
		f.advanced(resourceVersion, now)
		f.frontier = max(f.frontier, list.Began.Unix())
		f.synced = true
		f.settle()
	}
	f.readers, f.listed = nil, nil
}

// forgetMissing takes out of the graph what the list does not have.
func (f *feed) forgetMissing() {
	c := f.collector
	f.forgetNodes(f.listed)
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
func (f *feed) forgetNodes(but map[string]struct{}) {
	c := f.collector
	var gone []string
	c.graph.Objects(f.kind().Group, f.kind().Kind, func(uid string) {
		if _, there := but[uid]; !there {
			gone = append(gone, uid)
		}
	})
	slices.Sort(gone)
	for _, uid := range gone {
		c.forget(uid, c.observedNow())
	}
}

// endMissing ends what the meter's list no longer has.
func (f *feed) endMissing(at *metering, after, now int64) {
	c := f.collector
	var missing []string
	c.ledger.Objects(at.ledger, func(uid string) {
		if _, there := at.listed[uid]; !there {
			missing = append(missing, uid)
		}
	})
	slices.Sort(missing)
	for _, uid := range missing {
		c.ledger.Missing(at.ledger, uid, after, now)
		delete(at.quarantine, uid)
		delete(at.named, uid)
	}
}

// Changed is one change that the watch delivered.
func (f *feed) Changed(changed source.Change, now time.Time) {
	change, object := changed.Type, changed.Object
	e := eventOf(source.List{}, object, now)
	e.live, e.existed = true, change == watch.Modified
	readers, frontier := f.readersOf(source.Revision(object.GetResourceVersion()))
	e.after = frontier - skew
	if change == watch.Deleted {
		f.drop(object, e, readers)
	} else {
		f.take(object, e, readers)
	}
	f.collector.mu.Lock()
	defer f.collector.mu.Unlock()
	f.advanced(object.GetResourceVersion(), now)
	if change != watch.Deleted && e.written <= e.now {
		f.frontier = max(f.frontier, e.written)
	}
}

// readersOf are the meters to which a change at the revision is news, and the
// API server's time that the watch has surely come to.
func (f *feed) readersOf(at uint64) (readers []reader, frontier int64) {
	f.collector.mu.Lock()
	defer f.collector.mu.Unlock()
	readers = make([]reader, 0, len(f.meters))
	for _, m := range f.meters {
		if m.from != 0 && m.from < at {
			readers = append(readers, reader{at: m, meter: m.meter})
		}
	}
	return readers, f.frontier
}

// Progress tells how far the watch has come.
func (f *feed) Progress(resourceVersion string, now time.Time) {
	f.collector.mu.Lock()
	defer f.collector.mu.Unlock()
	f.advanced(resourceVersion, now)
	f.frontier = max(f.frontier, now.Unix()-bookmarkDelay)
}

// Resumed is of no interest: the list, or the changes, have told it all.
func (f *feed) Resumed(source.Bridge, source.Position, time.Time) {}

// advanced notes the position. Called under the lock.
func (f *feed) advanced(resourceVersion string, now time.Time) {
	f.resourceVersion, f.observed = resourceVersion, now
	if f.err != nil {
		f.err = nil
		f.notify()
	}
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
	f.synced = false
	for _, at := range f.meters {
		at.listed = map[string]struct{}{}
		f.endMissing(at, f.observed.Add(-delivery).Unix(), f.collector.now().Unix())
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
	}
}
