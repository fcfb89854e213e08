package collector

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/meter"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// What an object holds may be told by another one: how large a claim's volume is, by its
// PersistentVolume. Each has to name the other. The object's own reading is kept
// (sharer), and of the other kind what the meter reads of each object: when that changes,
// what is held changes at that moment. An object is not in the ledger before the other
// kind has been read, or cannot be.

// others are what a meter has read of the other kind.
type others struct {
	facts map[usage.Named]*otherFacts
	read  bool // every object of the kind was read by the present meter
	asked bool // a list was asked for, that shows them
	// gap is when what they say can have changed unseen, of which a list shows the end.
	gap attribution.Span
}

// otherFacts are what another object says.
type otherFacts struct {
	meter.Facts
	// before is what it said until the moments, for what began to hold something before
	// them, and is seen later; nil: it was not there, or that is not known.
	before  *meter.Facts
	moments ledger.Moments
	written int64 // when the object was written last, by its own word
}

// changed is when an object came to be as an event shows it: one that says that it was
// written later than it said before says when.
func (t *otherFacts) changed(uid string, e event) ledger.Moments {
	if t != nil && t.UID == uid && e.isNews() && e.written > t.written && e.written >= e.after-1 && e.written <= e.before+1 {
		written := usage.Boundary{At: max(e.written, e.after), Evidence: usage.ManagedFields}
		return ledger.Moments{End: written, Start: written}
	}
	return e.moments()
}

// said is what one meter reads of an object of the other kind.
type said struct {
	reader
	facts meter.Facts
}

func otherOf(members []usage.Member) usage.Named {
	for i := range members { // a meter with another object has one member
		if members[i].Active {
			return members[i].Other
		}
	}
	return usage.Named{}
}

// told is what the other object says of this one; nil: it vouches for none of it.
func (s *sharer) told(uid string) *otherFacts {
	if s.other == (usage.Named{}) {
		return nil
	}
	found := s.at.facts[s.other]
	if found == nil { // one that is in no namespace
		found = s.at.facts[usage.Named{Name: s.other.Name}]
	}
	if found == nil || !found.VouchesFor(uid) {
		return nil
	}
	return found
}

// followOther sees that the kind is followed that has facts of the meter's objects.
func (c *Collector) followOther(m *meter.Meter) {
	kind, is := m.Other()
	if !is {
		return
	}
	if f := c.follow(schema.GroupKind(kind), true, 0); f != nil {
		c.mu.Lock()
		delete(c.named.by, f.kind()) // it counts as metered
		c.mu.Unlock()
	}
}

// followOthers follows all such kinds, as far as they are installed.
func (c *Collector) followOthers() {
	c.mu.Lock()
	var meters []*meter.Meter
	for _, at := range c.meters {
		meters = append(meters, at.meter)
	}
	c.mu.Unlock()
	for _, m := range meters {
		c.followOther(m)
	}
}

// otherFeed is the feed of the kind that has facts of the meter's objects; nil: there is none.
func (c *Collector) otherFeed(at *metering) *feed {
	kind, is := at.meter.Other()
	if !is {
		return nil
	}
	return c.feeds[schema.GroupKind(kind)]
}

// askOther asks for what the meter reads of the other kind, where that is followed already.
// Called under the lock.
func (c *Collector) askOther(at *metering) {
	if f := c.otherFeed(at); f != nil && f.begun && !f.ended {
		at.asked = true
		f.source.ReplayHere(at)
	}
}

// otherUnread tells whether the meter has still to read the other kind. Called under the lock.
func (c *Collector) otherUnread(at *metering) bool {
	f := c.otherFeed(at)
	switch {
	case f == nil || f.ended:
		return false
	case !f.isSettled || c.restored.checking:
		return true
	}
	return !at.read && f.known && f.err == nil
}

// tellsOfOthers tells whether the kind has facts of what a meter reads. Called under the lock.
func (f *feed) tellsOfOthers() bool { return len(f.tellingOf()) > 0 }

// tellingOf are the meters that read the feed's objects for what they say of others, in
// order. Called under the lock.
func (f *feed) tellingOf() []*metering {
	var found []*metering
	for _, at := range f.collector.meters {
		if kind, is := at.meter.Other(); is && schema.GroupKind(kind) == f.kind() {
			found = append(found, at)
		}
	}
	slices.SortFunc(found, func(a, b *metering) int { return cmp.Compare(a.meter.Name(), b.meter.Name()) })
	return found
}

// readOther reads what an object of the feed says of others.
func (f *feed) readOther(object *unstructured.Unstructured) []said {
	f.collector.mu.Lock()
	var read []said
	for _, at := range f.tellingOf() {
		read = append(read, said{reader: reader{at: at, meter: at.meter}})
	}
	f.collector.mu.Unlock()
	for i := range read {
		read[i].facts = read[i].meter.ReadOther(object)
	}
	return read
}

func nameOf(object *unstructured.Unstructured) usage.Named {
	return usage.Named{Namespace: object.GetNamespace(), Name: object.GetName()}
}

// learnFacts takes in what an object says of others. Called under the lock.
func (c *Collector) learnFacts(s said, object *unstructured.Unstructured, e event) {
	if !s.current(c) {
		return
	}
	name := nameOf(object)
	was := s.at.facts[name]
	moments := was.changed(s.facts.UID, e)
	if was != nil && was.Equal(&s.facts) {
		was.written = max(was.written, e.written)
		return
	}
	now := &otherFacts{Facts: s.facts, written: e.written}
	now.UID = c.graph.UID(now.UID)
	for i, uid := range now.VouchFor {
		now.VouchFor[i] = c.graph.UID(uid)
	}
	if was != nil && e.isNews() {
		before := was.Facts // a copy: not the chain of all that was before that
		now.before, now.moments = &before, moments
	}
	if s.at.facts == nil {
		s.at.facts = map[usage.Named]*otherFacts{}
	}
	s.at.facts[usage.Named{Namespace: strings.Clone(name.Namespace), Name: strings.Clone(name.Name)}] = now
	c.tellOf(s.at, name, vouchedBy(was, now), moments)
}

func vouchedBy(was, now *otherFacts) []string {
	var uids []string
	for _, t := range [2]*otherFacts{was, now} {
		if t != nil {
			uids = append(uids, t.VouchFor...)
		}
	}
	slices.Sort(uids)
	return slices.Compact(uids)
}

// tellOf tells the ledger of those that name an object, and that it said or says something
// of: from the moment on. Called under the lock.
func (c *Collector) tellOf(at *metering, name usage.Named, uids []string, moments ledger.Moments) {
	for _, uid := range uids {
		h := at.holder(uid)
		s := c.sharers[h]
		if !c.tells(h, s) || s.other.Name != name.Name || name.Namespace != "" && s.other.Namespace != name.Namespace {
			continue
		}
		if q, bad := at.quarantine[uid]; bad && !q.partly {
			continue // it holds what it held, until it can be read
		}
		o := c.again(h, s)
		o.Told = moments
		if since, holds := c.ledger.Holding(uid); holds && since.At > moments.Start.At { // all the time that it holds something
			if since.IsZero() {
				since.Evidence = usage.Observed
			}
			o.Told = ledger.Moments{End: since, Start: since}
		}
		o.After, o.Before = moments.End.At, moments.Start.At
		c.deliver(at, o, s.object)
	}
}

// tellEarlier tells the ledger of an object that began to hold something before the other
// one came to say what it says: by what that said until then. It returns when that changed;
// zero: it did not. Called under the lock, before the ledger has the object.
func (c *Collector) tellEarlier(s *sharer, o ledger.Observation) ledger.Moments {
	t := s.told(o.UID)
	if t == nil || t.before == nil || s.when(nil).Before >= t.moments.End.At || c.ledger.HoldsBy(s.at.ledger, o.UID) {
		return ledger.Moments{}
	}
	o.Members = slices.Clone(s.read.Members)
	if t.before.VouchesFor(o.UID) {
		for i := range o.Members {
			t.before.Put(&o.Members[i])
		}
	}
	c.deliver(s.at, &o, s.object)
	return t.moments
}

// widen gives a list's reading, that waited for the other kind, the time in which that one
// can have changed, too. Called under the lock.
func (s *sharer) widen(o *ledger.Observation) {
	if gap := s.at.gap; s.other != (usage.Named{}) && o.Origin == ledger.Resumed && gap != (attribution.Span{}) {
		o.After, o.Before = min(o.After, gap.After), max(o.Before, gap.Before)
	}
}

// forgetFacts takes in that an object is gone: what it said is not said any more. Called
// under the lock.
func (f *feed) forgetFacts(object *unstructured.Unstructured, moments ledger.Moments) {
	for _, at := range f.tellingOf() {
		f.collector.loseFacts(at, nameOf(object), string(object.GetUID()), moments)
	}
}

func (c *Collector) loseFacts(at *metering, name usage.Named, uid string, moments ledger.Moments) {
	was := at.facts[name]
	if was == nil || was.UID != uid {
		return
	}
	delete(at.facts, name)
	c.tellOf(at, name, was.VouchFor, moments)
}

// forgetMissingFacts takes in which objects a list does not have. Called under the lock.
func (f *feed) forgetMissingFacts(moments ledger.Moments) {
	for _, at := range f.tellingOf() {
		var gone []usage.Named
		for name, was := range at.facts {
			if _, there := f.listed[was.UID]; !there {
				gone = append(gone, name)
			}
		}
		slices.SortFunc(gone, func(a, b usage.Named) int {
			return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
		})
		for _, name := range gone {
			f.collector.loseFacts(at, name, at.facts[name].UID, moments)
		}
	}
}

// othersRead notes for which meters a list has shown the kind, and since when what it shows
// can have changed. Called under the lock.
func (f *feed) othersRead(list source.List, earliest, latest int64) {
	for _, at := range f.tellingOf() {
		if list.Origin == source.Resumed || list.Origin == source.Check {
			at.gap = attribution.Span{After: earliest, Before: latest}
		}
		if list.For == at || list.Origin != source.Replay && !at.asked {
			at.read = true
		}
	}
}
