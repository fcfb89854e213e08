package attribution

import "slices"

// Followers are the UIDs of the claims, services and gateways that are placed where
// the pod or service is, as far as that is one deployment, in ascending order.
func (g *Graph) Followers(uid string) []string {
	v := g.vertices[uid]
	if v == nil {
		return nil
	}
	var found []string
	add := func(c *census) {
		for _, reader := range c.readers {
			found = append(found, reader.id.uid)
		}
	}
	var services []*vertex
	switch part := v.part.(type) {
	case mounts:
		for _, s := range part {
			add(&s.census)
		}
	case *follower:
		services = append(services, v)
	}
	if v.cohort != nil {
		for _, s := range v.cohort.selections {
			add(&s.census)
			services = append(services, s.readers...)
		}
	}
	for _, service := range services {
		f, follows := service.part.(*follower)
		if !follows || f.backend == nil {
			continue
		}
		for _, route := range f.backend.routes {
			for _, gateway := range route.part.(*routes).gateways {
				if gateway.namespace == f.backend.namespace {
					add(&gateway.census)
				}
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// Hold tells that the object holds something now, or nothing more, by no change of its own:
// Node.Holds. It returns what Upsert returns.
func (g *Graph) Hold(uid string, holds bool) []string {
	v := g.vertices[uid]
	if v == nil {
		return nil
	}
	f, follows := v.part.(*follower)
	if !follows || f.holds == holds {
		return nil
	}
	f.holds = holds
	g.touch(v)
	return g.settle()
}

// Unclaimed are the claims that the pod mounts and that the graph does not know,
// and the one deployment whose pods mount each.
func (g *Graph) Unclaimed(uid string) map[Reference]string {
	v := g.vertices[uid]
	if v == nil {
		return nil
	}
	held, _ := v.part.(mounts)
	var unclaimed map[Reference]string
	for _, s := range held {
		name, _ := s.verdict()
		if name == "" || len(s.readers) > 0 {
			continue
		}
		if unclaimed == nil {
			unclaimed = map[Reference]string{}
		}
		unclaimed[Reference{Namespace: s.namespace.Value(), Name: s.name}] = name
	}
	return unclaimed
}

// Mend tells that what a claim, service or gateway followed last was called otherwise:
// it was placed there by a name that was provisional. It returns what Upsert returns.
func (g *Graph) Mend(uid, from, to string) []string {
	v := g.vertices[uid]
	if v == nil {
		return nil
	}
	f, follows := v.part.(*follower)
	if !follows || f.last != from {
		return nil
	}
	f.last = to
	g.touch(v)
	return g.settle()
}
