package attribution

import (
	"slices"
)

// Undo is what a change of one object replaced, so that the change can be undone: the
// object as it was, and the deployments that others followed then.
type Undo struct {
	uid  string
	was  Node // the zero Node: the graph did not contain it
	last []followed
	seed string
	// What was remembered of the object, and of its owner, while the graph did not contain them.
	gone, ownerGone *gone
}

// followed is the deployment that a claim, service or gateway followed last.
type followed struct {
	uid, deployment string
}

// Size is how many bytes it takes in memory, approximately.
func (u *Undo) Size() int {
	size := 256 + len(u.uid) + 32*len(u.last) + 64*(len(u.was.Claims)+len(u.was.Parents)+len(u.was.Backends))
	for key, value := range u.was.Labels {
		size += 32 + len(key) + len(value)
	}
	return size
}

// Put is Upsert, and also returns how to undo it; nil if nothing changed.
func (g *Graph) Put(n Node) (moved []string, undo *Undo) {
	if v := g.vertices[n.Object.UID]; v != nil && g.same(v, n) {
		return nil, nil
	}
	g.undo = g.now(n.Object.UID)
	defer func() { g.undo = nil }()
	return g.Upsert(n), g.undo
}

// Take is Remove, and also returns how to undo it; nil if the graph does not contain the
// object.
func (g *Graph) Take(uid string) (moved []string, undo *Undo) {
	if g.vertices[uid] == nil {
		return g.Remove(uid), nil
	}
	g.undo = g.now(uid)
	defer func() { g.undo = nil }()
	return g.Remove(uid), g.undo
}

// Undo undoes a change, after later changes have been undone. It returns the UIDs of
// the objects that moved, in ascending order, and the object as the change had left
// it; the zero Node if the change removed it.
func (g *Graph) Undo(u *Undo) (moved []string, became Node) {
	v := g.vertices[u.uid]
	if v != nil {
		became = g.node(v)
	}
	switch {
	case u.was.Object.UID != "":
		g.upsert(u.was)
	case v != nil:
		g.remove(v)
	}
	if u.seed != "" {
		g.seeds[u.uid] = u.seed
	}
	g.recollect(u.uid, u.gone)
	g.recollect(u.was.Owner.UID, u.ownerGone)
	for _, f := range slices.Backward(u.last) {
		v := g.vertices[f.uid]
		if v == nil {
			continue
		}
		if part, follows := v.part.(*follower); follows {
			part.last = f.deployment
			g.touch(v)
		}
	}
	return g.settle(), became
}

// recollect restores what was remembered of an owner that the graph does not contain.
func (g *Graph) recollect(uid string, was *gone) {
	f := g.families[uid]
	if f == nil || f.head != nil || f.gone == was {
		return
	}
	f.gone = was
	g.touchBelow(&vertex{id: f.alleged})
}

// now is the Undo that restores the object's present state.
func (g *Graph) now(uid string) *Undo {
	u := &Undo{uid: uid, seed: g.seeds[uid], gone: g.remembered(uid)}
	v := g.vertices[uid]
	if v == nil {
		return u
	}
	u.was = g.node(v)
	u.ownerGone = g.remembered(u.was.Owner.UID)
	if f, follows := v.part.(*follower); follows {
		u.last = append(u.last, followed{uid, f.last})
	}
	return u
}

func (g *Graph) remembered(uid string) *gone {
	if f := g.families[uid]; f != nil {
		return f.gone
	}
	return nil
}

// node is the Node from which v was made.
func (g *Graph) node(v *vertex) Node {
	labels := v.labels.Value()
	n := Node{
		Object: v.id.object(), Namespace: v.namespace.Value(),
		Deployment: labels.deployment, Instance: labels.instance, Name: labels.name,
	}
	if v.owner != nil {
		n.Owner = v.owner.object()
	}
	if v.cohort != nil {
		n.Labels = g.labels.read(v.cohort.labels)
	}
	switch part := v.part.(type) {
	case mounts:
		for _, s := range part {
			n.Claims = append(n.Claims, s.name)
		}
	case *routes:
		for _, s := range part.gateways {
			n.Parents = append(n.Parents, s.reference())
		}
		for _, b := range part.backends {
			n.Backends = append(n.Backends, b.reference())
		}
	case *follower:
		n.Holds = part.holds
		if part.selection != nil {
			n.Selector = g.labels.read(part.selection.labels)
		}
	}
	return n
}

// read is the set as labels.
func (t *labelTable) read(s labelSet) map[string]string {
	labels := make(map[string]string, len(s)/4)
	for number := range s.all() {
		entry := &t.entries[number]
		labels[entry.key.Value()] = entry.value
	}
	return labels
}

func (p place) reference() Reference {
	return Reference{Namespace: p.namespace.Value(), Name: p.name}
}
