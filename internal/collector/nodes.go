package collector

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/meter"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// What runs on a node gets the node's facts: its region, and what the meter reads of
// its labels. Nodes are listed before anything that is metered. If a node's event
// still arrives after that of an object on it, the node's facts count from the node's
// creation, unless that is longer ago than introduces.

// introduces is for how many seconds after its creation a node may be without labels:
// a cloud's controller sets them some time after the kubelet created the node.
const introduces = 600

var nodeKind = schema.GroupKind{Kind: "Node"}

// site is a node that objects of a meter run on.
type site struct {
	name     string
	known    bool
	location meter.Location
	objects  int
}

// locate notes on which node an object runs; "": on none. Called under the lock.
func (c *Collector) locate(at *metering, uid, name string) {
	if !at.meter.RunsOnNodes() {
		return
	}
	if s := at.on[uid]; s != nil && s.name == name {
		return
	}
	at.depart(uid)
	if name == "" {
		return
	}
	s := at.sites[name]
	if s == nil {
		s = &site{name: name}
		if node := c.nodes[name]; node != nil {
			s.name, s.known, s.location = node.GetName(), true, at.meter.Locate(node)
		}
		at.sites[s.name] = s
	}
	s.objects++
	at.on[c.graph.UID(uid)] = s
}

// depart forgets on which node an object runs. Called under the lock.
func (at *metering) depart(uid string) {
	s := at.on[uid]
	if s == nil {
		return
	}
	delete(at.on, uid)
	if s.objects--; s.objects == 0 {
		delete(at.sites, s.name)
	}
}

// settleOn gives a subject the facts of the node that its object runs on, if that is
// known. Called under the lock.
func (at *metering) settleOn(uid string, subject *usage.Subject) {
	if s := at.on[uid]; s != nil && s.known {
		at.meter.Put(&s.location, subject)
	}
}

// stay keeps the facts that a subject had as long as its object's node is not known:
// the node is deleted, and what runs there is not yet. Called under the lock.
func (c *Collector) stay(at *metering, uid string, subject *usage.Subject) {
	if s := at.on[uid]; s == nil || s.known {
		return
	}
	if held, holds := c.ledger.Held(at.ledger, uid, subject.Container); holds {
		at.meter.Keep(held, subject)
	}
}

// learnNode notes a node's facts, and gives them to what runs there. Called
// under the lock.
func (c *Collector) learnNode(kind schema.GroupKind, object *unstructured.Unstructured, e event) {
	if kind != nodeKind {
		return
	}
	name := object.GetName()
	before := c.nodes[name]
	if before != nil && before.GetUID() == object.GetUID() && maps.Equal(before.GetLabels(), object.GetLabels()) {
		return
	}
	node := saidByLabels(object)
	c.nodes[node.GetName()] = node
	since := e.moments().Start.At
	for _, at := range c.located(name) {
		s := at.sites[name]
		was, knew := s.location, s.known
		s.location, s.known = at.meter.Locate(node), true
		switch created := object.GetCreationTimestamp().Unix(); {
		case knew && was.Equal(s.location):
		case (!knew || was.SaysNothing()) && e.before-created <= introduces:
			c.resettle(at, s, created)
		default:
			c.resettle(at, s, since)
		}
	}
}

// located are the meters that have objects on the node, in order. Called under the lock.
func (c *Collector) located(name string) []*metering {
	var found []*metering
	for _, meter := range slices.Sorted(maps.Keys(c.meters)) {
		if at := c.meters[meter]; at.sites[name] != nil {
			found = append(found, at)
		}
	}
	return found
}

// resettle gives a meter's objects on a node the node's present facts, from the moment
// on. Called under the lock.
func (c *Collector) resettle(at *metering, s *site, since int64) {
	var there []string
	for uid, on := range at.on {
		if on == s {
			there = append(there, uid)
		}
	}
	slices.Sort(there)
	moment := usage.Boundary{At: since, Evidence: usage.Observed}
	for _, uid := range there {
		c.ledger.Amend(uid, moment, func(m *ledger.Meter, subject *usage.Subject) {
			if m == at.ledger {
				at.settleOn(uid, subject)
			}
		})
	}
}

// saidByLabels is what is kept of a node.
func saidByLabels(node *unstructured.Unstructured) *unstructured.Unstructured {
	said := &unstructured.Unstructured{}
	said.SetAPIVersion("v1")
	said.SetKind("Node")
	said.SetName(node.GetName())
	said.SetUID(node.GetUID())
	said.SetLabels(node.GetLabels())
	return said
}

// forgetNode notes that a node is deleted: what runs there keeps the node's facts until
// it is deleted, too. Called under the lock.
func (c *Collector) forgetNode(kind schema.GroupKind, name, uid string) {
	if kind != nodeKind || c.nodes[name] == nil || string(c.nodes[name].GetUID()) != uid {
		return
	}
	delete(c.nodes, name)
	for _, at := range c.located(name) {
		at.sites[name].known = false
	}
}
