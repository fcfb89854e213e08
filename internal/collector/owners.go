package collector

import (
	"context"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/usage"
)

var (
	namespaceKind = schema.GroupKind{Kind: "Namespace"}
	podKind       = schema.GroupKind{Kind: "Pod"}
	claimKind     = schema.GroupKind{Kind: "PersistentVolumeClaim"}
	serviceKind   = schema.GroupKind{Kind: "Service"}
	gatewayKind   = schema.GroupKind{Group: "gateway.networking.k8s.io", Kind: "Gateway"}
)

// surroundings are the kinds that attribution is made from, in the order in
// which they are listed: a claim's deployment is known by its pods, a service's
// by those that it selects, a gateway's by its routes and their services.
var surroundings = [][]schema.GroupKind{
	{namespaceKind},
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
	// maxFeeds bounds the kinds that are followed because a tenant's object
	// says that one of them owns it.
	maxFeeds = 128
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
			c.follow(kind, true)
		}
	}
}

// follow is the feed of a kind that attribution needs; it starts one where
// there is none. Nil when the kind is not installed, or too many are followed.
func (c *Collector) follow(kind schema.GroupKind, whole bool) *feed {
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
	case f == nil && mapping != nil && len(c.feeds) < maxFeeds && c.ctx != nil:
		f = c.start(mapping, whole)
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
	case claimKind, serviceKind:
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
// they were at the revision: it lists their kind when that is met first, and gets
// one by one what a watch is about to deliver, or what is gone already. It returns
// the objects whose placement that changed.
func (c *Collector) findOwners(f *feed, uid string, revision uint64) []string {
	var moved, gone []string
	for range 2 * maxOwners {
		c.mu.Lock()
		owner, namespace, unknown := c.graph.Unknown(uid)
		_, vanished := c.vanished[owner.UID]
		c.mu.Unlock()
		if !unknown || vanished {
			break
		}
		gv, err := schema.ParseGroupVersion(owner.APIVersion)
		if err != nil {
			c.vanish(owner.UID)
			break
		}
		kind := gv.WithKind(owner.Kind)
		if f.waitFor(c.follow(kind.GroupKind(), false)) {
			continue
		}
		found, past, err := c.get(kind, namespace, owner, revision)
		if err != nil {
			break // it is asked for again: see resolve
		}
		if found == nil {
			c.vanish(owner.UID)
			break
		}
		if past {
			gone = append(gone, owner.UID)
		}
		c.mu.Lock()
		moved = append(moved, c.graph.Upsert(attribution.NodeOf(found))...)
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, uid := range gone { // what it named goes on to be named by it
		moved = append(moved, c.graph.Remove(uid)...)
	}
	return moved
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

// get reads an owner's metadata: as it is now, or, where it is gone, as it was at
// the revision, which past tells. Nil: there is no such object, and nobody knows
// any more whether there was. The error is one that may go away.
func (c *Collector) get(kind schema.GroupVersionKind, namespace string, owner usage.Object, revision uint64) (found *unstructured.Unstructured, past bool, err error) {
	mapping, err := c.Mapper.RESTMapping(kind.GroupKind())
	if err != nil {
		if meta.IsNoMatchError(err) {
			return nil, false, nil
		}
		return nil, false, err
	}
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		namespace = ""
	}
	ctx, cancel := context.WithTimeout(c.ctx, ownersWait)
	defer cancel()
	objects := c.Metadata.Resource(mapping.Resource).Namespace(namespace)
	partial, err := objects.Get(ctx, owner.Name, metav1.GetOptions{})
	switch {
	case err == nil && string(partial.GetUID()) == owner.UID:
		found, err = wholeOf(partial, mapping.GroupVersionKind)
		return found, false, err
	case err != nil && !apierrors.IsNotFound(err):
		return nil, false, notForGood(err)
	case revision == 0:
		return nil, false, nil
	}
	page, err := objects.List(ctx, metav1.ListOptions{
		ResourceVersion: strconv.FormatUint(revision, 10), ResourceVersionMatch: metav1.ResourceVersionMatchExact,
		FieldSelector: "metadata.name=" + owner.Name,
	})
	if err != nil {
		return nil, false, notForGood(err)
	}
	for i := range page.Items {
		if string(page.Items[i].GetUID()) == owner.UID {
			found, err = wholeOf(&page.Items[i], mapping.GroupVersionKind)
			return found, true, err
		}
	}
	return nil, false, nil
}

// notForGood is the error, unless another try would be answered alike.
func notForGood(err error) error {
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) ||
		apierrors.IsBadRequest(err) || apierrors.IsInvalid(err) || apierrors.IsMethodNotSupported(err) {
		return nil
	}
	return err
}

func wholeOf(partial *metav1.PartialObjectMetadata, kind schema.GroupVersionKind) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(partial)
	if err != nil {
		return nil, err
	}
	found := &unstructured.Unstructured{Object: content}
	found.SetGroupVersionKind(kind)
	return found, nil
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
