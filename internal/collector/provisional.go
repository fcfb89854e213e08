package collector

import (
	"slices"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/ledger"
)

// An object whose owners are not all known is put under the name that its owner
// reference gives: that may be a ReplicaSet's, where a Deployment's is the right
// one. Such a placement is provisional. It is put right from where it began, once
// the owner is found, whether the object is still there or not.

const (
	// resolveEvery is how often, in beats of the pulse, owners are asked for again.
	resolveEvery = 5
	// resolvedAtOnce bounds the objects whose owners are asked for at a time.
	resolvedAtOnce = 100
	// maxProvisional bounds what is remembered of provisional placements.
	maxProvisional = 10_000
	// provisionalFor is for how long, in seconds, an object that is gone waits for its owner.
	provisionalFor = 600
)

// provisional is a placement that waits for an owner.
type provisional struct {
	since    ledger.Moments // when the placement began; zero: with the object
	revision uint64         // at which its owners are looked for
	gone     int64          // when its object went; 0: it is there
}

// await notes whether an object's placement is provisional from the moment on.
// One that was so, and is not any more, is put right. Called under the lock.
func (c *Collector) await(uid string, e event) {
	_, _, unknown := c.graph.Unknown(uid)
	_, waits := c.provisional[uid]
	switch {
	case c.restored.checking: // what is held stays under whom the journal has it
	case waits && !unknown:
		c.reattribute([]string{uid}, "", e.moments())
	case unknown && !waits && len(c.provisional) < maxProvisional:
		p := provisional{revision: e.revision}
		if e.existed || c.ledger.Knows(uid) {
			p.since = e.moments()
		}
		c.provisional[uid] = p
	}
}

// placedSince is from when on an object is put where it belongs now: from when its
// provisional placement began, where that ends, else from the moment at which its
// surroundings changed. Called under the lock.
func (c *Collector) placedSince(uid string, changed ledger.Moments) ledger.Moments {
	p, waits := c.provisional[uid]
	if !waits {
		return changed
	}
	if _, _, unknown := c.graph.Unknown(uid); !unknown && p.gone == 0 {
		delete(c.provisional, uid)
	}
	return p.since
}

// linger keeps an object that is gone in the graph while its placement is
// provisional, as one that nothing but its owners tells of; false when it need
// not. Called under the lock.
func (c *Collector) linger(node attribution.Node, gone int64) bool {
	p, waits := c.provisional[node.Object.UID]
	if !waits {
		return false
	}
	p.gone = gone
	c.provisional[node.Object.UID] = p
	node.Labels, node.Claims, node.Selector, node.Parents, node.Backends = nil, nil, nil, nil, nil
	c.reattribute(c.graph.Upsert(node), node.Object.UID, ledger.Between(ledger.Live, gone, gone))
	return true
}

// resolve asks again for the owners that provisional placements wait for.
func (c *Collector) resolve() {
	c.mu.Lock()
	now := c.now().Unix()
	var waiting []string
	for uid, p := range c.provisional {
		owner, _, unknown := c.graph.Unknown(uid)
		_, vanished := c.vanished[owner.UID]
		switch {
		case p.gone != 0 && (!unknown || vanished || now-p.gone > provisionalFor):
			delete(c.provisional, uid)
			for _, at := range c.meters {
				delete(at.named, uid)
			}
			c.forget(uid, ledger.Between(ledger.Live, now, now))
		case unknown && !vanished:
			waiting = append(waiting, uid)
		}
	}
	slices.Sort(waiting)
	revisions := map[string]uint64{}
	waiting = waiting[:min(len(waiting), resolvedAtOnce)]
	for _, uid := range waiting {
		revisions[uid] = c.provisional[uid].revision
	}
	c.mu.Unlock()
	for _, uid := range waiting {
		moved := c.findOwners(nil, uid, revisions[uid])
		c.mu.Lock()
		c.reattribute(moved, "", ledger.Between(ledger.Live, now, now))
		c.mu.Unlock()
	}
}
