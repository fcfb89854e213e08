package meter

import (
	"slices"

	"github.com/google/cel-go/common/types"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// otherExpressions are what is read of the other object that has facts of an object:
// its name on the object, the rest on the other one.
type otherExpressions struct {
	kind            usage.GroupKind
	namespace, name *expression
	vouchesFor      *expression
	quantities      []*expression // by dimension; nil: the object says that itself
}

func (c *compiler) other(spec *v1alpha1.UsageMeterSpec) {
	compiled := &otherExpressions{quantities: make([]*expression, len(spec.Dimensions))}
	reads := false
	for i := range spec.Dimensions {
		dimension, path := &spec.Dimensions[i], dimensionPath(i)+".other"
		switch {
		case dimension.Other == "":
			continue
		case spec.Other == nil:
			c.reject(path, "spec.other is missing, which says what it is read on", "spec.other, or this field left out")
		case dimension.Distinct != "":
			c.reject(path, "there is distinct, whose place it cannot take", "quantity in the place of distinct, or this field left out")
		}
		reads = true
		compiled.quantities[i] = c.compile(c.object, path, dimension.Other, wantQuantity)
	}
	if spec.Other == nil {
		return
	}
	if !reads {
		c.reject("spec.other", "no dimension reads it", "dimensions[].other, or this field left out")
	}
	if spec.ForEach != nil {
		c.reject("spec.other", "it is of the whole object, and would count for each member", "this field or spec.forEach left out")
	}
	compiled.kind = usage.GroupKind{Group: spec.Other.Target.Group, Kind: spec.Other.Target.Kind}
	compiled.namespace = c.optional(c.object, "spec.other.namespace", spec.Other.Namespace, wantText)
	compiled.name = c.compile(c.object, "spec.other.name", spec.Other.Name, wantText)
	compiled.vouchesFor = c.compile(c.object, "spec.other.vouchesFor", spec.Other.VouchesFor, wantList)
	c.meter.other = compiled
}

// Other is the kind of the objects that have facts of the meter's; false: there is none.
func (m *Meter) Other() (usage.GroupKind, bool) {
	if m.other == nil {
		return usage.GroupKind{}, false
	}
	return m.other.kind, true
}

// other is which other object the object names. One that cannot be read is none: what is
// held is then what the object says itself.
func (r *reading) other() usage.Named {
	other := r.meter.other
	if other == nil || r.failed != nil {
		return usage.Named{}
	}
	named := usage.Named{Namespace: r.ownNamespace, Name: r.text(other.name)}
	if other.namespace != nil {
		named.Namespace = r.text(other.namespace)
	}
	if r.failed != nil || named.Name == "" {
		r.failed = nil
		return usage.Named{}
	}
	return named
}

// Facts are what a meter reads of another object, for those that it vouches for.
type Facts struct {
	UID      string
	VouchFor []string // UIDs, in order
	levels   []int64  // by the meter's dimensions; notSaid: the object says it itself
}

const notSaid = -1

// ReadOther reads an object of the other kind. What cannot be read is not said.
func (m *Meter) ReadOther(object *unstructured.Unstructured) Facts {
	r := newReading(m, object)
	facts := Facts{UID: r.instance.UID, VouchFor: r.keys(m.other.vouchesFor), levels: make([]int64, len(m.other.quantities))}
	if r.failed != nil {
		facts.VouchFor = nil
	}
	facts.VouchFor = facts.VouchFor[:min(len(facts.VouchFor), maxVouched)]
	for i, quantity := range m.other.quantities {
		r.failed = nil
		facts.levels[i] = notSaid
		if quantity == nil {
			continue
		}
		value := r.value(quantity)
		if value == nil || value == types.NullValue {
			continue
		}
		if said, err := level(value, m.dimensions[i].Unit); err == nil {
			facts.levels[i] = said
		}
	}
	return facts
}

// Equal tells whether both say the same, of the same objects.
func (f *Facts) Equal(other *Facts) bool {
	return f.UID == other.UID && slices.Equal(f.VouchFor, other.VouchFor) && slices.Equal(f.levels, other.levels)
}

// VouchesFor tells whether the facts are the object's.
func (f *Facts) VouchesFor(uid string) bool {
	_, found := slices.BinarySearch(f.VouchFor, uid)
	return found
}

// Put gives a member what the facts say, in the place of what its object does.
func (f *Facts) Put(member *usage.Member) {
	if !member.Active {
		return
	}
	own := member.Levels
	for i, said := range f.levels {
		if said == notSaid || said == member.Levels[i] {
			continue
		}
		if &own[0] == &member.Levels[0] {
			member.Levels = slices.Clone(own)
		}
		member.Levels[i] = said
	}
}

// Hear gives what is read of an object what the other one says. False: one of the two does
// not name the other, and nothing is changed.
func (m *Meter) Hear(other *unstructured.Unstructured, members []usage.Member) bool {
	facts, heard := m.ReadOther(other), false
	for i := range members {
		named := members[i].Other
		near := other.GetNamespace() == "" || other.GetNamespace() == named.Namespace
		if named.Name != "" && named.Name == other.GetName() && near && facts.VouchesFor(members[i].Subject.Instance.UID) {
			facts.Put(&members[i])
			heard = true
		}
	}
	return heard
}
