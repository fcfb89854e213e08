package collector

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/usage-operator/usage-operator/internal/attribution"
)

// A list shows a claim as it is, when pods that mounted it may have come and gone. The
// claim keeps the deployment that it followed last all the same. What a watch delivers
// needs none of this: see asOf.

// left is what a pod that is gone leaves to a claim that the graph does not contain yet.
type left struct {
	deployment string
	revision   uint64 // at which the pod went
	after      int64  // when at the earliest, in seconds since the epoch
	gone       int64  // and when at the latest
	by         string // its UID
}

// leave notes what a pod that goes leaves to claims that are still to come. Called
// under the lock.
func (c *Collector) leave(uid string, e event) {
	for claim, deployment := range c.graph.Unclaimed(uid) {
		if len(c.left) >= maxProvisional {
			clear(c.left)
		}
		c.left[claim] = left{deployment: deployment, revision: e.revision, after: e.after, gone: e.before, by: uid}
	}
}

// seed gives a claim that a list shows what pods have left to it, if it was there when they
// went: one that is called the same may be another. Called under the lock.
func (f *feed) seed(object *unstructured.Unstructured, e event) {
	c := f.collector
	if len(c.left) == 0 || f.kind() != claimKind && f.kind() != deviceKind || e.isNews() || c.graph.Contains(string(object.GetUID())) {
		return
	}
	claim, uid := attribution.Reference{Namespace: object.GetNamespace(), Name: object.GetName()}, string(object.GetUID())
	if f.kind() == deviceKind {
		claim.Name = attribution.DeviceClaim(claim.Name)
	}
	l, found := c.left[claim]
	if !found {
		return
	}
	delete(c.left, claim)
	if !slices.ContainsFunc(f.meters, func(at *metering) bool { return at.ledger.Since <= l.after }) {
		return // it may have held nothing then that it could have kept
	}
	if e.revision > l.revision && object.GetCreationTimestamp().Unix() >= l.gone {
		return
	}
	c.graph.Seed(uid, l.deployment) // which it takes up when it enters the graph
	if p, waits := c.provisional[l.by]; waits {
		p.followers = append(p.followers, uid)
		c.provisional[l.by] = p
	}
}

// leftUnder tells that what a pod has left was called otherwise. Called under the lock.
func (c *Collector) leftUnder(uid, provisionally, deployment string) {
	for claim, l := range c.left {
		if l.by == uid && l.deployment == provisionally {
			l.deployment = deployment
			c.left[claim] = l
		}
	}
}

// forgetLeft drops what nobody has asked for in time. Called under the lock.
func (c *Collector) forgetLeft(now int64) {
	maps.DeleteFunc(c.left, func(_ attribution.Reference, l left) bool { return now-l.gone > provisionalFor })
}
