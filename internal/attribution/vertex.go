package attribution

import (
	"cmp"
	"slices"
	"unique"

	"github.com/usage-operator/usage-operator/internal/usage"
)

var clusterScoped = unique.Make("")

// naming is the values of the labels that name a deployment.
type naming struct {
	deployment, instance, name string
}

// vertex is an object in the graph. There is one for each pod of the cluster:
// what pods share is behind pointers, and what most do not have is in part.
type vertex struct {
	id        *identity
	namespace unique.Handle[string]
	labels    unique.Handle[naming]

	family *family // of its owner, nil without one
	owner  *identity
	seat   int32 // among the family's members
	queued bool  // in this pass

	// The placement: workload is nil until it is placed first.
	deployment string
	workload   *identity

	cohort *cohort // a pod's
	// part is the rest, by role: a pod's mounts, a route's *routes, the *follower
	// of a claim, service or gateway.
	part any
}

// mounts are the claims that a pod mounts, free of duplicates.
type mounts []*site

// follower is an object that is placed where others are: a claim, service or gateway.
type follower struct {
	last      string     // the deployment that it followed last
	holds     bool       // Node.Holds; if not, last is what it follows now
	site      *site      // a claim's or gateway's
	selection *selection // a service's, nil without a selector
	backend   *backend   // a service's
}

// place is the deployment of the follower: the name that rules 1 and 2 give, that which it
// follows or followed last, or else the rest. It remembers what it followed last only while
// that is what places it: the deployment under which its usage is put tells what it is, so
// that a next run, which knows no more, places it alike.
func (f *follower) place(named, rest string) string {
	var name string
	var many bool
	switch {
	case f.site != nil:
		name, many = f.site.verdict()
	case f.selection != nil:
		name, many = f.selection.verdict()
	}
	switch {
	case named != "", many:
		f.last = ""
	case name != "":
		f.last = name
	case !f.holds, f.last == rest:
		f.last = ""
	}
	return cmp.Or(named, f.last, rest)
}

// link connects v with what n says that it mounts, selects or routes to.
func (g *Graph) link(v *vertex, n Node) {
	if v.id.role.follows() {
		v.follower().holds = n.Holds
	}
	switch v.id.role {
	case pod:
		g.join(v, n.Labels)
		g.mount(v, n.Claims)
	case claim:
		v.follower().site = g.claims.hold(v.namespace, v.id.name)
		g.read(v)
	case deviceClaim:
		v.follower().site = g.claims.hold(v.namespace, DeviceClaim(v.id.name))
		g.read(v)
	case gateway:
		v.follower().site = g.gateways.hold(v.namespace, v.id.name)
		g.read(v)
	case service:
		f := v.follower()
		f.selection = g.selects(v, n.Selector)
		f.backend = g.serve(v)
	case route:
		g.attach(v, n.Parents, n.Backends)
	}
}

// unlink undoes link; a follower keeps what it followed last.
func (g *Graph) unlink(v *vertex) {
	g.leave(v)
	switch part := v.part.(type) {
	case mounts:
		g.unmount(v, part)
	case *routes:
		g.detach(v, part)
	case *follower:
		g.unfollow(v, part)
		return
	}
	v.part = nil
}

// last is the deployment that v followed last; "" where it follows nothing.
func (v *vertex) last() string {
	if f, follows := v.part.(*follower); follows {
		return f.last
	}
	return ""
}

// follower is v's part, made when it has none.
func (v *vertex) follower() *follower {
	f, ok := v.part.(*follower)
	if !ok {
		f = &follower{}
		v.part = f
	}
	return f
}

func (g *Graph) read(v *vertex) {
	s := v.follower().site
	s.readers = append(s.readers, v)
}

func (g *Graph) unfollow(v *vertex, f *follower) {
	if f.site != nil {
		f.site.readers = without(f.site.readers, v)
		if v.id.role == gateway {
			g.gateways.release(f.site)
		} else {
			g.claims.release(f.site)
		}
	}
	if f.backend != nil {
		g.unselects(v, f.selection)
		g.retire(v, f.backend)
	}
	f.site, f.selection, f.backend = nil, nil, nil
}

func (g *Graph) mount(v *vertex, claims []string) {
	if len(claims) == 0 {
		return
	}
	claims = slices.Compact(slices.Sorted(slices.Values(claims)))
	held := make(mounts, len(claims))
	for i, name := range claims {
		held[i] = g.claims.hold(v.namespace, name)
		g.recount(&held[i].census, "", v.deployment)
	}
	v.part = held
}

func (g *Graph) unmount(v *vertex, held mounts) {
	for _, s := range held {
		g.recount(&s.census, v.deployment, "")
		g.claims.release(s)
	}
}

// same tells whether n says what the graph knows of v already.
func (g *Graph) same(v *vertex, n Node) bool {
	if !v.id.is(n.Object) || v.namespace.Value() != n.Namespace {
		return false
	}
	if v.labels.Value() != (naming{n.Deployment, n.Instance, n.Name}) {
		return false
	}
	if !v.ownedBy(n.Owner) {
		return false
	}
	if v.id.role.follows() && v.follower().holds != n.Holds {
		return false
	}
	switch v.id.role {
	case pod:
		return g.sameCohort(v, n) && sameMounts(v, n)
	case service:
		var selector labelSet
		if s := v.follower().selection; s != nil {
			selector = s.labels
		}
		return g.labels.equal(selector, n.Selector)
	case route:
		r := v.part.(*routes)
		return slices.EqualFunc(r.gateways, n.Parents, func(s *site, to Reference) bool { return s.is(to) }) &&
			slices.EqualFunc(r.backends, n.Backends, func(b *backend, to Reference) bool { return b.is(to) })
	}
	return true
}

// ownedBy tells whether owner is what v refers to as its owner.
func (v *vertex) ownedBy(owner usage.Object) bool {
	if v.owner == nil {
		return owner.UID == ""
	}
	return v.owner.is(owner)
}

func (g *Graph) sameCohort(v *vertex, n Node) bool {
	if v.cohort == nil {
		return len(n.Labels) == 0
	}
	return g.labels.equal(v.cohort.labels, n.Labels)
}

func sameMounts(v *vertex, n Node) bool {
	held, _ := v.part.(mounts)
	return slices.EqualFunc(held, n.Claims, func(s *site, name string) bool { return s.name == name })
}

func (p place) is(r Reference) bool { return p.name == r.Name && p.namespace.Value() == r.Namespace }
