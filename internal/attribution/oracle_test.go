package attribution_test

import (
	"cmp"
	"maps"
	"slices"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// oracle finds every placement from all nodes, from scratch, after every change.
type oracle struct {
	nodes  map[string]attribution.Node
	buried map[string]buried // removed owners by UID
	last   map[string]string // what followers followed last
	placed map[string]attribution.Placement
}

type buried struct {
	attribution.Node // what it was
	top              summit
}

// summit is the end of a chain.
type summit struct {
	object usage.Object
	label  string
}

func newOracle() *oracle {
	return &oracle{
		nodes:  map[string]attribution.Node{},
		buried: map[string]buried{},
		last:   map[string]string{},
	}
}

func (o *oracle) upsert(n attribution.Node) {
	delete(o.buried, n.Object.UID)
	o.nodes[n.Object.UID] = n
	if !follows(n) {
		delete(o.last, n.Object.UID)
	}
	o.recompute()
}

func (o *oracle) remove(uid string) {
	if n, known := o.nodes[uid]; known {
		o.buried[uid] = buried{n, o.top(n)}
	}
	delete(o.nodes, uid)
	delete(o.last, uid)
	o.recompute()
}

func (o *oracle) seed(uid, deployment string) {
	if n := o.nodes[uid]; follows(n) && o.last[uid] == "" {
		o.last[uid] = deployment
	}
	o.recompute()
}

func (o *oracle) release(uid string) {
	if n, known := o.nodes[uid]; known {
		n.Holds = false
		o.nodes[uid] = n
	}
	o.recompute()
}

func (o *oracle) recompute() {
	maps.DeleteFunc(o.buried, func(uid string, _ buried) bool {
		for _, n := range o.nodes {
			if n.Owner.UID == uid {
				return false
			}
		}
		return true
	})
	o.placed = map[string]attribution.Placement{}
	for _, stratum := range []func(kind string) bool{
		func(kind string) bool {
			return kind != "PersistentVolumeClaim" && kind != "ResourceClaim" && kind != "Service" && kind != "Gateway"
		},
		func(kind string) bool {
			return kind == "PersistentVolumeClaim" || kind == "ResourceClaim" || kind == "Service"
		},
		func(kind string) bool { return kind == "Gateway" },
	} {
		for uid, n := range o.nodes {
			if stratum(n.Object.Kind) {
				o.placed[uid] = o.place(n)
			}
		}
	}
}

func (o *oracle) place(n attribution.Node) attribution.Placement {
	top := o.top(n)
	var own string
	switch kind := top.object.Kind; {
	case kind == "Pod", kind == "Node", kind == "PersistentVolume", kind == "PersistentVolumeClaim", kind == "ResourceClaim", kind == "DataVolume":
	case top.object != n.Object, n.Namespace == "":
		own = top.object.Name
	case slices.Contains([]string{"Deployment", "ReplicaSet", "VirtualMachine"}, kind):
		own = top.object.Name
	}
	var volume string
	if top.object.Kind == "DataVolume" {
		volume = top.object.Name
	}
	return attribution.Placement{
		Deployment: o.deployment(n, cmp.Or(n.Deployment, top.label, own), cmp.Or(volume, n.Instance, n.Name)),
		Workload:   top.object,
	}
}

func (o *oracle) top(n attribution.Node) summit {
	at := n
	for range 17 {
		end := summit{at.Object, at.Deployment}
		if at.Owner.UID == "" {
			return end
		}
		owner, known := o.nodes[at.Owner.UID]
		grave, removed := o.buried[at.Owner.UID]
		if removed {
			owner = grave.Node
		}
		switch {
		case !known && !removed && at.Owner.Kind == "Node":
			return end
		case !known && !removed:
			return summit{object: at.Owner}
		case owner.Object.Kind == "Node", owner.Namespace != "" && owner.Namespace != at.Namespace:
			return end
		case removed:
			return grave.top
		}
		at = owner
	}
	return summit{n.Object, n.Deployment}
}

func follows(n attribution.Node) bool {
	return slices.Contains([]string{"PersistentVolumeClaim", "ResourceClaim", "Service", "Gateway"}, n.Object.Kind)
}

// deployment is what is named, followed, or the rest. What was followed last is that only while it places the object.
func (o *oracle) deployment(n attribution.Node, named, rest string) string {
	if !follows(n) {
		return cmp.Or(named, rest)
	}
	names := slices.Collect(maps.Keys(o.counted(n)))
	last := o.last[n.Object.UID]
	delete(o.last, n.Object.UID)
	switch {
	case named != "":
		return named
	case len(names) > 1:
		return rest
	case len(names) == 1:
		o.last[n.Object.UID] = names[0]
		return names[0]
	case n.Holds && last != "" && last != rest:
		o.last[n.Object.UID] = last
		return last
	}
	return rest
}

// counted is the deployments of those that n follows.
func (o *oracle) counted(n attribution.Node) map[string]bool {
	names := map[string]bool{}
	for uid, member := range o.nodes {
		if o.isMember(n, member) {
			names[o.placed[uid].Deployment] = true
		}
	}
	delete(names, "")
	return names
}

func selects(selector, labels map[string]string) bool {
	for key, value := range selector {
		if got, has := labels[key]; !has || got != value {
			return false
		}
	}
	return len(selector) > 0
}

func (o *oracle) isMember(n, member attribution.Node) bool {
	if member.Namespace != n.Namespace {
		return false
	}
	switch n.Object.Kind {
	case "PersistentVolumeClaim", "ResourceClaim":
		name := n.Object.Name
		if n.Object.Kind == "ResourceClaim" {
			name = attribution.DeviceClaim(name)
		}
		return member.Object.Kind == "Pod" && slices.Contains(member.Claims, name)
	case "Service":
		return member.Object.Kind == "Pod" && selects(n.Selector, member.Labels)
	}
	if member.Object.Kind != "Service" {
		return false
	}
	for _, route := range o.nodes {
		if route.Object.Kind == "HTTPRoute" &&
			slices.Contains(route.Parents, attribution.Reference{Namespace: n.Namespace, Name: n.Object.Name}) &&
			slices.Contains(route.Backends, attribution.Reference{Namespace: member.Namespace, Name: member.Object.Name}) {
			return true
		}
	}
	return false
}
