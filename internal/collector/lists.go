package collector

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Listing begins a list.
func (f *feed) Listing(list source.List) {
	if list.Origin == source.Resumed && list.ResourceVersion != "" {
		f.collector.probe(source.Revision(list.ResourceVersion)) // what it shows happened by then
	}
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
	f.collector.turns.getsOn(f)
}

// Listed ends a list: what was known and the list does not have is gone.
func (f *feed) Listed(list source.List, resourceVersion string, now time.Time) {
	c := f.collector
	overtook := f.overtakes(list)
	c.mu.Lock()
	if f.ended {
		c.mu.Unlock()
		return
	}
	earliest, latest := f.when(list, now)
	if list.Origin != source.Replay {
		f.forgetParts(ledger.Between(ledger.Resumed, earliest, latest))
	}
	for _, r := range f.readers {
		if list.Origin != source.Replay && r.alive(c) {
			// A list shows which objects exist, whatever the meter's expressions are: deletions are taken in after an edit, too.
			f.endMissing(r.at, earliest, latest)
		}
		r.at.listed = nil
		if overtook {
			c.cover(r.at, earliest, latest, usage.CoverageEstimated)
		}
		if r.current(c) {
			f.shown(r.at, list, resourceVersion)
		}
	}
	f.readers = nil
	if list.Origin == source.Replay {
		f.othersRead(list, earliest, latest)
		c.tellAll()
		c.mu.Unlock()
		return
	}
	f.loseMissing(ledger.Between(ledger.Resumed, earliest, latest))
	f.forgetMissingFacts(ledger.Between(ledger.Resumed, earliest, latest))
	f.othersRead(list, earliest, latest)
	f.forgetMissing(ledger.Between(ledger.Resumed, earliest, latest))
	if list.Origin == source.Resumed {
		f.estimate(earliest, latest)
		f.lostSince(earliest)
		f.estimated = latest
	}
	f.listed, f.listing, f.checking = nil, false, false
	f.synced, f.known = true, true
	f.moved.Store(source.Revision(resourceVersion))
	f.advanced(resourceVersion, now)
	if list.ResourceVersion == "" {
		c.chronology.After(source.Revision(resourceVersion), list.Began.Unix())
		f.passed.Store(max(f.passed.Load(), list.Began.Unix()))
	}
	f.checked = max(f.checked, min(f.unseen(resourceVersion), now.Unix()))
	f.settle()
	checked := c.restored.checked
	c.mu.Unlock()
	if list.ResourceVersion != "" {
		wait(c.ctx, checked) // what follows is news, and moves what surrounds it
		c.turns.getsOn(f)
	}
}

// lostSince notes from when on, and where, the kind's history is lost, while what is known is
// compared with what there is. Called under the lock.
func (f *feed) lostSince(earliest int64) {
	r, kind := &f.collector.restored, f.kind()
	if !r.checking {
		return
	}
	if r.lost == 0 || earliest < r.lost {
		r.lost = earliest
	}
	if f.lost.ResourceVersion == "" {
		f.lost = journal.Position{Group: kind.Group, Kind: kind.Kind, ResourceVersion: f.resourceVersion, Time: earliest, Checked: f.checked}
	}
}

// shown tells that the list showed the meter everything. Called under the lock.
func (f *feed) shown(at *metering, list source.List, resourceVersion string) {
	c := f.collector
	if at.from == 0 && !at.durable && list.Began.Unix()-at.ledger.Since > skew {
		// Objects that were created and deleted between the meter's creation and its first list are unknown.
		c.cover(at, at.ledger.Since, list.Began.Unix(), usage.CoverageEstimated)
	}
	if list.Origin != source.Check {
		at.from, at.edited = source.Revision(resourceVersion), attribution.Span{}
		c.relisted(at)
	}
	c.Notify(at.meter.Name())
}

// overtakes tells whether a list shows a meter, which has metered before, what the feed has
// still to catch up with: changes in between are not seen one by one.
func (f *feed) overtakes(list source.List) bool {
	at, _ := list.For.(*metering)
	if at == nil || list.Origin != source.Replay || list.ResourceVersion != "" || !f.source.Behind() {
		return false
	}
	f.collector.mu.Lock()
	defer f.collector.mu.Unlock()
	return at.from != 0
}

// when is when what a list shows otherwise than it was known can have happened.
// What a check shows so is news that never arrived: it came after the last list.
func (f *feed) when(list source.List, now time.Time) (earliest, latest int64) {
	earliest, latest = f.lookedUntil(f.resourceVersion, list.After.Unix()), now.Unix()
	if list.Origin == source.Check {
		earliest = f.checked
	}
	if list.ResourceVersion != "" {
		_, latest = f.collector.chronology.Bounds(source.Revision(list.ResourceVersion), latest)
	}
	return min(earliest, latest), latest
}

// lookedUntil is up to when everything was seen by who came to the resourceVersion,
// and was delivered something last at the moment. A watch may be far behind, and
// deliver what is old: when it did so does not tell up to when it has come.
func (f *feed) lookedUntil(resourceVersion string, moment int64) int64 {
	if unseen := max(f.passed.Load(), f.unseen(resourceVersion)); unseen > 0 {
		return min(unseen, moment)
	}
	return moment
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
	if f.kind() == nodeKind {
		for name, node := range c.nodes {
			if _, there := f.listed[string(node.GetUID())]; !there {
				c.forgetNode(nodeKind, name, string(node.GetUID()))
			}
		}
	}
	if f.kind() != namespaceKind {
		return
	}
	for name, at := range c.namespaces {
		if _, there := f.listed[at.uid]; !there {
			c.endNamespace(name, at.uid, moments.End.At)
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
	c.tellMissing(at)
	var missing []string
	c.ledger.Objects(at.ledger, func(uid string) {
		if _, there := at.listed[uid]; !there {
			missing = append(missing, uid)
		}
	})
	slices.Sort(missing)
	for _, uid := range missing {
		c.ledger.Missing(at.ledger, uid, earliest, latest)
		c.unshare(at, uid, ledger.Between(ledger.Resumed, earliest, latest))
		if !c.graph.Contains(uid) {
			c.recent.outside(uid)
			c.graph.Remove(uid) // a former run's word of it
		}
		at.depart(uid)
		delete(at.quarantine, uid)
		delete(at.named, uid)
	}
}
