package publisher

import (
	"cmp"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/source"
)

// entry is what is known of one record in the API server.
type entry struct {
	key     record.Key // zero for a record of an earlier run that was not looked at yet
	of      string     // the namespace whose usage it is
	start   int64      // of its interval; seconds since the epoch
	written string     // resourceVersion of the last write; "" when it was not ours
	seen    string     // resourceVersion that the API server has, as far as known
	digest  string
	reaches int64 // how far an Open record's figures reach
	bytes   int64 // about how large it is; 0: not known
	final   bool
	list    int // how many lists had begun when it was written
}

// asWritten tells whether the record still is as it was written, and says what r says.
func (e entry) asWritten(r *v1alpha1.UsageRecord) bool {
	final := r.Status.Phase == v1alpha1.PhaseFinal
	return e.written != "" && e.written == e.seen && e.final == final && e.digest == r.Status.Digest &&
		(final || e.reaches == reaches(r))
}

func reaches(r *v1alpha1.UsageRecord) int64 {
	if r.Status.ObservedTime == nil {
		return 0
	}
	return r.Status.ObservedTime.Unix()
}

// index knows the records in the API server.
type index struct {
	mu      sync.Mutex
	entries map[types.NamespacedName]entry
	// listed is what the list that is under way has shown so far.
	listed map[types.NamespacedName]entry
	lists  int    // how many lists have begun
	latest uint64 // the revision that was known when the last list began
}

func newIndex() *index { return &index{entries: map[types.NamespacedName]entry{}} }

func (x *index) get(name types.NamespacedName) (entry, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e, ok := x.entries[name]
	return e, ok
}

// forget drops a record, and returns what was known of it.
func (x *index) forget(name types.NamespacedName) (entry, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e, known := x.entries[name]
	delete(x.entries, name)
	return e, known
}

// restore undoes forget, unless the record was seen since.
func (x *index) restore(name types.NamespacedName, e entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, known := x.entries[name]; !known {
		x.entries[name] = e
	}
}

// wrote notes a write of ours. It tells whether somebody has written over it already.
func (x *index) wrote(name types.NamespacedName, key record.Key, r *v1alpha1.UsageRecord, version string, bytes int64) (overwritten bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	seen := version
	if before := x.entries[name].seen; source.Newer(before, version) {
		seen = before
	}
	x.entries[name] = entry{
		key: key, of: key.Account.Namespace, start: key.Interval.Start, written: version, seen: seen, bytes: bytes,
		digest: r.Status.Digest, reaches: reaches(r), final: r.Status.Phase == v1alpha1.PhaseFinal, list: x.lists,
	}
	return seen != version
}

// claim notes which account's and interval's a record of an earlier run is, and
// about how large; 0: that is not known. It tells whether that was not known yet.
func (x *index) claim(name types.NamespacedName, key record.Key, bytes int64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	e, known := x.entries[name]
	if !known || e.key != (record.Key{}) {
		return false
	}
	e.key, e.of = key, key.Account.Namespace
	if bytes > 0 {
		e.bytes = bytes
	}
	x.entries[name] = e
	return true
}

// unclaimed are the records that an earlier run left Open in intervals that
// started in [from, before).
func (x *index) unclaimed(from, before int64) []types.NamespacedName {
	return x.named(func(e *entry) bool { return from <= e.start && e.start < before && !e.final && e.key == (record.Key{}) })
}

// before are the records of intervals that started before the moment of the
// namespace whose usage it is.
func (x *index) before(start func(namespace string) int64) []types.NamespacedName {
	return x.named(func(e *entry) bool { return e.start < start(e.of) })
}

func (x *index) named(which func(*entry) bool) []types.NamespacedName {
	x.mu.Lock()
	defer x.mu.Unlock()
	var names []types.NamespacedName
	for name, e := range x.entries {
		if which(&e) {
			names = append(names, name)
		}
	}
	return names
}

// sizes are how many records there are, and about how many bytes, by the namespace
// whose usage it is and the start of their interval. One whose size is not known
// counts as the namespace's others' average; else as everybody's.
func (x *index) sizes() map[string]map[int64]Size {
	x.mu.Lock()
	defer x.mu.Unlock()
	sizes := map[string]map[int64]Size{}
	known, unknown, all := map[string]Size{}, map[string]map[int64]int64{}, Size{}
	for _, e := range x.entries {
		of := sizes[e.of]
		if of == nil {
			of = map[int64]Size{}
			sizes[e.of] = of
		}
		of[e.start] = of[e.start].plus(e.bytes)
		switch {
		case e.bytes > 0:
			known[e.of], all = known[e.of].plus(e.bytes), all.plus(e.bytes)
		case unknown[e.of] == nil:
			unknown[e.of] = map[int64]int64{e.start: 1}
		default:
			unknown[e.of][e.start]++
		}
	}
	for namespace, starts := range unknown {
		average := known[namespace].average(all.average(typicalBytes))
		for start, n := range starts {
			size := sizes[namespace][start]
			size.Bytes += n * average
			sizes[namespace][start] = size
		}
	}
	return sizes
}

// plus is the size with one more record.
func (s Size) plus(bytes int64) Size { return Size{Records: s.Records + 1, Bytes: s.Bytes + bytes} }

// average is that of the records; otherwise, where there are none.
func (s Size) average(otherwise int64) int64 {
	if s.Records == 0 {
		return otherwise
	}
	return s.Bytes / int64(s.Records)
}

// typicalBytes is the size of an ordinary record.
const typicalBytes = 2500

// open are the keys of our Open records of intervals that started before the moment.
func (x *index) open(before int64) []record.Key {
	x.mu.Lock()
	defer x.mu.Unlock()
	var keys []record.Key
	for _, e := range x.entries {
		if e.start < before && !e.final && e.key != (record.Key{}) {
			keys = append(keys, e.key)
		}
	}
	return keys
}

// Watcher is the handler that a source of usage records' metadata delivers to.
// It calls changed with the key of each record that somebody else edited or
// deleted.
func (p *Publisher) Watcher(changed func(record.Key)) source.Handler {
	return &watcher{index: p.index, publisher: p, changed: changed}
}

type watcher struct {
	index     *index
	publisher *Publisher
	changed   func(record.Key)
}

// Listing begins a list.
func (w *watcher) Listing(source.List) {
	x := w.index
	x.mu.Lock()
	defer x.mu.Unlock()
	x.listed = map[types.NamespacedName]entry{}
	x.lists++
	x.latest = 0
	for _, e := range x.entries {
		x.latest = max(x.latest, source.Revision(e.seen))
	}
}

// Item is one record that there is.
func (w *watcher) Item(_ source.List, object *unstructured.Unstructured, _ time.Time) {
	w.index.mu.Lock()
	w.index.listed[nameOf(object)] = found(object)
	w.index.mu.Unlock()
	w.see(object)
}

// Listed ends the list: what was written and is not in it was deleted. A list
// that is older than what was known when it began is of another history: etcd was
// restored. What it shows is what there is then, whatever was written before.
func (w *watcher) Listed(_ source.List, resourceVersion string, _ time.Time) {
	w.index.mu.Lock()
	changed := w.index.settle(resourceVersion)
	w.index.mu.Unlock()
	for _, key := range changed {
		w.changed(key)
	}
}

// settle takes in a list. It returns the keys of the records that are not as they
// were written. Called under the lock.
func (x *index) settle(resourceVersion string) (changed []record.Key) {
	restored := x.latest > source.Revision(resourceVersion)
	for name, e := range x.entries {
		there, is := x.listed[name]
		switch {
		case restored && e.list == x.lists, !restored && source.Newer(e.seen, resourceVersion):
			continue // written since
		case !is:
			delete(x.entries, name)
		case restored && there.seen != e.seen:
			there.key = e.key
			x.entries[name] = there
		default:
			continue
		}
		if e.key != (record.Key{}) {
			changed = append(changed, e.key)
		}
	}
	x.listed = nil
	return changed
}

// Changed is one change of a record.
func (w *watcher) Changed(change source.Change, _ time.Time) {
	object := change.Object
	if change.Type != watch.Deleted {
		w.see(object)
		return
	}
	w.index.mu.Lock()
	e, known := w.index.entries[nameOf(object)]
	delete(w.index.entries, nameOf(object))
	w.index.mu.Unlock()
	if known && e.key != (record.Key{}) {
		w.changed(e.key)
	}
}

// see notes a record that the API server has.
func (w *watcher) see(object *unstructured.Unstructured) {
	name, version := nameOf(object), object.GetResourceVersion()
	w.index.mu.Lock()
	e, known := w.index.entries[name]
	if !known {
		// Ours, on its way back from the API server, or an earlier run's.
		w.index.entries[name] = found(object)
		w.index.mu.Unlock()
		return
	}
	newer := source.Newer(version, e.seen)
	if newer {
		e.seen = version
		w.index.entries[name] = e
	}
	w.index.mu.Unlock()
	if newer && e.key != (record.Key{}) {
		w.changed(e.key)
	}
}

// found is what the metadata of a record that this run has not written says. A
// Final one that nobody else has had a hand in says what its annotation says.
func found(object *unstructured.Unstructured) entry {
	start, _ := record.ParseIntervalLabel(object.GetLabels()[v1alpha1.LabelInterval])
	e := entry{of: object.GetNamespace(), start: start, seen: object.GetResourceVersion()}
	annotations := object.GetAnnotations()
	for _, managed := range object.GetManagedFields() {
		if managed.Manager != fieldManager {
			return e
		}
	}
	e.of = cmp.Or(annotations[v1alpha1.AnnotationNamespace], e.of)
	e.bytes, _ = strconv.ParseInt(annotations[v1alpha1.AnnotationBytes], 10, 64)
	if digest := annotations[v1alpha1.AnnotationDigest]; digest != "" {
		e.written, e.digest, e.final = e.seen, digest, true
	}
	return e
}

// Coming is of no interest: nothing here has a time.
func (w *watcher) Coming([]source.Change) {}

// Progress is of no interest.
func (w *watcher) Progress(string, time.Time) {}

// Resumed is of no interest: a list has shown what there is.
func (w *watcher) Resumed(source.Bridge, source.Position, time.Time) {}

// Failed tells why records cannot be watched.
func (w *watcher) Failed(err error) {
	w.publisher.log.Info("cannot watch usage records; trying again", "error", err.Error())
}

func nameOf(object *unstructured.Unstructured) types.NamespacedName {
	return types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
}
