package collector

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/ledger"
)

// What controls an object is said by the object: whoever may create pods may name
// any kind, one that is not installed, or that cannot be watched. So a kind is
// followed as an owners' kind only
//
//   - when it is known to control what is metered (attribution.Controls), or the
//     administrator says so (Options.OwnerKinds);
//   - else, when it is not Kubernetes' own, once an owner of it was found there: who
//     may create one is the administrator's choice. One namespace brings in a few
//     kinds at most, and changes of others do not wait for them.
//
// Of all other kinds an owner is read once, when an object names it, and what it says
// then holds for as long as objects refer to it. No interval waits for a kind that
// is followed for its owners alone, and one that nothing refers to is followed no more.

const (
	// maxNamed bounds the kinds that are followed because an owner of them was found,
	// and maxNamedBy those of them that one namespace has brought in.
	maxNamed, maxNamedBy = 128, 8
	// maxAsked bounds the owners of kinds that are not followed that are asked for
	// between two beats of resolve before an object is taken in, and maxAskedBy those
	// of one namespace. What is beyond waits for resolve, and the object does not.
	maxAsked, maxAskedBy = 50, 10
	// sweepEvery is how often, in beats of the pulse, it is looked which kinds are
	// needed; neededFor is for how long, in seconds, one that is not is followed on.
	sweepEvery, neededFor = 60, 600
)

// named are the kinds that tenants' objects name.
type named struct {
	by     map[schema.GroupKind]string   // the namespace that has brought in a kind that is followed
	needed map[schema.GroupKind]int64    // when a kind was needed last, in seconds since the epoch
	guests map[string]schema.GroupKind   // owners in the graph whose kind is not followed, by UID
	asked  map[string]int                // owners that were asked for since the last beat, by namespace; "" is all
	always map[schema.GroupKind]struct{} // of Options.OwnerKinds
}

func newNamed(ownerKinds []schema.GroupKind) named {
	n := named{
		by: map[schema.GroupKind]string{}, needed: map[schema.GroupKind]int64{},
		guests: map[string]schema.GroupKind{}, asked: map[string]int{}, always: map[schema.GroupKind]struct{}{},
	}
	for _, kind := range ownerKinds {
		n.always[kind] = struct{}{}
	}
	return n
}

// trusts tells whether a kind's owners are followed whoever names it.
func (n *named) trusts(kind schema.GroupKind) bool {
	_, always := n.always[kind]
	return always || attribution.Controls(kind.Group, kind.Kind) || surrounds(kind)
}

// builtIn tells whether the group is Kubernetes' own: with the role edit a tenant
// makes objects of most of its kinds.
func builtIn(group string) bool {
	return !strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io")
}

// admits tells whether a kind that is not followed yet may be, given that an owner of
// it was found or was not.
func (n *named) admits(kind schema.GroupKind, namespace string, found bool) bool {
	switch {
	case n.trusts(kind):
		return true
	case builtIn(kind.Group) || !found || len(n.by) >= maxNamed:
		return false
	}
	brought := 0
	for _, by := range n.by {
		if by == namespace {
			brought++
		}
	}
	return namespace == "" || brought < maxNamedBy
}

// mayAsk tells whether an object of the namespace may wait for one more owner, and counts it.
func (n *named) mayAsk(namespace string) bool {
	if n.asked[""] >= maxAsked || namespace != "" && n.asked[namespace] >= maxAskedBy {
		return false
	}
	n.asked[""]++
	if namespace != "" {
		n.asked[namespace]++
	}
	return true
}

// mayAsk tells whether an object of the namespace may wait for one more owner. While
// what is known is compared with what there is, all do.
func (c *Collector) mayAsk(namespace string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.restored.checking || c.named.mayAsk(namespace)
}

// surrounds tells whether attribution is made from the kind.
func surrounds(kind schema.GroupKind) bool {
	return slices.ContainsFunc(surroundings, func(stage []schema.GroupKind) bool { return slices.Contains(stage, kind) })
}

// owning is the feed of a kind because an object of the namespace says that one of it
// controls the object, from the revision at which it was met; found tells that there
// is such an owner. Nil: the kind is not followed.
func (c *Collector) owning(kind schema.GroupKind, namespace string, found bool, met uint64) *feed {
	c.mu.Lock()
	f := c.feeds[kind]
	admitted := f != nil || c.named.admits(kind, namespace, found)
	optional := f == nil && !c.named.trusts(kind)
	if by, brought := c.named.by[kind]; admitted && optional || brought && by == "" { // or a former run followed it
		c.named.by[kind] = namespace
	}
	c.mu.Unlock()
	if !admitted {
		return nil
	}
	f = c.follow(kind, false, met)
	if optional && f == nil {
		c.mu.Lock()
		delete(c.named.by, kind)
		c.mu.Unlock()
	}
	return f
}

// guest notes an owner that the graph has, and that no feed is going to take out.
// Called under the lock.
func (c *Collector) guest(uid string, kind schema.GroupKind) {
	if c.feeds[kind] == nil {
		c.named.guests[uid] = kind
	}
}

// isMetered tells whether what the feed delivers is metered, or tells what something else
// holds, or attribution is made from it whichever object names it. Called under the lock.
func (f *feed) isMetered() bool {
	return len(f.meters) > 0 || surrounds(f.kind()) || f.tellsOfOthers()
}

// sweep ends the feeds that nobody needs, and takes out of the graph what is
// followed by none.
func (c *Collector) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.restored.checking {
		return
	}
	now := c.now().Unix()
	c.graph.Owners(func(group, kind string) { c.named.needed[schema.GroupKind{Group: group, Kind: kind}] = now })
	for kind, at := range c.named.needed {
		if now-at >= neededFor {
			delete(c.named.needed, kind)
		}
	}
	for kind, f := range c.feeds {
		if _, needed := c.named.needed[kind]; needed || f.isMetered() || now-f.started < neededFor {
			continue
		}
		c.Log.Info("nothing refers to owners of a kind: it is followed no more", "kind", kind.String())
		f.end()
		delete(c.feeds, kind)
		delete(c.named.by, kind)
		f.forgetNodes(nil, ledger.Between(ledger.Live, now, now))
	}
	c.dismiss(now)
}

// dismiss takes guests out of the graph, which goes on to know what they named.
// Called under the lock.
func (c *Collector) dismiss(now int64) {
	for uid, kind := range c.named.guests {
		owner, _, unknown := c.graph.Unknown(uid)
		_, vanished := c.vanished[owner.UID]
		switch {
		case c.feeds[kind] != nil:
			delete(c.named.guests, uid) // its feed takes it out
		case !unknown || vanished:
			delete(c.named.guests, uid)
			c.forget(uid, ledger.Between(ledger.Live, now, now))
		}
	}
}
