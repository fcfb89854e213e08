package collector

import (
	"context"

	"github.com/usage-operator/usage-operator/internal/meter"
)

// amendment is an edit of a meter at a moment. It takes effect once the meter's kind has
// been seen up to the moment, so that earlier events that arrive later are metered by the
// meter as it was. A meter that stops does so at once: what its objects state later would
// count else.
type amendment struct {
	moment  int64 // seconds since the epoch
	meter   *meter.Meter
	version string
}

// amend carries an amendment out once the meter's kind has been seen up to its moment, or
// after turnsWait. Called under the lock.
func (c *Collector) amend(at *metering, a *amendment) {
	at.pending = a
	if !c.Started() || at.feed.ended {
		c.carryOut(at)
		return
	}
	f := at.feed
	c.running.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, turnsWait)
		defer cancel()
		err := f.pass(ctx, a.moment)
		if c.ctx.Err() != nil {
			return // the next run finds the meter changed
		}
		if err != nil {
			c.Log.Info("a meter is changed before all that happened until then has been seen", "meter", at.meter.Name(), "error", err.Error())
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if at.pending == a {
			c.carryOut(at)
		}
	})
}

// carryOut applies a meter's amendment. Called under the lock.
func (c *Collector) carryOut(at *metering) {
	a := at.pending
	at.pending = nil
	at.meter, at.version = a.meter, a.version
	at.quarantine, at.named = map[string]Quarantined{}, map[string]struct{}{}
	at.relate(a.meter)
	c.ledger.Redefine(at.ledger, a.meter.Dimensions(), a.moment)
	c.askRepresentatives(at)
	at.feed.source.Replay(at)
}

// settleAmendment carries out the pending amendment of a meter that is applied in a
// version, unless the amendment is to that version. Called under the lock.
func (c *Collector) settleAmendment(at *metering, version string) {
	if at != nil && at.pending != nil && at.pending.version != version {
		c.carryOut(at)
	}
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
