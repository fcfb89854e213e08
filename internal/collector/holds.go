package collector

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// A claim, service or gateway keeps the deployment that it followed last, as long as it
// holds something by a meter: so that the journal, which has what is held, has the
// deployment too, and a next run places it alike (attribution.Node.Holds).

// following are the kinds whose objects are placed where others are.
var following = []schema.GroupKind{claimKind, deviceKind, serviceKind, gatewayKind}

// holds tells whether an object of a following kind holds something, by what its meters
// read of it, or, of meters that read nothing this time, by the ledger. Called under the lock.
func (f *feed) holds(uid string, readings []reading) bool {
	if !slices.Contains(following, f.kind()) {
		return false
	}
	for _, m := range f.collector.restored.ledger { // not taken up yet
		if f.collector.ledger.HoldsBy(m, uid) {
			return true
		}
	}
	return slices.ContainsFunc(f.meters, func(at *metering) bool {
		if p := at.parts[uid]; p != nil && p.represented && at.represented != nil { // until it is decided anew
			return false
		}
		i := slices.IndexFunc(readings, func(r reading) bool { return r.at == at && r.current(f.collector) })
		if i >= 0 && slices.ContainsFunc(readings[i].members, holdsAny) {
			return true
		}
		return (i < 0 || readings[i].err != nil) && f.collector.ledger.HoldsBy(at.ledger, uid)
	})
}

func holdsAny(m usage.Member) bool {
	return m.Active && slices.ContainsFunc(m.Levels, func(level int64) bool { return level != 0 })
}

// release tells the graph what the feed's objects hold nothing of any more, since a meter
// has stopped at the moment. Called under the lock, when the ledger has it as stopped.
func (f *feed) release(moment int64) {
	if !slices.Contains(following, f.kind()) {
		return
	}
	c := f.collector
	var idle []string
	c.graph.Objects(f.kind().Group, f.kind().Kind, func(uid string) {
		if _, holds := c.ledger.Holding(uid); !holds && !f.refuses(uid) {
			idle = append(idle, uid)
		}
	})
	slices.Sort(idle)
	for _, uid := range idle {
		c.recent.outside(uid)
		c.reattribute(c.graph.Hold(uid, false), "", ledger.Between(ledger.Live, moment, moment))
	}
}

// holdsNow tells the graph whether an object holds something, when another one has come to
// represent it for a meter, or does not any more. Called under the lock, when the ledger has
// it so.
func (c *Collector) holdsNow(uid string, moments ledger.Moments) {
	_, holds := c.ledger.Holding(uid)
	c.reattribute(c.graph.Hold(uid, holds), uid, moments)
}

// refuses tells whether a meter of the feed could not have the object, for another one
// measured the same: it has it now. Called under the lock.
func (f *feed) refuses(uid string) bool {
	return slices.ContainsFunc(f.meters, func(at *metering) bool {
		_, quarantined := at.quarantine[uid]
		return quarantined && f.collector.meters[at.meter.Name()] == at
	})
}
