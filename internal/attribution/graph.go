// Package attribution finds under which deployment the usage of an object is put.
package attribution

import "github.com/usage-operator/usage-operator/internal/usage"

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
type Graph struct{}

// New is a graph of nothing.
func New() *Graph { return &Graph{} }

// Upsert replaces what is known of the object. It returns the UIDs of the
// objects whose Placement differs from before, the object's own when it is new,
// in ascending order.
func (g *Graph) Upsert(n Node) []string { return nil }

// Remove forgets the object. It returns the UIDs of the other objects whose
// Placement differs from before, in ascending order.
func (g *Graph) Remove(uid string) []string { return nil }

// Seed tells which workload a claim, service or gateway followed last, as a
// former run of the operator knew it. It returns what Upsert returns.
func (g *Graph) Seed(uid, deployment string) []string { return nil }

// Place is where the object's usage belongs; the zero Placement for an object
// that the graph does not contain.
func (g *Graph) Place(uid string) Placement { return Placement{} }

// Unknown is the controlling owner at which the object's chain ends because the
// graph was never told about it, and the namespace to look in.
func (g *Graph) Unknown(uid string) (owner usage.Object, namespace string, unknown bool) {
	return usage.Object{}, "", false
}

// Contains tells whether the graph knows the object.
func (g *Graph) Contains(uid string) bool { return false }
