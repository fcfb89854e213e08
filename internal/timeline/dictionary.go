package timeline

import (
	"strings"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// words are what tells one class from another.
type words struct {
	usage.Account
	ResourceType, Region, Bundle string
	Attributes                   usage.Attributes
	Meter                        string
	Dimension                    usage.Dimension
}

// holder is who holds something: a resource by an instance, or a container of
// one. Two are the same exactly when their identities are: of one whose streams
// have ended, another may be made when it comes again.
type holder struct {
	resource, instance *object
	container          string
	number             uint64
	// What follows is the writer's.
	streams int
	in      partPlace
}

// clone is a copy that shares no text with anything.
func (h *holder) clone() *holder {
	c := &holder{resource: h.resource.clone(), container: strings.Clone(h.container), number: h.number}
	if c.instance = c.resource; h.instance != h.resource {
		c.instance = h.instance.clone()
	}
	return c
}

// bytes is how much a clone's text takes.
func (h *holder) bytes() int64 {
	size := len(h.resource.Name) + len(h.resource.UID) + len(h.container)
	if h.instance != h.resource {
		size += len(h.instance.Name) + len(h.instance.UID)
	}
	return int64(size) + 32 // what is allocated is rounded up
}

// object is what a holder is made of.
type object struct {
	usage.Object
	// What follows is the writer's.
	holders int
	in      partPlace
}

func (o *object) clone() *object {
	return &object{Object: usage.Object{
		APIVersion: o.APIVersion, Kind: o.Kind, Name: strings.Clone(o.Name), UID: strings.Clone(o.UID),
	}}
}

// partPlace is where something was put into a part last.
type partPlace struct {
	day    int64
	serial uint64
	at     uint32
	known  bool
}

func (in *partPlace) isIn(p *part) bool { return in.known && in.day == p.day && in.serial == p.serial }

// identity tells who a holder is.
type identity struct{ resource, instance, container string }

func (h *holder) identity() identity {
	return identity{resource: idOf(&h.resource.Object), instance: idOf(&h.instance.Object), container: h.container}
}

// idOf tells an object from every other.
func idOf(o *usage.Object) string {
	if o.UID != "" {
		return o.UID
	}
	return o.Kind + "/" + o.Name // a meter of somebody's own may give no UID
}

// dictionary keeps each string once, and each object and holder of which something
// is open, or not sealed.
type dictionary struct {
	strings map[string]string
	objects map[string]*object // by idOf
	holders map[identity]*holder
	numbers uint64 // of holders
	// last are the answers given last: what one object says comes in one go.
	last struct {
		subject *usage.Subject
		holder  *holder
	}
}

func newDictionary() dictionary {
	return dictionary{strings: map[string]string{}, objects: map[string]*object{}, holders: map[identity]*holder{}}
}

// remember has a holder found for as long as it has streams: this is one more.
func (d *dictionary) remember(h *holder) {
	if h.streams++; h.streams > 1 {
		return
	}
	id := h.identity()
	d.holders[id] = h
	h.resource.holders++
	h.instance.holders++
	d.objects[id.resource], d.objects[id.instance] = h.resource, h.instance
}

// release undoes remember.
func (d *dictionary) release(h *holder) {
	if h.streams--; h.streams > 0 {
		return
	}
	id := h.identity()
	if d.holders[id] == h {
		delete(d.holders, id)
	}
	for _, of := range []struct {
		id string
		*object
	}{{id.resource, h.resource}, {id.instance, h.instance}} {
		if of.holders--; of.holders == 0 && d.objects[of.id] == of.object {
			delete(d.objects, of.id)
		}
	}
	d.last.subject, d.last.holder = nil, nil
}

func (d *dictionary) word(s string) string {
	known, ok := d.strings[s]
	if !ok {
		known = s
		d.strings[s] = s
	}
	return known
}

// holder is the subject's. Of an object that says different things of itself
// (another API version), the first counts: its UID says who it is.
func (d *dictionary) holder(s *usage.Subject) *holder {
	if d.last.subject == s {
		return d.last.holder
	}
	id := identity{resource: idOf(&s.Resource), instance: idOf(&s.Instance), container: s.Container}
	known := d.holders[id]
	if known == nil {
		d.numbers++
		known = &holder{container: d.word(s.Container), number: d.numbers}
		known.resource = d.object(id.resource, &s.Resource)
		known.instance = known.resource
		if id.instance != id.resource {
			known.instance = d.object(id.instance, &s.Instance)
		}
	}
	d.last.subject, d.last.holder = s, known
	return known
}

// object is the one with an identity; the first that said so is it.
func (d *dictionary) object(id string, o *usage.Object) *object {
	known := d.objects[id]
	if known == nil {
		known = &object{Object: usage.Object{APIVersion: d.word(o.APIVersion), Kind: d.word(o.Kind), Name: o.Name, UID: o.UID}}
	}
	return known
}

func (d *dictionary) words(s *usage.Segment) words {
	of := s.Subject
	return words{
		Account:      usage.Account{Namespace: d.word(of.Namespace), NamespaceUID: d.word(of.NamespaceUID), Deployment: d.word(of.Deployment)},
		ResourceType: d.word(of.ResourceType), Region: d.word(of.Region), Bundle: d.word(of.Bundle),
		Attributes: usage.Attributes(d.word(string(of.Attributes))), Meter: d.word(s.Meter),
		Dimension: usage.Dimension{Name: d.word(s.Dimension.Name), Unit: usage.Unit(d.word(string(s.Dimension.Unit)))},
	}
}
