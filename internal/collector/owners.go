package collector

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/usage"
)

var (
	namespaceKind = schema.GroupKind{Kind: "Namespace"}
	podKind       = schema.GroupKind{Kind: "Pod"}
	claimKind     = schema.GroupKind{Kind: "PersistentVolumeClaim"}
	deviceKind    = schema.GroupKind{Group: "resource.k8s.io", Kind: "ResourceClaim"}
	serviceKind   = schema.GroupKind{Kind: "Service"}
	gatewayKind   = schema.GroupKind{Group: "gateway.networking.k8s.io", Kind: "Gateway"}
)

// surroundings are the kinds that attribution is made from, in the order in
// which they are listed: what runs on a node is known by the node, a claim's deployment is known by its pods, a service's
// by those that it selects, a gateway's by its routes and their services.
var surroundings = [][]schema.GroupKind{
	{namespaceKind, nodeKind},
	{podKind},
	{
		serviceKind,
		{Group: gatewayKind.Group, Kind: "HTTPRoute"},
		{Group: gatewayKind.Group, Kind: "GRPCRoute"},
		{Group: gatewayKind.Group, Kind: "TLSRoute"},
		{Group: gatewayKind.Group, Kind: "TCPRoute"},
		{Group: gatewayKind.Group, Kind: "UDPRoute"},
	},
}

const (
	// ownersWait is how long an object waits for its owner's kind to be listed,
	// while that does not get on; and for an answer about one owner.
	ownersWait = 5 * time.Second
	// maxVanished bounds what is remembered of owners that are not there.
	maxVanished = 10_000
)

// Discover starts the feeds that attribution needs, of the kinds that are
// installed. It is called at the start, and when kinds were installed.
func (c *Collector) Discover() {
	c.mu.Lock()
	clear(c.vanished)
	c.mu.Unlock()
	for _, stage := range surroundings {
		for _, kind := range stage {
			c.follow(kind, true, 0)
		}
	}
	c.followOthers()
}

// follow is the feed of a kind that attribution needs; it starts one where there is
// none, from the revision at which the kind was met, so that what it was like then,
// and what has become of it since, comes in its turn. Nil when the kind is not
// installed.
func (c *Collector) follow(kind schema.GroupKind, whole bool, met uint64) *feed {
	c.mu.Lock()
	f := c.feeds[kind]
	_, vanished := c.vanished[kind.String()]
	c.mu.Unlock()
	if f == nil && vanished {
		return nil
	}
	var mapping *meta.RESTMapping
	if f == nil {
		var err error
		if mapping, err = c.Mapper.RESTMapping(kind); err != nil {
			c.vanish(kind.String())
			return nil
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f = c.feeds[kind]
	switch {
	case f == nil && mapping != nil && c.ctx != nil:
		f = c.start(mapping, whole, met)
		if _, optional := c.named.by[kind]; optional {
			c.turns.optional(f)
		}
	case f != nil && whole && !f.whole:
		f = c.restart(f, f.mapping)
	}
	if f != nil {
		f.kept = true
	}
	return f
}

// before are the feeds that a kind's first list waits for: those of the kinds
// that its deployments are known by. What owns pods may not wait for them, for
// they wait for it. Called under the lock.
func (c *Collector) before(kind schema.GroupKind) []*feed {
	stages := 1
	switch kind {
	case namespaceKind:
		return nil
	case claimKind, deviceKind, serviceKind:
		stages = 2
	case gatewayKind:
		stages = len(surroundings)
	}
	var feeds []*feed
	for _, stage := range surroundings[:stages] {
		for _, needed := range stage {
			if f := c.feeds[needed]; f != nil && needed != kind {
				feeds = append(feeds, f)
			}
		}
	}
	return feeds
}

// findOwners gets what the graph does not know of the owners above an object, as
// they were at the revision that is taken in: it follows their kind when that is met
// first, and gets one by one what a watch is about to deliver, or what is gone
// already. It returns the objects whose placement that changed.
func (c *Collector) findOwners(f *feed, uid string, e event) []string {
	var moved, gone []string
	for range 2 * maxOwners {
		owner, namespace, unknown := c.unknownOwner(uid)
		if !unknown {
			break
		}
		gv, err := schema.ParseGroupVersion(owner.APIVersion)
		if err != nil {
			c.vanish(owner.UID)
			break
		}
		kind := gv.WithKind(owner.Kind)
		owners := c.owning(kind.GroupKind(), namespace, false, e.shown)
		if f.waitFor(owners) {
			continue
		}
		if f != nil && owners == nil && !c.mayAsk(namespace) {
			break
		}
		e.shown = max(e.shown, owners.restoredAt())
		found, past, err := c.lookUp(kind, namespace, owner, owners, uid, e)
		if err != nil {
			break // it is asked for again: see resolve
		}
		if found == nil {
			c.vanish(owner.UID)
			break
		}
		if owners == nil && !past {
			c.owning(kind.GroupKind(), namespace, true, e.shown)
		}
		changed, introduced := c.introduce(found, kind.GroupKind(), past)
		moved = append(moved, changed...)
		if introduced && past {
			gone = append(gone, owner.UID)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, uid := range gone { // what it named goes on to be named by it
		c.recent.outside(uid)
		moved = append(moved, c.graph.Remove(uid)...)
	}
	return moved
}

// unknownOwner is the first owner above an object that the graph does not know, where
// there may be such an owner.
func (c *Collector) unknownOwner(uid string) (owner usage.Object, namespace string, unknown bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	owner, namespace, unknown = c.graph.Unknown(uid)
	_, vanished := c.vanished[owner.UID]
	return owner, namespace, unknown && !vanished
}

// introduce tells the graph of an owner that was got, unless its watch has delivered it
// meanwhile: that is newer. It returns the objects whose placement that changed.
func (c *Collector) introduce(owner *unstructured.Unstructured, kind schema.GroupKind, past bool) (moved []string, introduced bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	uid := string(owner.GetUID())
	if c.graph.Contains(uid) {
		return nil, false
	}
	if !past {
		c.guest(uid, kind)
	}
	c.recent.outside(uid)
	return c.graph.Upsert(attribution.NodeOf(owner)), true
}

// maxOwners is how many owners above an object are looked for.
const maxOwners = 16

// waitFor waits until the owners' kind has been listed for the first time, and
// tells whether it did wait. Only feeds of whole objects wait, so that no two
// wait for each other for ever.
func (f *feed) waitFor(owners *feed) bool {
	if f == nil || owners == nil || owners == f || !f.whole {
		return false
	}
	select {
	case <-owners.settled:
		return false
	default:
	}
	if _, again := f.waited[owners]; again {
		return false // in vain: not for every object anew
	}
	for {
		before := owners.items.Load()
		timer := f.collector.Clock.NewTimer(ownersWait)
		select {
		case <-owners.settled:
			timer.Stop()
			return true
		case <-f.collector.ctx.Done():
			timer.Stop()
			return false
		case <-timer.C():
		}
		if owners.items.Load() == before {
			f.waited[owners] = struct{}{}
			return false
		}
	}
}

// vanish notes that an owner, or its kind, is not there, so that it is not asked for again.
func (c *Collector) vanish(uid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.vanished) >= maxVanished {
		clear(c.vanished)
	}
	c.vanished[uid] = struct{}{}
}
