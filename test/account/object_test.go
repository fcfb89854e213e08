package account

import (
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// object is an object's content, as etcd has it.
type object map[string]any

// at is what is under the path; nil: nothing.
func (o object) at(path ...string) any {
	var now any = map[string]any(o)
	for _, name := range path {
		fields, ok := now.(map[string]any)
		if !ok {
			return nil
		}
		now = fields[name]
	}
	return now
}

func (o object) text(path ...string) string {
	text, _ := o.at(path...).(string)
	return text
}

func (o object) child(path ...string) object {
	fields, _ := o.at(path...).(map[string]any)
	return fields
}

// list is a list of objects.
func (o object) list(path ...string) []object {
	all, _ := o.at(path...).([]any)
	var found []object
	for _, one := range all {
		if fields, ok := one.(map[string]any); ok {
			found = append(found, fields)
		}
	}
	return found
}

// size is how many elements a list has, of whatever type.
func (o object) size(path ...string) int64 {
	all, _ := o.at(path...).([]any)
	return int64(len(all))
}

// whole is a whole number; the other one where there is none.
func (o object) whole(otherwise int64, path ...string) int64 {
	switch n := o.at(path...).(type) {
	case float64:
		return int64(n)
	case int64:
		return n
	}
	return otherwise
}

// moment is a time that the object states; zero: none.
func (o object) moment(path ...string) time.Time {
	t, err := time.Parse(time.RFC3339, o.text(path...))
	if err != nil {
		return time.Time{}
	}
	return t
}

func (o object) label(name string) string { return o.text("metadata", "labels", name) }

// condition is a condition of the status; nil: there is none.
func (o object) condition(name string) object {
	for _, c := range o.list("status", "conditions") {
		if c.text("type") == name {
			return c
		}
	}
	return nil
}

// controller is the owner reference that says controller: true; nil: there is none.
func (o object) controller() object {
	for _, reference := range o.list("metadata", "ownerReferences") {
		if controls, _ := reference["controller"].(bool); controls {
			return reference
		}
	}
	return nil
}

// stamped is the newest time that the API server wrote on the object.
func (o object) stamped() time.Time {
	newest := o.moment("metadata", "creationTimestamp")
	for _, entry := range o.list("metadata", "managedFields") {
		if at := entry.moment("time"); at.After(newest) {
			newest = at
		}
	}
	return newest
}

// thousandths and units are a quantity in the ledger's base units.
func thousandths(quantity any) int64 { return parsed(quantity).MilliValue() }
func units(quantity any) int64       { return parsed(quantity).Value() }

func parsed(quantity any) *resource.Quantity {
	text, ok := quantity.(string)
	if n, number := quantity.(float64); number {
		return resource.NewQuantity(int64(n), resource.DecimalSI)
	}
	if !ok {
		return &resource.Quantity{}
	}
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return &resource.Quantity{}
	}
	return &q
}

// facts is what usage is told apart by besides who holds it, in one line.
func facts(region, bundle string, attributes map[string]string) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(attributes)) {
		if attributes[key] != "" {
			all = append(all, key+"="+attributes[key])
		}
	}
	if region != "" {
		all = append(all, "in "+region)
	}
	if bundle != "" {
		all = append(all, "of "+bundle)
	}
	return strings.Join(all, " ")
}
