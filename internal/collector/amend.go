package collector

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/meter"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// amendment is a change of a meter at a moment: it is edited, or it stops. What happened
// before the moment is metered by the meter as it was, and what happens later by the meter
// as it is then, in whatever order the two arrive:
//
//  1. The amendment waits until the meter's kind has been seen up to the moment, or until
//     a change from after the moment comes. A kind that is not there, or may not be read,
//     is not waited for.
//  2. After an edit the kind's objects are listed as of there, for what the edited meter
//     reads of them. Later changes wait for that list, and so does the next amendment.
//
// An interval is not sealed before the amendments in it have taken effect.
type amendment struct {
	moment  int64        // seconds since the epoch
	meter   *meter.Meter // nil: it stops
	version string
	done    chan struct{} // closed when it has taken effect
}

// amended is the version of the UsageMeter that the last edit was made to.
func (at *metering) amended() string {
	if n := len(at.amendments); n > 0 {
		return at.amendments[n-1].version
	}
	return at.version
}

// stopping tells whether the meter is about to stop. Called under the lock.
func (at *metering) stopping() bool {
	n := len(at.amendments)
	return n > 0 && at.amendments[n-1].meter == nil
}

// amend changes the meter, after the changes before. Called under the lock.
func (c *Collector) amend(at *metering, a *amendment) {
	a.done = make(chan struct{})
	at.amendments = append(at.amendments, a)
	if len(at.amendments) == 1 {
		c.awaitAmendment(at)
	}
}

// awaitAmendment carries the first amendment out once the meter's kind has been seen up
// to its moment. Called under the lock.
func (c *Collector) awaitAmendment(at *metering) {
	a := at.amendments[0]
	if !c.Started() || at.feed.ended {
		c.carryOut(at)
		return
	}
	c.running.Go(func() {
		for c.ctx.Err() == nil { // the next run finds the meter changed
			f := c.amends(at, a)
			if f == nil {
				return
			}
			ctx, cancel := context.WithTimeout(c.ctx, turnsWait)
			err := f.reach(ctx, a.moment)
			cancel()
			if err == nil || refused(err) {
				c.mu.Lock()
				if at.awaits(a) {
					c.carryOut(at)
				}
				c.mu.Unlock()
				return
			}
			c.Log.V(1).Info("a meter's change waits for what was before it", "meter", at.ledger.Name, "error", err.Error())
			timer := c.Clock.NewTimer(amendAgain)
			select {
			case <-timer.C():
			case <-c.ctx.Done():
				timer.Stop()
			}
		}
	})
}

// amendAgain is how long an amendment waits for a kind that could not be read.
const amendAgain = time.Second

// amends is the feed that the amendment waits for; nil: it waits no more.
func (c *Collector) amends(at *metering, a *amendment) *feed {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !at.awaits(a) {
		return nil
	}
	return at.feed
}

// awaits tells whether the amendment is the next one to be carried out. Called under the lock.
func (at *metering) awaits(a *amendment) bool {
	return len(at.amendments) > 0 && at.amendments[0] == a && !at.relisting
}

// carryOut applies the first of a meter's amendments, and asks for the list that shows
// what an edited meter reads. Called under the lock.
func (c *Collector) carryOut(at *metering) {
	a := at.amendments[0]
	if a.meter == nil {
		at.effected()
		c.stop(at, a.moment)
		return
	}
	if !at.editing() {
		at.unedited = at.version
	}
	at.relisting = true
	at.meter, at.version = a.meter, a.version
	at.quarantine, at.named = map[string]Quarantined{}, map[string]struct{}{}
	at.relate(a.meter)
	c.ledger.Redefine(at.ledger, a.meter.Dimensions(), a.moment)
	c.askRepresentatives(at)
	c.askOther(at)
	at.feed.source.ReplayHere(at)
}

// relisted tells that the edited meter has been shown every object. Called under the lock.
func (c *Collector) relisted(at *metering) {
	if !at.relisting {
		return
	}
	at.effected()
	if len(at.amendments) > 0 {
		c.awaitAmendment(at)
	}
}

// effected notes that the first amendment has taken effect. Called under the lock.
func (at *metering) effected() {
	close(at.amendments[0].done)
	at.relisting, at.amendments = false, at.amendments[1:]
}

// hurryAmendments carries out all amendments of a meter that stops. Called under the lock.
func (c *Collector) hurryAmendments(at *metering) {
	for len(at.amendments) > 0 {
		if a := at.amendments[0]; !at.relisting {
			if at.feed.source.Behind() || at.feed.passed.Load() < a.moment { // it has not been seen up to there
				c.cover(at, at.feed.position(at.feed.kind()).Time, a.moment, usage.CoverageUnknown)
			}
			c.carryOut(at)
		}
		if at.relisting {
			at.effected()
		}
	}
}

// amended waits until the amendments of before the moment have taken effect. The kind has
// been seen up to there.
func (f *feed) amended(ctx context.Context, moment int64) error {
	for {
		done, name := f.amendedNext(moment)
		if done == nil {
			return nil
		}
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("UsageMeter %s: its last change has not taken effect: %w", name, ctx.Err())
		}
	}
}

// amends tells whether changes of meters from before the moment have not taken effect.
// Called under the lock.
func (f *feed) amends(moment int64) bool {
	return slices.ContainsFunc(f.meters, func(at *metering) bool { return len(at.amendments) > 0 && at.amendments[0].moment < moment })
}

// amendedNext carries out an amendment of before the moment, and tells when and of which
// meter it will have taken effect; nil: there is none.
func (f *feed) amendedNext(moment int64) (done <-chan struct{}, name string) {
	f.collector.mu.Lock()
	defer f.collector.mu.Unlock()
	for _, at := range slices.Clone(f.meters) {
		if len(at.amendments) == 0 || at.amendments[0].moment >= moment {
			continue
		}
		a := at.amendments[0]
		if !at.relisting {
			f.collector.carryOut(at)
		}
		return a.done, at.meter.Name()
	}
	return nil, ""
}

// amendBefore carries out the amendments that a change comes after, and has the lists made
// that they ask for, before the change is taken in.
func (f *feed) amendBefore(object *unstructured.Unstructured, e event) {
	readers := f.amending()
	if len(readers) == 0 {
		return
	}
	after := max(e.after, stated(object, readers, e.now))
	if change := e.moments().Start; change.Evidence == usage.ManagedFields {
		after = max(after, change.At) // so it will be dated
	}
	for left := f.carryOutBefore(after); left > 0; {
		if err := f.source.ReplayNow(); err != nil {
			f.doubtAmendments(e.now)
			return
		}
		before := left
		if left = f.carryOutBefore(after); left >= before {
			return // their lists are another feed's to make
		}
	}
}

// amending are the meters that have amendments, as readers.
func (f *feed) amending() []reader {
	f.collector.mu.Lock()
	defer f.collector.mu.Unlock()
	var readers []reader
	for _, at := range f.meters {
		if len(at.amendments) > 0 {
			readers = append(readers, reader{at: at, meter: at.meter})
		}
	}
	return readers
}

// stated is the latest moment that an object states of its members' times, up to now: it
// was written no earlier. 0: it states none.
func stated(object *unstructured.Unstructured, readers []reader, now int64) int64 {
	latest := int64(0)
	for _, r := range read(object, readers) {
		for i := range r.members {
			for _, b := range []usage.Boundary{r.members[i].Start, r.members[i].End} {
				if b.At <= now {
					latest = max(latest, b.At)
				}
			}
		}
	}
	return latest
}

// carryOutBefore carries out the amendments of before the moment, as far as none waits for
// a list: how many are left that a change after the moment has to wait for.
func (f *feed) carryOutBefore(moment int64) int {
	c := f.collector
	c.mu.Lock()
	defer c.mu.Unlock()
	left := 0
	for _, at := range slices.Clone(f.meters) {
		if len(at.amendments) > 0 && !at.relisting && at.amendments[0].moment < moment {
			c.carryOut(at)
		}
		for i, a := range at.amendments {
			if i == 0 && at.relisting || a.moment < moment {
				left++
			}
		}
	}
	return left
}

// doubtAmendments notes that changes are taken in before the lists that edited meters wait
// for: what they read of an object until it changed is not known to the second.
func (f *feed) doubtAmendments(until int64) {
	c := f.collector
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range f.meters {
		if at.relisting {
			c.cover(at, at.amendments[0].moment, until, usage.CoverageEstimated)
		}
	}
}

// amendedAt is the moment of the edit that a list is made for; false when it is made for
// something else.
func (c *Collector) amendedAt(list source.List) (int64, bool) {
	at, _ := list.For.(*metering)
	if list.Origin != source.Replay || at == nil {
		return 0, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !at.relisting {
		return 0, false
	}
	return at.amendments[0].moment, true
}

// editedAway applies an edit of a meter that was made while no operator ran, from the
// moment at which it was written, as far as that is known. What came and changed between
// what the last run had seen of its kind and then was to be read by what the meter was,
// which is not known any more: that stretch is Estimated. Called under the lock.
func (c *Collector) editedAway(at *metering, target Target, now int64) {
	seen, edited := c.restored.time, now
	if passed := at.feed.passed.Load(); passed != 0 {
		seen = min(seen, passed)
	}
	switch {
	case at.carried != "": // the last run did it, and ended before all was listed
		seen = min(seen, at.ledger.Defined)
		if at.carried == target.Version {
			edited = at.ledger.Defined
		}
	case target.Edited >= seen: // else it is of an edit before; one that only takes away states no time
		edited = min(target.Edited, now)
	}
	at.edited = attribution.Span{After: seen, Before: edited}
	c.cover(at, seen, edited, usage.CoverageEstimated)
	at.unedited, at.version = at.version, target.Version
	c.ledger.Redefine(at.ledger, at.meter.Dimensions(), edited)
	if at.from == 0 {
		at.feed.source.Replay(at) // it began later than where its kind's watch is
		return
	}
	at.feed.source.ReplayHere(at)
}

// since is an event as the meter takes it in. What a check shows otherwise than the journal
// has it is what a meter that was edited while no operator ran reads differently: since
// then, and not since the last check. Called under the lock.
func (at *metering) since(e event) event {
	if e.checks && at.edited != (attribution.Span{}) {
		e.after, e.before = at.edited.After, at.edited.Before
	}
	return e
}
