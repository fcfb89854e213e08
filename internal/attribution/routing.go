package attribution

import (
	"strings"
	"unique"
)

// place is a name in a namespace, known before the object that bears it.
type place struct {
	namespace unique.Handle[string]
	name      string
}

// site is the census under a claim's or a gateway's name.
type site struct {
	census
	place
	holds int32 // by those that it counts and those that read it
}

type sites map[place]*site

func (s sites) hold(namespace unique.Handle[string], name string) *site {
	at := place{namespace, name}
	found := s[at]
	if found == nil {
		at.name = strings.Clone(name)
		found = &site{place: at}
		s[at] = found
	}
	found.holds++
	return found
}

func (s sites) release(held *site) {
	held.holds--
	if held.holds == 0 {
		delete(s, held.place)
	}
}

// backend is where routes meet services, under the services' name. One service
// bears a name at a time, two while a deletion is late.
type backend struct {
	place
	services []*vertex
	routes   []*vertex
}

func (g *Graph) backend(namespace unique.Handle[string], name string) *backend {
	at := place{namespace, name}
	b := g.backends[at]
	if b == nil {
		at.name = strings.Clone(name)
		b = &backend{place: at}
		g.backends[at] = b
	}
	return b
}

func (g *Graph) releaseBackend(b *backend) {
	if len(b.services) == 0 && len(b.routes) == 0 {
		delete(g.backends, b.place)
	}
}

// routes is what a route connects. Both lists are free of duplicates.
type routes struct {
	gateways []*site
	backends []*backend
}

// recountRoute moves a service of b between deployments for the gateways of one
// route. A backend in another namespace is none of the gateway's business.
func (g *Graph) recountRoute(r *routes, b *backend, from, to string) {
	for _, gateway := range r.gateways {
		if gateway.namespace == b.namespace {
			g.recount(&gateway.census, from, to)
		}
	}
}

// serve puts a service behind its name.
func (g *Graph) serve(v *vertex) *backend {
	b := g.backend(v.namespace, v.id.name)
	b.services = append(b.services, v)
	g.recountService(b, "", v.deployment)
	return b
}

// retire undoes serve.
func (g *Graph) retire(v *vertex, b *backend) {
	g.recountService(b, v.deployment, "")
	b.services = without(b.services, v)
	g.releaseBackend(b)
}

func (g *Graph) recountService(b *backend, from, to string) {
	for _, route := range b.routes {
		g.recountRoute(route.part.(*routes), b, from, to)
	}
}

// attach connects a route's gateways with its backends.
func (g *Graph) attach(v *vertex, parents, backends []Reference) {
	r := &routes{}
	for _, parent := range distinct(parents) {
		r.gateways = append(r.gateways, g.gateways.hold(unique.Make(parent.Namespace), parent.Name))
	}
	for _, to := range distinct(backends) {
		b := g.backend(unique.Make(to.Namespace), to.Name)
		b.routes = append(b.routes, v)
		r.backends = append(r.backends, b)
		for _, service := range b.services {
			g.recountRoute(r, b, "", service.deployment)
		}
	}
	v.part = r
}

// detach undoes attach.
func (g *Graph) detach(v *vertex, r *routes) {
	for _, b := range r.backends {
		for _, service := range b.services {
			g.recountRoute(r, b, service.deployment, "")
		}
		b.routes = without(b.routes, v)
		g.releaseBackend(b)
	}
	for _, gateway := range r.gateways {
		g.gateways.release(gateway)
	}
}
