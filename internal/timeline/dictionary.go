package timeline

import (
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
// one. Two are the same exactly when their pointers are.
type holder struct {
	resource, instance *usage.Object
	container          string
}

// dictionary keeps each string, object and holder once.
type dictionary struct {
	strings map[string]string
	objects map[string]*usage.Object // by UID
	holders map[holder]*holder
	// last are the answers given last: what one object says comes in one go.
	last struct {
		subject *usage.Subject
		holder  *holder
	}
}

func newDictionary() dictionary {
	return dictionary{strings: map[string]string{}, objects: map[string]*usage.Object{}, holders: map[holder]*holder{}}
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
	key := holder{resource: d.object(&s.Resource), instance: d.object(&s.Instance), container: s.Container}
	known := d.holders[key]
	if known == nil {
		key.container = d.word(key.container)
		known = &key
		d.holders[key] = known
	}
	d.last.subject, d.last.holder = s, known
	return known
}

func (d *dictionary) object(o *usage.Object) *usage.Object {
	id := o.UID
	if id == "" { // a meter of somebody's own may give none
		id = o.Kind + "/" + o.Name
	}
	known := d.objects[id]
	if known == nil {
		known = &usage.Object{APIVersion: d.word(o.APIVersion), Kind: d.word(o.Kind), Name: o.Name, UID: o.UID}
		d.objects[id] = known
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
