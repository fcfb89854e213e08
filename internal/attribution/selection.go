package attribution

import (
	"slices"
	"unique"
)

// census counts those whose deployment others follow: the pods that mount a
// claim or that a selector selects, the services that a gateway's routes send to.
type census struct {
	tally
	readers []*vertex // the objects that follow it
}

// recount moves one member of c between deployments; "" is none.
func (g *Graph) recount(c *census, from, to string) {
	name, many := c.verdict()
	c.drop(from)
	c.add(to)
	if n, m := c.verdict(); n == name && m == many {
		return
	}
	for _, reader := range c.readers {
		g.touch(reader)
	}
}

// district is the part of a namespace in which selectors meet pods.
type district struct {
	cohorts    map[labelSet]*cohort
	selections map[labelSet]*selection
	// byLabel has each selection once, under one label of its selector, so that
	// pods are tried against few selectors and not against all.
	byLabel map[uint32][]*selection
}

// cohort is the pods of a namespace with the same labels: the replicas of one
// template. A selector has to do with cohorts, so replicas that come and go
// reach no service until the first or the last of a deployment in the cohort.
type cohort struct {
	tally
	labels     labelSet
	pods       int32
	selections []*selection // the selectors that select it
}

// selection is a selector, and a census of the cohorts that it selects: each
// counts once for every deployment in it. Services with the same selector share it.
type selection struct {
	census
	labels labelSet
	under  uint32 // its label in byLabel
}

func (g *Graph) district(namespace unique.Handle[string]) *district {
	d := g.districts[namespace]
	if d == nil {
		d = &district{
			cohorts:    map[labelSet]*cohort{},
			selections: map[labelSet]*selection{},
			byLabel:    map[uint32][]*selection{},
		}
		g.districts[namespace] = d
	}
	return d
}

func (g *Graph) abandon(namespace unique.Handle[string], d *district) {
	if len(d.cohorts) == 0 && len(d.selections) == 0 {
		delete(g.districts, namespace)
	}
}

// join makes a pod one of those with its labels.
func (g *Graph) join(v *vertex, labels map[string]string) {
	if len(labels) == 0 {
		return // nothing selects it
	}
	d := g.district(v.namespace)
	set := g.labels.set(labels)
	c := d.cohorts[set]
	if c == nil {
		c = &cohort{labels: set}
		d.cohorts[set] = c
		g.labels.retain(set)
		for number := range set.all() {
			for _, s := range d.byLabel[number] {
				if set.includes(s.labels) {
					c.selections = append(c.selections, s)
				}
			}
		}
	}
	c.pods++
	v.cohort = c
	g.recountCohort(c, "", v.deployment)
}

// leave undoes join.
func (g *Graph) leave(v *vertex) {
	c := v.cohort
	if c == nil {
		return
	}
	g.recountCohort(c, v.deployment, "")
	v.cohort = nil
	c.pods--
	if c.pods > 0 {
		return
	}
	d := g.districts[v.namespace]
	delete(d.cohorts, c.labels)
	g.labels.release(c.labels)
	g.abandon(v.namespace, d)
}

func (g *Graph) recountCohort(c *cohort, from, to string) {
	if c.drop(from) {
		for _, s := range c.selections {
			g.recount(&s.census, from, "")
		}
	}
	if c.add(to) {
		for _, s := range c.selections {
			g.recount(&s.census, "", to)
		}
	}
}

// selects makes a service follow what its selector selects.
func (g *Graph) selects(v *vertex, selector map[string]string) *selection {
	if len(selector) == 0 {
		return nil // selects nothing
	}
	d := g.district(v.namespace)
	set := g.labels.set(selector)
	s := d.selections[set]
	if s == nil {
		s = &selection{labels: set, under: set.first()}
		d.selections[set] = s
		g.labels.retain(set)
		for number := range set.all() {
			if len(d.byLabel[number]) < len(d.byLabel[s.under]) {
				s.under = number
			}
		}
		d.byLabel[s.under] = append(d.byLabel[s.under], s)
		for labels, c := range d.cohorts {
			if labels.includes(set) {
				c.selections = append(c.selections, s)
				c.each(func(name string) { s.add(name) })
			}
		}
	}
	s.readers = append(s.readers, v)
	return s
}

// unselects undoes selects.
func (g *Graph) unselects(v *vertex, s *selection) {
	if s == nil {
		return
	}
	s.readers = without(s.readers, v)
	if len(s.readers) > 0 {
		return
	}
	d := g.districts[v.namespace]
	delete(d.selections, s.labels)
	d.byLabel[s.under] = without(d.byLabel[s.under], s)
	if len(d.byLabel[s.under]) == 0 {
		delete(d.byLabel, s.under)
	}
	for labels, c := range d.cohorts {
		if labels.includes(s.labels) {
			c.selections = without(c.selections, s)
		}
	}
	g.labels.release(s.labels)
	g.abandon(v.namespace, d)
}

// without removes an element that is in the list; the order is not kept.
func without[T comparable](list []T, element T) []T {
	at := slices.Index(list, element)
	last := len(list) - 1
	list[at] = list[last]
	clear(list[last:])
	if last == 0 {
		return nil
	}
	return list[:last]
}
