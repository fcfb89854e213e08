package meter

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// maxMembers is how many members of one object are metered. Of a longer list those
// count that hold something: nobody hides in a crowd of what holds nothing.
const maxMembers = 5000

// UnreadableError says why an object could not be read, in at most 1,000 bytes
// that are safe to show.
type UnreadableError struct {
	Path   string // the expression: "spec.active"; "" when it is about the object
	Member string // the forEach member's key, if it was known
	Reason string
}

// Error names the expression, the member and the reason.
func (e *UnreadableError) Error() string {
	where := e.Path
	if e.Member != "" {
		where += fmt.Sprintf(" (member %q)", e.Member)
	}
	if where != "" {
		where += ": "
	}
	return printable(where+e.Reason, maxMessage)
}

// Read is what the meter reads of one object: its members, by key; none when
// the object is excluded. An error, always an *UnreadableError, means that the
// object is to be quarantined. The members that come with it could be read all the
// same, and are to be metered.
//
// A member's subject has what the object alone tells: no NamespaceUID, no
// Deployment but the meter's own, and no Resource when the meter bills the
// workload. A member that is not active has its identity alone (resource,
// instance, container, namespace), so that an object that has come to its end
// cannot fail for an attribute that it no longer has.
func (m *Meter) Read(object *unstructured.Unstructured) ([]usage.Member, error) {
	return newReading(m, object).all()
}

// Inspected is what a meter reads of an object, and what that costs.
type Inspected struct {
	Members []usage.Member
	// Cost is in CEL's units, of which MostCost may be spent on one object.
	Cost, MostCost uint64
}

// Inspect is Read for the meter's author. The cost is also there with an error.
func (m *Meter) Inspect(object *unstructured.Unstructured) (Inspected, error) {
	r := newReading(m, object)
	members, err := r.all()
	return Inspected{Members: members, Cost: r.spent, MostCost: maxObjectCost}, err
}

// all reads the object.
func (r *reading) all() ([]usage.Member, error) {
	m := r.meter
	if r.instance.UID == "" {
		return nil, &UnreadableError{Reason: "the object has no metadata.uid, which usage is kept by"}
	}
	excluded := r.truth(m.exclude, false)
	if excluded || r.failed != nil {
		return nil, r.failure()
	}
	if m.forEach == nil {
		member := r.read()
		if r.failed != nil {
			return nil, r.failure()
		}
		return []usage.Member{member}, nil
	}
	return r.readEach()
}

// readEach reads each member of the list that forEach names.
func (r *reading) readEach() ([]usage.Member, error) {
	each := r.meter.forEach
	found := r.list(each.in)
	if r.failed != nil || found == nil {
		return nil, r.failure()
	}
	size, _ := found.Size().Value().(int64)
	members := make([]usage.Member, 0, 4)
	var first *UnreadableError
	for it := found.Iterator(); it.HasNext().Value() == true && r.spent <= maxObjectCost; {
		r.member = it.Next()
		r.key = ""
		r.key = r.text(each.key)
		member := r.read()
		switch {
		case r.failed != nil:
			if first == nil {
				first = r.failed
			}
			r.failed = nil // the others may be readable
		case size > maxMembers && !holdsAny(&member):
		case len(members) == maxMembers:
			first = &UnreadableError{Path: each.in.path, Reason: fmt.Sprintf("the object has %d members; at most %d are metered", size, maxMembers)}
			r.spent = maxObjectCost + 1
		default:
			members = append(members, member)
		}
	}
	slices.SortFunc(members, func(a, b usage.Member) int { return cmp.Compare(a.Subject.Container, b.Subject.Container) })
	for i := 1; i < len(members); i++ {
		if key := members[i].Subject.Container; key == members[i-1].Subject.Container {
			return nil, &UnreadableError{Path: each.key.path, Member: key, Reason: "two members of the object have this key; want one that is unique"}
		}
	}
	if first == nil {
		return members, nil
	}
	if len(members) == 0 {
		members = nil
	}
	return members, first
}

func holdsAny(m *usage.Member) bool {
	return m.Active && slices.ContainsFunc(m.Levels, func(level int64) bool { return level != 0 })
}

// read reads the member that the reading has come to, or the object itself.
func (r *reading) read() usage.Member {
	m := r.meter
	member := usage.Member{Subject: usage.Subject{
		ResourceType: m.resourceType,
		Resource:     r.resource(),
		Instance:     r.instance,
		Container:    r.key,
		Account:      usage.Account{Namespace: r.namespace()},
	}}
	member.Active = r.truth(m.active, true)
	if !member.Active {
		member.End = r.moment(m.endTime)
		return member
	}
	if m.forEach != nil {
		member.Subject.Of = tidy(evaluate(r, m.forEach.of, "", rawText), maxOf)
	}
	member.Subject.Deployment = r.text(m.deployment)
	member.Subject.Bundle = r.text(m.bundle)
	member.Subject.Region = r.region()
	member.Subject.Attributes = r.attributes()
	member.Start = r.start()
	member.Other = r.other()
	member.Levels = make([]int64, len(m.quantities))
	for i, quantity := range m.quantities {
		if quantity == nil {
			r.things(&member, i)
			continue
		}
		member.Levels[i] = r.level(quantity, m.dimensions[i].Unit)
	}
	return member
}

// start is when the present activity began. Nothing is held before the object
// exists, whatever a storage system's clock said.
func (r *reading) start() usage.Boundary {
	created := r.created()
	if r.meter.startTime == nil && r.meter.active == nil {
		return created
	}
	stated := r.moment(r.meter.startTime)
	if !stated.IsZero() && stated.At < created.At {
		return created
	}
	return stated
}

// resource is what is billed: the object itself unless the meter says otherwise.
func (r *reading) resource() usage.Object {
	if r.meter.billsWorkload {
		return usage.Object{}
	}
	named := r.meter.resource
	if named == nil {
		return r.instance
	}
	uid := r.text(named.uid)
	if uid == "" {
		return r.instance
	}
	return usage.Object{APIVersion: r.text(named.apiVersion), Kind: r.text(named.kind), Name: r.text(named.name), UID: uid}
}

// namespace is whose usage it is: a namespaced object's own namespace always.
func (r *reading) namespace() string {
	if r.ownNamespace != "" {
		return r.ownNamespace
	}
	return r.text(r.meter.namespace)
}

func (r *reading) attributes() usage.Attributes {
	if len(r.meter.attributes) == 0 {
		return ""
	}
	facts := make(map[string]string, len(r.meter.attributes))
	for _, attribute := range r.meter.attributes {
		facts[attribute.name] = r.text(attribute.value)
	}
	return usage.NewAttributes(facts)
}
