package meter

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// maxKeys is how many keys an object can claim: more than a Service has addresses.
// An object that claims more claims nothing. maxVouched is how many one can vouch
// for, of which the first count: as many as a pool has machines.
const (
	maxKeys    = 64
	maxVouched = 1000
)

// claim is one of a meter's representedBy, as it is read on the object.
type claim struct {
	kind                       usage.GroupKind
	namespace, name, uid, keys *expression
	rule                       int
	shared                     bool
	// fixed tells that the key is the object's UID, which never changes.
	fixed bool
}

// vouching is what is read on the other object. Relations to the same kind that
// read the same share one: a key that it vouches for stands for one object.
type vouching struct {
	kind usage.GroupKind
	text v1alpha1.Expression
	keys *expression
	// goesBy is the name that it goes by beside its own; nil: none.
	byText v1alpha1.Expression
	goesBy *expression
}

func (c *compiler) representations(relations []v1alpha1.Representation) {
	for i, r := range relations {
		path := fmt.Sprintf("spec.representedBy[%d]", i)
		kind := usage.GroupKind{Group: r.Target.Group, Kind: r.Target.Kind}
		rule := slices.IndexFunc(c.meter.vouching, func(v vouching) bool { return v.kind == kind && v.text == r.VouchesFor && v.byText == r.GoesBy })
		if rule < 0 {
			rule = len(c.meter.vouching)
			c.meter.vouching = append(c.meter.vouching, vouching{
				kind: kind, text: r.VouchesFor, keys: c.compile(c.object, path+".vouchesFor", r.VouchesFor, wantList),
				byText: r.GoesBy, goesBy: c.optional(c.object, path+".goesBy", r.GoesBy, wantText),
			})
		}
		c.meter.claims = append(c.meter.claims, claim{
			kind: kind, rule: rule, shared: r.GoesBy != "", fixed: r.Keys == ownUID,
			namespace: c.optional(c.object, path+".namespace", r.Namespace, wantText),
			name:      c.compile(c.object, path+".name", r.Name, wantText),
			uid:       c.optional(c.object, path+".uid", r.UID, wantText),
			keys:      c.compile(c.object, path+".keys", r.Keys, wantList),
		})
	}
}

// ownUID is the key of an object that another one names by its UID.
const ownUID = "[self.metadata.uid]"

// Shows are the keys that the object shows for others to vouch for, in order, whether it names
// one of them or not: without its UID, which never changes, and what cannot be read.
func (m *Meter) Shows(object *unstructured.Unstructured) []string {
	var shown []string
	for _, relation := range m.claims {
		if relation.fixed {
			continue
		}
		r := newReading(m, object)
		if keys := r.keys(relation.keys); r.failed == nil && len(keys) <= maxKeys {
			shown = append(shown, keys...)
		}
	}
	slices.Sort(shown)
	return slices.Compact(shown)
}

// CanBeRepresented tells whether objects of the meter can be a part of others.
func (m *Meter) CanBeRepresented() bool { return len(m.claims) > 0 }

// Representatives are the kinds that the meter's objects can be a part of.
func (m *Meter) Representatives() []usage.GroupKind {
	var kinds []usage.GroupKind
	for _, v := range m.vouching {
		if !slices.Contains(kinds, v.kind) {
			kinds = append(kinds, v.kind)
		}
	}
	return kinds
}

// Claims are what the object says of those that it is a part of. What cannot be
// read is no claim: the object is then metered by itself.
func (m *Meter) Claims(object *unstructured.Unstructured) []usage.Claim {
	var claims []usage.Claim
	for _, relation := range m.claims {
		r := newReading(m, object)
		claimed := usage.Claim{Kind: relation.kind, Rule: relation.rule, Name: r.text(relation.name), Shared: relation.shared}
		if claimed.Name == "" {
			continue
		}
		switch {
		case relation.shared: // wherever they are
		case relation.namespace != nil:
			claimed.Namespace = r.text(relation.namespace)
		default:
			claimed.Namespace = r.ownNamespace
		}
		if relation.uid != nil {
			// One that has to be said, and is not, is no claim.
			if claimed.UID = r.text(relation.uid); claimed.UID == "" {
				continue
			}
		}
		keys := r.keys(relation.keys)
		if r.failed != nil || len(keys) == 0 || len(keys) > maxKeys {
			continue
		}
		claimed.Keys = keys
		claims = append(claims, claimed)
	}
	return claims
}

// Vouches are the keys that an object of the kind vouches for, in order, by the
// meter's rules, and shares the names that it goes by beside its own: none, where it
// cannot be read.
func (m *Meter) Vouches(kind usage.GroupKind, object *unstructured.Unstructured) (all [][]string, shares []string) {
	all, shares = make([][]string, len(m.vouching)), make([]string, len(m.vouching))
	for i, rule := range m.vouching {
		if rule.kind != kind {
			continue
		}
		r := newReading(m, object)
		if keys := r.keys(rule.keys); r.failed == nil {
			all[i] = keys[:min(len(keys), maxVouched)]
		}
		if rule.goesBy != nil {
			if name := r.text(rule.goesBy); r.failed == nil {
				shares[i] = name
			}
		}
	}
	return all, shares
}

// keys are the texts of a list, in order, each once.
func (r *reading) keys(e *expression) []string {
	found := r.list(e)
	if r.failed != nil || found == nil {
		return nil
	}
	if size, ok := found.Size().Value().(int64); !ok || size > maxMembers {
		r.fail(e, fmt.Errorf("it gives %d keys; at most %d are read", size, maxMembers))
		return nil
	}
	var keys []string
	for it := found.Iterator(); it.HasNext().Value() == true; {
		key, err := words(held(it.Next()))
		if err != nil {
			r.fail(e, err)
			return nil
		}
		if key != "" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
