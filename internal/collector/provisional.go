package collector

import (
	"cmp"
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
	came     ledger.Moments // when the object came to be placed so, for those that follow it
	seen     event          // how it was seen so
	gone     int64          // when its object went; 0: it is there
	restored bool           // it is where the journal has it
	// Of one that is gone: under which name it was, and what followed it there then.
	under     string
	followers []string
}

// await notes whether an object's placement is provisional from the moment on.
// One that was so, and is not any more, is put right. Called under the lock.
func (c *Collector) await(uid string, e event) {
	_, _, unknown := c.graph.Unknown(uid)
	_, waits := c.provisional[uid]
	switch {
	case waits && !unknown:
		c.resolved(uid)
	case !unknown || waits:
	case c.restored.checking && c.ledger.Knows(uid): // what is held stays under whom the journal has it
	default:
		p := provisional{seen: e, came: e.moments()}
		if e.existed || c.ledger.Knows(uid) {
			p.since = p.came
		}
		c.remember(uid, p)
	}
}

// remember notes a placement that waits for an owner, unless too many do. Called under the lock.
func (c *Collector) remember(uid string, p provisional) {
	if _, waits := c.provisional[uid]; !waits && len(c.provisional) < maxProvisional {
		c.provisional[uid] = p
	}
}

// resolved puts an object right whose placement was provisional and is not any more,
// from where it began; and with it what follows it. Called under the lock.
func (c *Collector) resolved(uid string) {
	p, waits := c.provisional[uid]
	if !waits {
		return
	}
	if _, _, unknown := c.graph.Unknown(uid); unknown {
		return
	}
	delete(c.provisional, uid)
	if !c.graph.Contains(uid) {
		return // a list did not have it any more
	}
	followers := c.graph.Followers(uid)
	now := c.graph.Place(uid).Deployment
	for _, follower := range p.followers {
		followers = append(followers, c.graph.Mend(follower, p.under, now)...)
	}
	for _, follower := range followers {
		c.put(follower, c.followedSince(follower, p.came))
	}
	if p.restored {
		c.lift(uid)
	}
	c.put(uid, p.since)
	if p.gone != 0 {
		c.leftUnder(uid, p.under, now)
		c.recent.outside(uid)
		c.graph.Remove(uid) // which nothing follows any more
		c.unname(uid)
	}
}

// followedSince is from when on a follower is where it is: from the moment, or from before,
// where it was put there as a whole (ledger.Settle). Called under the lock.
func (c *Collector) followedSince(uid string, moment ledger.Moments) ledger.Moments {
	if since, held := c.ledger.Placed(uid, uid); held && since.At < moment.End.At {
		return ledger.Moments{End: since, Start: since}
	}
	return moment
}

// unname forgets what the meters know of the name of an object that is gone. Called under the lock.
func (c *Collector) unname(uid string) {
	for _, at := range c.meters {
		delete(at.named, uid)
	}
}

// linger keeps an object that is gone in the graph while its placement is
// provisional, as one that nothing but its owners tells of; false when it need
// not. Called under the lock.
func (c *Collector) linger(node attribution.Node, e event) bool {
	uid := node.Object.UID
	p, waits := c.provisional[uid]
	if !waits {
		return false
	}
	p.gone, p.under, p.followers = e.now, c.graph.Place(uid).Deployment, c.graph.Followers(uid)
	c.provisional[uid] = p
	node.Labels, node.Claims, node.Selector, node.Parents, node.Backends = nil, nil, nil, nil, nil
	c.reattribute(c.upsert(node, e), uid, ledger.Between(ledger.Live, e.now, e.now))
	return true
}

// waiter is an object that waits for an owner, as it was seen first.
type waiter struct {
	uid, namespace string
	seen           event
}

// compare orders by what happened first.
func (w waiter) compare(o waiter) int {
	return cmp.Or(cmp.Compare(w.seen.revision, o.seen.revision), cmp.Compare(w.uid, o.uid))
}

// resolve asks again for the owners that provisional placements wait for.
func (c *Collector) resolve() {
	c.mu.Lock()
	now := c.now().Unix()
	clear(c.named.asked)
	c.forgetLeft(now)
	c.recent.forget(now)
	var waiting, known []waiter
	for uid, p := range c.provisional {
		owner, namespace, unknown := c.graph.Unknown(uid)
		_, vanished := c.vanished[owner.UID]
		switch {
		case p.gone != 0 && (vanished || now-p.gone > provisionalFor):
			delete(c.provisional, uid)
			c.unname(uid)
			c.forget(uid, ledger.Between(ledger.Live, now, now))
		case !unknown: // and it was called what it is
			known = append(known, waiter{uid, namespace, p.seen})
		case !vanished:
			waiting = append(waiting, waiter{uid, namespace, p.seen})
		}
	}
	slices.SortFunc(known, waiter.compare)
	for _, w := range known {
		c.resolved(w.uid)
	}
	slices.SortFunc(waiting, waiter.compare)
	waiting = waiting[:min(len(waiting), resolvedAtOnce)]
	c.mu.Unlock()
	for _, w := range waiting {
		uid := w.uid
		moved := c.findOwners(nil, uid, w.seen)
		c.mu.Lock()
		if len(moved) > 0 {
			c.asOf(w.namespace, uid, w.seen, func(bool) { // what its owners became later, they become later
				c.reattribute(moved, "", ledger.Between(ledger.Live, now, now))
			})
		}
		if owner, _, unknown := c.graph.Unknown(uid); unknown && c.provisional[uid].restored {
			if _, vanished := c.vanished[owner.UID]; vanished {
				c.recall(uid, owner)
				delete(c.provisional, uid)
			}
		}
		c.mu.Unlock()
	}
}
