package collector

import (
	"context"

	"github.com/usage-operator/usage-operator/internal/meter"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// amendment is an edit of a meter at a moment. What happened before the moment is metered
// by the meter as it was, and what happens later by the meter as edited, in whatever order
// the two arrive:
//
//  1. The amendment waits until the meter's kind has been seen up to the moment, at most
//     turnsWait, or until a change from after the moment comes.
//  2. The kind's objects are listed as of there, for what the edited meter reads of them.
//     Later changes wait for that list, and so does the next amendment.
//
// A meter that stops does so at once: what its objects state later would count else.
type amendment struct {
	moment  int64 // seconds since the epoch
	meter   *meter.Meter
	version string
}

// amended is the version of the UsageMeter that the last edit was made to.
func (at *metering) amended() string {
	if n := len(at.amendments); n > 0 {
		return at.amendments[n-1].version
	}
	return at.version
}

// amend edits the meter, after the edits before it. Called under the lock.
func (c *Collector) amend(at *metering, a *amendment) {
	at.amendments = append(at.amendments, a)
	if len(at.amendments) == 1 {
		c.awaitAmendment(at)
	}
}

// awaitAmendment carries the first amendment out once the meter's kind has been seen up to its
// moment, or after turnsWait. Called under the lock.
func (c *Collector) awaitAmendment(at *metering) {
	a, f := at.amendments[0], at.feed
	if !c.Started() || f.ended {
		c.carryOut(at)
		return
	}
	c.running.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, turnsWait)
		defer cancel()
		err := f.pass(ctx, a.moment)
		if c.ctx.Err() != nil {
			return // the next run finds the meter edited
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if !at.awaits(a) {
			return
		}
		if err != nil {
			c.Log.Info("a meter's edit takes effect before everything until then has been seen", "meter", at.meter.Name(), "error", err.Error())
		}
		c.carryOut(at)
	})
}

// awaits tells whether the amendment is the next one to be carried out. Called under the lock.
func (at *metering) awaits(a *amendment) bool {
	return len(at.amendments) > 0 && at.amendments[0] == a && !at.relisting
}

// carryOut applies the first of a meter's amendments, and asks for the list that shows
// what the edited meter reads. Called under the lock.
func (c *Collector) carryOut(at *metering) {
	a := at.amendments[0]
	at.relisting = true
	at.meter, at.version = a.meter, a.version
	at.quarantine, at.named = map[string]Quarantined{}, map[string]struct{}{}
	at.relate(a.meter)
	c.ledger.Redefine(at.ledger, a.meter.Dimensions(), a.moment)
	c.askRepresentatives(at)
	at.feed.source.ReplayHere(at)
}

// relisted tells that the edited meter has been shown every object. Called under the lock.
func (c *Collector) relisted(at *metering) {
	if !at.relisting {
		return
	}
	at.relisting, at.amendments = false, at.amendments[1:]
	if len(at.amendments) > 0 {
		c.awaitAmendment(at)
	}
}

// hurryAmendments carries out all amendments of a meter that is about to stop. Called
// under the lock.
func (c *Collector) hurryAmendments(at *metering) {
	for len(at.amendments) > 0 {
		if !at.relisting {
			c.carryOut(at)
		}
		at.relisting, at.amendments = false, at.amendments[1:]
	}
}

// amendBefore carries out the amendments that a change comes after, and has the lists made
// that they ask for, before the change is taken in.
func (f *feed) amendBefore(e event) {
	for left := f.carryOutBefore(e); left > 0; {
		if err := f.source.ReplayNow(); err != nil {
			f.doubtAmendments(e.now)
			return
		}
		before := left
		if left = f.carryOutBefore(e); left >= before {
			return // their lists are another feed's to make
		}
	}
}

// carryOutBefore carries out the amendments that the change comes after, as far as none
// waits for a list: how many are left that the change has to wait for.
func (f *feed) carryOutBefore(e event) int {
	c := f.collector
	c.mu.Lock()
	defer c.mu.Unlock()
	left := 0
	for _, at := range f.meters {
		for i, a := range at.amendments {
			switch {
			case i == 0 && at.relisting:
				left++
			case a.moment < e.after:
				if left++; i == 0 {
					c.carryOut(at)
				}
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
// moment at which it was written, as far as that is known. Called under the lock.
func (c *Collector) editedAway(at *metering, target Target, now int64) {
	edited := now
	if target.Edited != 0 {
		edited = min(max(target.Edited, c.restored.time), now)
	}
	at.version = target.Version
	c.ledger.Redefine(at.ledger, at.meter.Dimensions(), edited)
	at.feed.source.Replay(at)
}
