package ledger

import (
	"strings"
	"unique"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// holder is whom a stream is of: a usage.Subject in a third of its bytes. What
// others share is kept once: a hundred thousand pods name the same few kinds and
// regions, and the pods of one workload that.
type holder struct {
	account            *account
	words              unique.Handle[words]
	resource, instance names
}

// names are an object's own.
type names struct {
	name, uid string
}

// words are what many subjects say alike.
type words struct {
	resourceType                  string
	resourceVersion, resourceKind string
	instanceVersion, instanceKind string
	container, of, region, bundle string
	attributes                    usage.Attributes
}

func wordsOf(s *usage.Subject) words {
	return words{
		resourceType:    s.ResourceType,
		resourceVersion: s.Resource.APIVersion, resourceKind: s.Resource.Kind,
		instanceVersion: s.Instance.APIVersion, instanceKind: s.Instance.Kind,
		container: s.Container, of: s.Of, region: s.Region, bundle: s.Bundle,
		attributes: s.Attributes,
	}
}

// is tells whether the subject is the holder's own.
func (h *holder) is(s *usage.Subject) bool {
	a := &h.account.key
	if h.instance.uid != s.Instance.UID || h.instance.name != s.Instance.Name ||
		h.resource.uid != s.Resource.UID || h.resource.name != s.Resource.Name ||
		a.Deployment != s.Deployment || a.Namespace != s.Namespace || a.NamespaceUID != s.NamespaceUID {
		return false
	}
	w := h.words.Value()
	return w.are(s)
}

// are tells whether the words are the subject's: wordsOf without a copy, for it is asked of each observation.
func (w *words) are(s *usage.Subject) bool {
	return w.resourceType == s.ResourceType && w.resourceVersion == s.Resource.APIVersion && w.resourceKind == s.Resource.Kind &&
		w.instanceVersion == s.Instance.APIVersion && w.instanceKind == s.Instance.Kind &&
		w.container == s.Container && w.of == s.Of && w.region == s.Region && w.bundle == s.Bundle && w.attributes == s.Attributes
}

// placedAs tells whether both are put under the same account and resource.
func (h *holder) placedAs(other *stream) bool {
	a, b := h.words.Value(), other.words.Value()
	return h.account == other.account && h.resource == other.resource &&
		a.resourceVersion == b.resourceVersion && a.resourceKind == b.resourceKind
}

// container is the member of the object; "" when it has none.
func (h *holder) container() string { return h.words.Value().container }

// measured is a dimension of the meter's, of what the holder holds.
func (h *holder) measured(d usage.Dimension) usage.Dimension { return d.Of(h.words.Value().of) }

// subject is the holder in full.
func (h *holder) subject() *usage.Subject {
	w := h.words.Value()
	return &usage.Subject{
		ResourceType: w.resourceType,
		Resource:     usage.Object{APIVersion: w.resourceVersion, Kind: w.resourceKind, Name: h.resource.name, UID: h.resource.uid},
		Instance:     usage.Object{APIVersion: w.instanceVersion, Kind: w.instanceKind, Name: h.instance.name, UID: h.instance.uid},
		Container:    w.container,
		Account:      h.account.key,
		Of:           w.of,
		Region:       w.region,
		Bundle:       w.bundle,
		Attributes:   w.attributes,
	}
}

// holder is the subject as a stream of the object keeps it. None of the subject's
// own strings is kept, lest it keep a whole decoded object alive.
func (l *Ledger) holder(at *object, s *usage.Subject) holder {
	m := at.meter
	h := holder{
		account:  l.account(s.Account),
		resource: names{s.Resource.Name, s.Resource.UID},
		instance: names{s.Instance.Name, s.Instance.UID},
	}
	// The last words that were asked for are the likeliest to be asked for again.
	if w := wordsOf(s); m.words.handle == (unique.Handle[words]{}) || m.words.value != w {
		m.words.handle = unique.Make(w)
		m.words.value = m.words.handle.Value()
	}
	h.words = m.words.handle

	var own []*string
	if beside := h.account.streams; beside != nil && beside.resource == h.resource {
		h.resource = beside.resource
	} else {
		own = append(own, &h.resource.name, &h.resource.uid)
	}
	namesake := h.instance.name == h.resource.name
	if !namesake {
		own = append(own, &h.instance.name)
	}
	if h.instance.uid == at.uid {
		h.instance.uid = at.uid
	} else {
		own = append(own, &h.instance.uid)
	}
	together(own)
	if namesake {
		h.instance.name = h.resource.name
	}
	return h
}

// together copies strings into one, and makes them parts of it: they are read
// one after the other.
func together(parts []*string) {
	var all strings.Builder
	size := 0
	for _, part := range parts {
		size += len(*part)
	}
	all.Grow(size)
	for _, part := range parts {
		all.WriteString(*part)
	}
	text := all.String()
	for _, part := range parts {
		*part, text = text[:len(*part)], text[len(*part):]
	}
}
