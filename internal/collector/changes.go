package collector

import (
	"math"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Coming learns from changes that nobody saw when they happened.
func (f *feed) Coming(changes []source.Change) {
	for _, change := range changes {
		f.learn(change)
	}
}

// writtenBy is when the change was written, in seconds since the epoch, as its
// object says; 0: it does not say.
func writtenBy(change source.Change) int64 {
	written, _ := lastWrite(change.Object)
	if created := change.Object.GetCreationTimestamp(); written == 0 && change.Type == watch.Added && !created.IsZero() {
		return created.Unix()
	}
	return written
}

// learn learns from when a change was written when others can have been: those after it
// were not before. An object that tenants may write is believed in its creation alone, which
// the API server states: they can write the dates in its managedFields, too, which say
// nothing of what others wrote.
func (f *feed) learn(change source.Change) {
	if change.Type == watch.Deleted { // its last state was written before
		return
	}
	dated := change.Object.GetCreationTimestamp().Unix()
	if f.ofTheCluster() {
		dated = writtenBy(change)
	}
	if dated > 0 { // and committed some time later
		f.collector.chronology.AtLeast(source.Revision(change.Object.GetResourceVersion()), dated)
	}
}

// ofTheCluster tells that no tenant writes objects of the kind: nodes, volumes and others of
// Kubernetes itself that have no namespace. Namespaces may be their tenants' to label.
func (f *feed) ofTheCluster() bool {
	kind := f.kind()
	return !f.namespaced() && kind != namespaceKind && (kind.Group == "" || strings.HasSuffix(kind.Group, ".k8s.io"))
}

// Changed is one change that the watch delivered.
func (f *feed) Changed(change source.Change, now time.Time) {
	object := change.Object
	e := f.eventOf(source.List{}, object, now)
	e.origin, e.existed, e.written = ledger.Live, change.Type == watch.Modified, writtenBy(change)
	if change.Replayed {
		e.origin = ledger.Replayed
	}
	f.collector.chronology.Before(e.revision, e.now)
	f.learn(change)
	f.collector.turns.wait(f.collector.ctx, f, e.revision, now)
	if f.collector.ctx.Err() != nil {
		return // the next run takes it in, in its turn
	}
	f.date(&e, change)
	if f.collector.ctx.Err() != nil {
		return // and dates it, which may have ended early
	}
	f.datedBefore(&e, string(object.GetUID()), change.Type)
	f.moved.Store(e.revision)
	f.doubtBehind(e)
	f.amendBefore(object, e)
	if change.Type == watch.Deleted {
		// A replay at a later revision does not end what the meter holds of an object that
		// it did not show: the deletion does, and every meter of the kind reads it.
		f.drop(object, e, f.readersOf(math.MaxUint64))
	} else {
		f.take(object, e, f.readersOf(e.revision))
	}
}

// doubtBehind notes that the kind was behind others when the last run ended. What each had
// come to is what this run began with: where the kind's objects belonged before, and those
// that are placed by them, is not known to the second.
func (f *feed) doubtBehind(e event) {
	c := f.collector
	if f.doubted || e.origin != ledger.Replayed || e.revision > c.restored.ahead {
		return
	}
	if dated := e.before < e.now; dated && e.before > c.restored.time-vague {
		return
	}
	f.doubted = true
	c.mu.Lock()
	defer c.mu.Unlock()
	f.estimate(e.after, c.restored.time)
}

// date finds out when the change can have happened. It is done in the change's turn, when
// all that the other kinds have before it has been learnt from: so what comes of it does not
// depend on which kind was faster.
func (f *feed) date(e *event, change source.Change) {
	c := f.collector
	e.after, e.before = c.chronology.Bounds(e.revision, e.now)
	if !change.Replayed {
		return
	}
	// What is between the same two marks as the change before it is known no better.
	if between := [2]int64{e.after, e.before}; between != f.probed {
		c.probe(e.revision)
		e.after, e.before = c.chronology.Bounds(e.revision, e.now)
		f.probed = [2]int64{e.after, e.before}
	}
}

// datedBefore bounds a change by the date of the one of the same object before it, where
// nothing else is known of the time between the two: one that only takes fields away has
// that very date, and came later. What an object says of itself bounds no other's changes.
func (f *feed) datedBefore(e *event, uid string, what watch.EventType) {
	if e.after >= f.datedLast || len(f.dated) > datedAtMost {
		f.dated, f.datedLast = nil, 0
	}
	e.after = max(e.after, f.dated[uid])
	dated := min(e.written, e.before) // what is later is made up, and says nothing of the next one
	switch {
	case what == watch.Deleted:
		delete(f.dated, uid)
	case dated > e.after+1: // else it is no better than what is known
		if f.dated == nil {
			f.dated = map[string]int64{}
		}
		f.dated[uid] = dated
		f.datedLast = max(f.datedLast, dated)
	}
	e.after = min(e.after, e.before)
}

// datedAtMost is of how many objects of a kind dates are kept: a list of these lets go of all.
const datedAtMost = 10_000

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
	if f.collector.ctx.Err() != nil {
		return // changes before it may not have been taken in
	}
	f.collector.chronology.Before(source.Revision(resourceVersion), now.Unix())
	f.collector.mu.Lock()
	defer f.collector.mu.Unlock()
	f.advanced(resourceVersion, now)
}

// advanced notes the position. Called under the lock.
func (f *feed) advanced(resourceVersion string, now time.Time) {
	f.resourceVersion, f.observed = resourceVersion, now
	f.collector.turns.came(f, source.Revision(resourceVersion))
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
	since := max(f.lookedUntil(from.ResourceVersion, from.Time.Unix()), f.estimated)
	if how >= source.Sampled {
		f.estimate(since, now.Unix())
	} else {
		f.cover(since, now.Unix(), usage.CoverageReplayed)
	}
	c.turns.caughtUp(f)
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
	if refused(err) {
		c.turns.missing(f)
	}
	if f.tellsOfOthers() {
		defer c.tellAll() // those that wait for it
	}
	if apierrors.IsNotFound(err) && f.synced {
		f.uninstalled()
	}
	if refused(err) || c.now().Unix()-max(f.started, c.answered) >= settlePatience {
		f.settle()
	}
}

// settlePatience is how many seconds others wait for a kind that cannot be read
// for a reason that may go away, counted from when the API server answers at all.
const settlePatience = 30

// uninstalled takes in that the kind itself is gone, and all its objects with it.
func (f *feed) uninstalled() {
	c := f.collector
	f.synced = false
	now := c.now().Unix()
	f.listed = nil
	f.forgetParts(ledger.Between(ledger.Live, now, now))
	for _, at := range f.meters {
		at.listed = map[string]struct{}{}
		f.endMissing(at, min(c.chronology.Earliest(source.Revision(f.resourceVersion)), now), now)
		at.listed, at.from = nil, 0
	}
	f.loseMissing(ledger.Between(ledger.Live, now, now))
	f.listed = map[string]struct{}{}
	f.forgetMissingFacts(ledger.Between(ledger.Live, now, now))
	f.listed = nil
}

// refused tells that a kind is not there, or may not be read.
func refused(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsMethodNotSupported(err)
}
