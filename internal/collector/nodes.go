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

// What runs on a node is listed with facts of that node: its region, and whatever
// the meter reads of its labels. Nodes are listed before anything that is metered;
// where a node's event comes after that of an object on it all the same, what the
// node says counts from its creation, unless that is long ago.

// introduces is for how many seconds after its creation a node may say nothing yet:
// a cloud's controller labels it some time after its kubelet made it.
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

// stay leaves a subject that was read where it was, as long as nothing is known of
// its object's node: it is gone, and what runs there is not yet. Called under the lock.
func (c *Collector) stay(at *metering, uid string, subject *usage.Subject) {
	if s := at.on[uid]; s == nil || s.known {
		return
	}
	if held, holds := c.ledger.Held(at.ledger, uid, subject.Container); holds {
		at.meter.Keep(held, subject)
	}
}

// learnNode notes what a node says, and puts what runs there where it says. Called
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

// resettle gives what a meter has on a node the facts that the node says now, from
// the moment on. Called under the lock.
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

// forgetNode notes that a node is gone: what runs there keeps its facts until it
// goes, too. Called under the lock.
func (c *Collector) forgetNode(kind schema.GroupKind, name, uid string) {
	if kind != nodeKind || c.nodes[name] == nil || string(c.nodes[name].GetUID()) != uid {
		return
	}
	delete(c.nodes, name)
	for _, at := range c.located(name) {
		at.sites[name].known = false
	}
}
