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
	"k8s.io/client-go/metadata"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/source"
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

// get reads an owner's metadata: as it was at the revision that is taken in; where that
// is not known any more, as it is now; and where it was gone by then, as it was when it
// went. past tells that it is gone, and that its kind's feed, owners, is not about to
// tell so. Nil: there is no such object, and nobody knows any more whether there was.
// The error is one that may go away.
func (c *Collector) get(kind schema.GroupVersionKind, namespace string, owner usage.Object, owners *feed, e event) (found *unstructured.Unstructured, past bool, err error) {
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
	then, err := asOf(ctx, objects, owner, e.shown)
	if err != nil {
		return nil, false, err
	}
	if then != nil && owners.isBefore(e.shown) {
		found, err = wholeOf(then, mapping.GroupVersionKind)
		return found, false, err
	}
	then, there, err := nowOrLast(ctx, objects, owner, then, e)
	if then == nil || err != nil {
		return nil, false, err
	}
	found, err = wholeOf(then, mapping.GroupVersionKind)
	return found, !there, err
}

// lookUp gets an owner above an object, also one that was gone already.
func (c *Collector) lookUp(kind schema.GroupVersionKind, namespace string, owner usage.Object, owners *feed, uid string, e event) (found *unstructured.Unstructured, past bool, err error) {
	found, past, err = c.get(kind, namespace, owner, owners, e)
	if found != nil || err != nil {
		return found, past, err
	}
	return c.getEarlier(kind, namespace, owner, owners, uid, e)
}

// getEarlier reads an owner that was gone by the revision that is taken in, where what it
// owned was written before that: it was there then. What it owned is above the object.
func (c *Collector) getEarlier(kind schema.GroupVersionKind, namespace string, owner usage.Object, owners *feed, uid string, e event) (found *unstructured.Unstructured, past bool, err error) {
	c.mu.Lock()
	below := c.graph.Below(uid)
	c.mu.Unlock()
	gv, err := schema.ParseGroupVersion(below.APIVersion)
	if err != nil || below.UID == "" || below.UID == uid {
		return nil, false, nil
	}
	mapping, err := c.Mapper.RESTMapping(gv.WithKind(below.Kind).GroupKind())
	if err != nil {
		return nil, false, nil // it is of no kind that is there
	}
	ctx, cancel := context.WithTimeout(c.ctx, ownersWait)
	defer cancel()
	within := namespace
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		within = ""
	}
	owned, err := asOf(ctx, c.Metadata.Resource(mapping.Resource).Namespace(within), below, e.shown)
	if owned == nil || err != nil {
		return nil, false, err
	}
	if written := source.Revision(owned.GetResourceVersion()); written < e.revision {
		e.revision = written
		return c.get(kind, namespace, owner, owners, e)
	}
	return nil, false, nil
}

// nowOrLast is the owner as it was then, or, where that is not known, as it is now, or as
// it was last; and whether it is there now. Nil: nobody knows.
func nowOrLast(ctx context.Context, objects metadata.ResourceInterface, owner usage.Object, then *metav1.PartialObjectMetadata, e event) (*metav1.PartialObjectMetadata, bool, error) {
	now, err := objects.Get(ctx, owner.Name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return then, false, notForGood(err)
	}
	there := err == nil && string(now.GetUID()) == owner.UID
	switch {
	case then != nil:
		return then, there, nil
	case there:
		return now, true, nil
	case e.revision < e.shown:
		then, err = lastOf(ctx, objects, owner, e.revision, e.shown)
		return then, false, err
	}
	return nil, false, nil
}

// asOf is the owner as it was at the revision; nil: it was not there, or nobody knows.
func asOf(ctx context.Context, objects metadata.ResourceInterface, owner usage.Object, revision uint64) (*metav1.PartialObjectMetadata, error) {
	if revision == 0 {
		return nil, nil
	}
	found, err := exactly(ctx, objects, owner, revision)
	return found, notForGood(err)
}

// lastOf is the owner as it was last, where it was there at the first revision or a
// little later, and was gone by the other one: that is bisected, in some twenty requests
// for a key each. Nil: nobody knows.
func lastOf(ctx context.Context, objects metadata.ResourceInterface, owner usage.Object, first, gone uint64) (last *metav1.PartialObjectMetadata, err error) {
	for at := first; at < gone; at = first + (gone-first)/2 {
		found, err := exactly(ctx, objects, owner, at)
		switch {
		case apierrors.IsResourceExpired(err) || apierrors.IsGone(err): // it may have been there
		case err != nil:
			return nil, notForGood(err)
		case found != nil:
			last = found
		case at == first:
			return nil, nil
		default:
			gone = at
			continue
		}
		if first = at; gone-first <= 1 {
			break
		}
	}
	return last, nil
}

// exactly is the owner at the revision; nil: it was not there.
func exactly(ctx context.Context, objects metadata.ResourceInterface, owner usage.Object, revision uint64) (*metav1.PartialObjectMetadata, error) {
	page, err := objects.List(ctx, metav1.ListOptions{
		ResourceVersion: strconv.FormatUint(revision, 10), ResourceVersionMatch: metav1.ResourceVersionMatchExact,
		FieldSelector: "metadata.name=" + owner.Name,
	})
	if err != nil {
		return nil, err
	}
	for i := range page.Items {
		if string(page.Items[i].GetUID()) == owner.UID {
			return &page.Items[i], nil
		}
	}
	return nil, nil
}

// restoredAt is how far the last run had come with the kind, while what there is now is
// compared with what the journal has: where it has put what the kind owns is what was so
// then. 0: nothing is compared. The feed may be nil.
func (f *feed) restoredAt() uint64 {
	if f == nil {
		return 0
	}
	f.collector.mu.Lock()
	defer f.collector.mu.Unlock()
	if !f.collector.restored.checking {
		return 0
	}
	return source.Revision(f.resourceVersion)
}

// isBefore tells whether the feed has still to deliver what happened after the revision.
func (f *feed) isBefore(revision uint64) bool {
	if f == nil {
		return false
	}
	f.collector.mu.Lock()
	defer f.collector.mu.Unlock()
	return !f.ended && f.resourceVersion != "" && (!f.known || source.Revision(f.resourceVersion) < revision)
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
