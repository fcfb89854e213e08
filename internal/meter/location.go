package meter

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// maxAttributes is how many attributes a meter's objects have at most, those of
// their nodes included.
const maxAttributes = 8

// nodeExpressions are what is read of an object's node: the name on the object, the
// rest on the node.
type nodeExpressions struct {
	name       *expression
	attributes []attribute // by name
	names      []string
}

func (c *compiler) node(node *v1alpha1.NodeReference) {
	if node == nil {
		return
	}
	compiled := &nodeExpressions{name: c.compile(c.object, "spec.node.name", node.Name, wantText)}
	for _, name := range slices.Sorted(maps.Keys(node.Attributes)) {
		path := fmt.Sprintf("spec.node.attributes.%s", name)
		if slices.ContainsFunc(c.meter.attributes, func(own attribute) bool { return own.name == name }) {
			c.reject(path, fmt.Sprintf("there are two attributes %q", name), "each name once")
		}
		compiled.names = append(compiled.names, name)
		compiled.attributes = append(compiled.attributes, attribute{
			name: name, value: c.compile(c.object, path, node.Attributes[name], wantText),
		})
	}
	if n := len(c.meter.attributes) + len(compiled.names); n > maxAttributes {
		c.reject("spec.node.attributes", fmt.Sprintf("with spec.attributes there are %d", n), fmt.Sprintf("at most %d", maxAttributes))
	}
	c.meter.node = compiled
}

// Location is what a meter reads of a node for what runs there.
type Location struct {
	region string
	facts  map[string]string
	alone  usage.Attributes // of objects without attributes of their own
}

// RunsOnNodes tells whether the meter reads something of its objects' nodes.
func (m *Meter) RunsOnNodes() bool { return m.node != nil }

// Node is the name of the node that the object runs on; "": on none, or it cannot
// be read.
func (m *Meter) Node(object *unstructured.Unstructured) string {
	if m.node == nil {
		return ""
	}
	return newReading(m, object).text(m.node.name)
}

// Locate reads a node, of which the metadata is enough. What cannot be read is "".
func (m *Meter) Locate(node *unstructured.Unstructured) Location {
	metadata, _ := node.Object["metadata"].(map[string]any)
	alone := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": node.GetAPIVersion(), "kind": node.GetKind(), "metadata": metadata,
	}}
	at := Location{facts: make(map[string]string, len(m.node.attributes))}
	r := newReading(m, alone)
	r.shared = nil // they are those of another object
	at.region = regionOf(r.metadata)
	for _, attribute := range m.node.attributes {
		at.facts[attribute.name] = r.text(attribute.value)
		r.failed = nil
	}
	at.alone = usage.NewAttributes(at.facts)
	return at
}

// Put gives a subject the node's attributes, in place of those of another node, and the
// node's region if the meter does not read one.
func (m *Meter) Put(at *Location, subject *usage.Subject) {
	if m.region == nil {
		subject.Region = at.region
	}
	switch subject.Attributes {
	case at.alone:
	case "":
		subject.Attributes = at.alone
	default:
		subject.Attributes = subject.Attributes.With(m.node.names, at.facts)
	}
}

// Keep makes a subject one that runs where another one of the meter's does.
func (m *Meter) Keep(other, subject *usage.Subject) {
	at := Location{region: other.Region, facts: map[string]string{}}
	facts := other.Attributes.Map()
	for _, name := range m.node.names {
		at.facts[name] = facts[name]
	}
	at.alone = usage.NewAttributes(at.facts)
	m.Put(&at, subject)
}

// SaysNothing tells whether none of what the meter reads is set on the node.
func (at Location) SaysNothing() bool { return at.region == "" && at.alone == "" }

// Equal tells whether both say the same.
func (at Location) Equal(other Location) bool {
	return at.region == other.region && at.alone == other.alone
}
