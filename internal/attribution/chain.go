package attribution

import (
	"unique"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// maxOwners is how far up a chain is followed. Real ones have up to four.
const maxOwners = 16

// family is what refers to one owner, by its UID: known, removed or never seen.
type family struct {
	head    *vertex   // the owner, while the graph knows it
	gone    *gone     // else what it was when it was removed
	alleged *identity // what the first reference called it, shared by those that agree
	members []*vertex // each knows its seat
}

// gone is what stays of a removed owner: where its chain ended, not the chain
// itself, so that nothing can keep itself remembered in a circle.
type gone struct {
	role      role
	namespace unique.Handle[string]
	top       top
}

// top is the end of a chain.
type top struct {
	id    *identity
	label string // its label of rule 1
	// below is what refers to it, when the graph was never told about it.
	below *vertex
}

// climb finds the top of v's chain: v itself when nothing controls it.
func climb(v *vertex) top {
	at := v
	for range maxOwners + 1 {
		f := at.family
		switch {
		case f == nil:
			return at.asTop()
		case f.head != nil:
			if !controls(f.head.id.role, f.head.namespace, at) {
				return at.asTop()
			}
			at = f.head
		case f.gone != nil:
			if !controls(f.gone.role, f.gone.namespace, at) {
				return at.asTop()
			}
			return f.gone.top
		case at.owner.role == node:
			return at.asTop()
		default:
			return top{id: at.owner, below: at}
		}
	}
	return v.asTop() // a circle, or a chain that nobody needs
}

func (v *vertex) asTop() top {
	return top{id: v.id, label: v.labels.Value().deployment}
}

// controls tells whether an owner of that role and namespace counts for v. The
// owner's own word is taken, not the reference's: a UID can be copied.
func controls(owner role, namespace unique.Handle[string], v *vertex) bool {
	return owner != node && (namespace == clusterScoped || namespace == v.namespace)
}

// adopt puts v under its owner, instead of the one that it had. A reference that
// calls the same owner otherwise leaves it in its family: the last member to go
// takes along what is remembered of a removed owner.
func (g *Graph) adopt(v *vertex, owner usage.Object) {
	if v.ownedBy(owner) {
		return
	}
	if v.family == nil || v.owner.uid != owner.UID {
		g.disown(v)
		g.enrol(v, owner)
	}
	if v.family == nil {
		return
	}
	v.owner = v.family.alleged
	if !v.owner.is(owner) {
		v.owner = identify(owner)
	}
}

func (g *Graph) enrol(v *vertex, owner usage.Object) {
	if owner.UID == "" {
		return
	}
	f := g.families[owner.UID]
	if f == nil {
		f = &family{head: g.vertices[owner.UID]}
		if f.head != nil && f.head.id.is(owner) {
			f.alleged = f.head.id
		} else {
			f.alleged = identify(owner)
		}
		g.families[f.alleged.uid] = f
	}
	v.family, v.seat = f, int32(len(f.members))
	f.members = append(f.members, v)
}

// disown takes v out of its owner's family.
func (g *Graph) disown(v *vertex) {
	f := v.family
	if f == nil {
		return
	}
	last := len(f.members) - 1
	f.members[v.seat] = f.members[last]
	f.members[v.seat].seat = v.seat
	f.members[last] = nil
	f.members = f.members[:last]
	if last == 0 {
		delete(g.families, v.owner.uid)
	}
	v.family, v.owner = nil, nil
}

// bury leaves in the owner's place what it was, for as long as something refers to it.
func (g *Graph) bury(v *vertex, end top) {
	f := g.families[v.id.uid]
	if f == nil {
		return
	}
	end.below = nil
	f.head = nil
	f.gone = &gone{role: v.id.role, namespace: v.namespace, top: end}
}

// touchBelow enqueues everything whose chain passes through v.
func (g *Graph) touchBelow(v *vertex) {
	if g.families[v.id.uid] == nil {
		return
	}
	below := append(g.below[:0], v)
	for level, at := 0, 0; level <= maxOwners && at < len(below); level++ {
		for end := len(below); at < end; at++ {
			f := g.families[below[at].id.uid]
			if f == nil {
				continue
			}
			for _, member := range f.members {
				if g.touch(member) {
					below = append(below, member)
				}
			}
		}
	}
	clear(below)
	g.below = below[:0]
}
