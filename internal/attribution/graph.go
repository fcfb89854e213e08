package attribution

import (
	"cmp"
	"slices"
	"unique"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Placement is where an object's usage belongs.
type Placement struct {
	// Deployment is the name under which usage is put; "" is unattributed.
	Deployment string
	// Workload is the top of the controlling-owner chain; the object itself when
	// nothing controls it.
	Workload usage.Object
}

// Graph knows who controls, mounts, selects and routes to whom. It is not safe
// for concurrent use: a single writer owns it.
type Graph struct {
	vertices  map[string]*vertex // by UID
	families  map[string]*family // by the owner's UID
	seeds     map[string]string  // deployments by the UIDs of followers to come
	claims    sites
	gateways  sites
	backends  map[place]*backend
	districts map[unique.Handle[string]]*district
	labels    labelTable

	undo *Undo // what takes back the change under way; nil: nobody asks

	// The pass under way: what is to be placed anew, by stratum.
	queues  [strata][]*vertex
	changed []string
	below   []*vertex
}

// New is a graph of nothing.
func New() *Graph {
	return &Graph{
		vertices:  map[string]*vertex{},
		families:  map[string]*family{},
		seeds:     map[string]string{},
		claims:    sites{},
		gateways:  sites{},
		backends:  map[place]*backend{},
		districts: map[unique.Handle[string]]*district{},
		labels:    labelTable{numbers: map[label]uint32{}},
	}
}

// Upsert replaces what is known of the object. It returns the UIDs of the
// objects whose Placement differs from before, the object's own when it is new,
// in ascending order.
func (g *Graph) Upsert(n Node) []string {
	if v := g.vertices[n.Object.UID]; v != nil && g.same(v, n) {
		return nil
	}
	g.upsert(n)
	return g.settle()
}

func (g *Graph) upsert(n Node) {
	v := g.vertices[n.Object.UID]
	if v == nil {
		v = g.enter(n)
	} else {
		g.replace(v, n)
	}
	g.link(v, n)
}

// enter makes a vertex of an object that is new.
func (g *Graph) enter(n Node) *vertex {
	f := g.families[n.Object.UID]
	v := &vertex{}
	if f != nil && f.alleged.is(n.Object) {
		v.id = f.alleged
	} else {
		v.id = identify(n.Object)
	}
	v.describe(n)
	if last, seeded := g.seeds[v.id.uid]; seeded {
		delete(g.seeds, v.id.uid)
		if v.id.role.follows() {
			v.follower().last = last
		}
	}
	g.vertices[v.id.uid] = v
	g.adopt(v, n.Owner)
	if f != nil {
		f.head, f.gone = v, nil
	}
	g.touch(v)
	g.touchBelow(v)
	return v
}

// replace unlinks v and makes it what n says.
func (g *Graph) replace(v *vertex, n Node) {
	// First of all: what unlinking touches is no longer followed down from here.
	v.queued = true
	if !v.id.is(n.Object) || v.namespace.Value() != n.Namespace || !v.ownedBy(n.Owner) || v.labels.Value().deployment != n.Deployment {
		g.touchBelow(v)
	}
	g.unlink(v)
	if !v.id.is(n.Object) {
		v.id = identify(n.Object)
	}
	if !v.id.role.follows() {
		v.part = nil
	}
	v.describe(n)
	g.adopt(v, n.Owner)
	v.queued = false
	g.touch(v) // its stratum is the new role's
}

func (v *vertex) describe(n Node) {
	v.namespace = unique.Make(n.Namespace)
	v.labels = unique.Make(naming{n.Deployment, n.Instance, n.Name})
}

// Remove forgets the object. It returns the UIDs of the other objects whose
// Placement differs from before, in ascending order.
func (g *Graph) Remove(uid string) []string {
	delete(g.seeds, uid)
	v := g.vertices[uid]
	if v == nil {
		return nil
	}
	g.remove(v)
	return g.settle()
}

func (g *Graph) remove(v *vertex) {
	v.queued = true // for good: it is not placed again
	g.touchBelow(v)
	end := climb(v)
	g.unlink(v)
	g.disown(v)
	delete(g.vertices, v.id.uid)
	g.bury(v, end)
}

// Seed tells which deployment a claim, service or gateway followed last, as a
// former run of the operator knew it. What this graph has seen since is newer and
// wins. The object may come later; one that never comes is forgotten by Remove, Unseed
// or UnseedAll.
// It returns what Upsert returns.
func (g *Graph) Seed(uid, deployment string) []string {
	if deployment == "" {
		return nil
	}
	v := g.vertices[uid]
	if v == nil {
		g.seeds[uid] = deployment
		return nil
	}
	f, follows := v.part.(*follower)
	if !follows || f.last != "" {
		return nil
	}
	f.last = deployment
	g.touch(v)
	return g.settle()
}

// Unseed forgets the seed of an object that has not come: it holds nothing any more.
func (g *Graph) Unseed(uid string) { delete(g.seeds, uid) }

// UnseedAll forgets the seeds of objects that have not come: they were deleted while no operator ran.
func (g *Graph) UnseedAll() { clear(g.seeds) }

// Recall tells where the object's chain ended as a former run of the operator knew
// it, under which label of rule 1, where the graph was never told about the owner at
// which it ends now. What this graph is told of that owner later counts instead. It
// returns what Upsert returns.
func (g *Graph) Recall(uid string, end usage.Object, label string) []string {
	v := g.vertices[uid]
	if v == nil {
		return nil
	}
	unknown := climb(v)
	if unknown.below == nil {
		return nil
	}
	if label == v.labels.Value().deployment {
		label = "" // its own, and not that of the end
	}
	f := unknown.below.family
	f.gone = &gone{role: f.alleged.role, namespace: unknown.below.namespace, top: top{id: identify(end), label: label}}
	g.touchBelow(&vertex{id: f.alleged})
	return g.settle()
}

// Place is where the object's usage belongs; the zero Placement for an object
// that the graph does not contain.
func (g *Graph) Place(uid string) Placement {
	v := g.vertices[uid]
	if v == nil {
		return Placement{}
	}
	return Placement{Deployment: v.deployment, Workload: v.workload.object()}
}

// Unknown is the controlling owner at which the object's chain ends because the
// graph was never told about it, and the namespace to look in (which means nothing
// when the owner's kind is cluster-scoped). Whoever finds none there, or one with
// another UID, has to remember that: the graph goes on asking.
func (g *Graph) Unknown(uid string) (owner usage.Object, namespace string, unknown bool) {
	v := g.vertices[uid]
	if v == nil {
		return usage.Object{}, "", false
	}
	end := climb(v)
	if end.below == nil {
		return usage.Object{}, "", false
	}
	return end.id.object(), end.below.namespace.Value(), true
}

// Below is the object, one of those at or above it in its chain, whose owner Unknown is.
func (g *Graph) Below(uid string) usage.Object {
	v := g.vertices[uid]
	if v == nil {
		return usage.Object{}
	}
	end := climb(v)
	if end.below == nil {
		return usage.Object{}
	}
	return end.below.id.object()
}

// Between are the UIDs of the owners between the object and the top of its chain.
func (g *Graph) Between(uid string) []string {
	v := g.vertices[uid]
	if v == nil {
		return nil
	}
	var uids []string
	for top := climb(v).id.uid; len(uids) <= maxOwners && v.family != nil && v.owner.uid != top; {
		uids = append(uids, v.owner.uid)
		if v = v.family.head; v == nil {
			break
		}
	}
	return uids
}

// Contains tells whether the graph knows the object.
func (g *Graph) Contains(uid string) bool { return g.vertices[uid] != nil }

// Owners calls visit with each kind that something refers to as its owner's.
func (g *Graph) Owners(visit func(group, name string)) {
	seen := map[unique.Handle[kind]]struct{}{}
	for _, f := range g.families {
		k := f.alleged.kind
		if _, again := seen[k]; again {
			continue
		}
		seen[k] = struct{}{}
		visit(groupOf(k.Value().apiVersion), k.Value().name)
	}
}

// UID is uid as the graph's own string, which keeps nothing else alive; uid
// itself for an object that the graph does not contain.
func (g *Graph) UID(uid string) string {
	if v := g.vertices[uid]; v != nil {
		return v.id.uid
	}
	return uid
}

// Objects calls visit with the UID of each object of the kind, in no particular
// order. visit may not change the graph.
func (g *Graph) Objects(group, kind string, visit func(uid string)) {
	for uid, v := range g.vertices {
		if v.id.of(group, kind) {
			visit(uid)
		}
	}
}

// placement is what the rules say of v now.
func placement(v *vertex) (deployment string, workload *identity) {
	end := climb(v)
	itself := *end.id == *v.id
	var volume string
	if end.id.role == dataVolume {
		volume = end.id.name
	}
	labels := v.labels.Value()
	named := cmp.Or(labels.deployment, end.label, end.id.nameFor(itself, v.namespace != clusterScoped))
	rest := cmp.Or(volume, labels.instance, labels.name)
	if f, follows := v.part.(*follower); follows {
		return f.place(named, rest), end.id
	}
	return cmp.Or(named, rest), end.id
}

// distinct is list in order, without duplicates.
func distinct(list []Reference) []Reference {
	return slices.Compact(slices.SortedFunc(slices.Values(list), Reference.compare))
}

func (r Reference) compare(other Reference) int {
	return cmp.Or(cmp.Compare(r.Namespace, other.Namespace), cmp.Compare(r.Name, other.Name))
}
