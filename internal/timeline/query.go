package timeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Key is something that rows are grouped by.
type Key string

// The keys, apart from attributes.
const (
	Namespace    Key = "namespace" // by its UID: one that was created again is another tenant
	Deployment   Key = "deployment"
	ResourceType Key = "resourceType"
	Resource     Key = "resource" // by its UID
	Instance     Key = "instance" // by its UID
	Container    Key = "container"
	Region       Key = "region"
	Bundle       Key = "bundle"
	Dimension    Key = "dimension" // always: what is counted in other units does not add up
)

// attributePrefix begins the keys of attributes: "attribute:storageClass".
const attributePrefix = "attribute:"

// Attribute is the key of a meter's attribute.
func Attribute(name string) Key { return Key(attributePrefix + name) }

// Attribute is the attribute that the key is of, if it is of one.
func (k Key) Attribute() (name string, is bool) { return strings.CutPrefix(string(k), attributePrefix) }

var keys = []Key{Namespace, Deployment, ResourceType, Resource, Instance, Container, Region, Bundle, Dimension}

// ParseKey reads a key by which a report can be grouped. Any other text is an error that lists them.
func ParseKey(text string) (Key, error) {
	key := Key(text)
	if attribute, is := strings.CutPrefix(text, attributePrefix); slices.Contains(keys, key) || is && attribute != "" {
		return key, nil
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = string(k)
	}
	return "", fmt.Errorf("key %q: want one of %s, or %sNAME", text, strings.Join(names, ", "), attributePrefix)
}

// uid is the key under which a row shows the UID of what key names; "" for none.
func (k Key) uid() Key {
	switch k {
	case Namespace, Resource, Instance:
		return k + "UID"
	}
	return ""
}

// isOfHolder tells whether holders of one class may differ in it.
func (k Key) isOfHolder() bool { return k == Resource || k == Instance || k == Container }

// NamespaceRef names a namespace. Without a UID it is any that had the name.
type NamespaceRef struct{ Name, UID string }

// Metric is a dimension that a resource type has.
type Metric struct{ ResourceType, Dimension string }

// Filters say what is counted. Each list that is empty lets everything through.
type Filters struct {
	Namespaces    []NamespaceRef // nil lets everything through; none of them, nothing
	Deployments   []string       // "" is unattributed
	ResourceTypes []string
	Dimensions    []string
	Metrics       []Metric
	Regions       []string            // "" is unknown
	Resources     []string            // by their names
	Containers    []string            // "" is what no container holds
	UIDs          []string            `json:",omitempty"` // of resources
	Attributes    map[string][]string // "" is without the attribute
}

// Query is what is asked.
type Query struct {
	// Window is what is looked at; any second may be a bound.
	Window usage.Window
	Size   Size
	// Zone is where days, weeks and months begin; nil is UTC.
	Zone *time.Location
	// GroupBy are what rows are told apart by, besides the dimension and its unit.
	GroupBy []Key
	Filters
	// Zeros tells that there is a row also for a window in which a group held nothing.
	Zeros bool
}

// MaxCells is how many rows there may be, with those that are left out: what is
// reckoned takes 16 bytes for each.
const MaxCells = 4_000_000

func (q *Query) zone() *time.Location {
	if q.Zone == nil {
		return time.UTC
	}
	return q.Zone
}

func (q *Query) validate() error {
	if q.Window.Seconds() == 0 {
		return fmt.Errorf("the window ends at %s, and begins at %s: want an end after the beginning",
			stamp(q.Window.End), stamp(q.Window.Start))
	}
	if !slices.Contains(Sizes, q.Size) {
		return fmt.Errorf("window size %q: want none, hour, day, week or month", q.Size)
	}
	for _, key := range q.GroupBy {
		if _, err := ParseKey(string(key)); err != nil {
			return err
		}
	}
	return nil
}

func stamp(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

// matches tells whether the filters let a class through.
func (f *Filters) matches(w *words) bool {
	return f.measures(w) && has(f.Deployments, w.Deployment) && has(f.Regions, w.Region) && f.within(w) && f.attributes(w.Attributes)
}

// measures tells whether the filters let through what the class is of, whoever holds it.
func (f *Filters) measures(w *words) bool {
	plain, _ := w.Dimension.Plain()
	return has(f.ResourceTypes, w.ResourceType) &&
		(has(f.Dimensions, w.Dimension.Name) || has(f.Dimensions, plain.Name)) &&
		(has(f.Metrics, Metric{ResourceType: w.ResourceType, Dimension: w.Dimension.Name}) ||
			has(f.Metrics, Metric{ResourceType: w.ResourceType, Dimension: plain.Name}))
}

// mayMeasure tells whether the filters let through anything that a meter's
// dimension is of.
func (f *Filters) mayMeasure(resourceType string, d usage.Dimension) bool {
	of := func(name string) bool {
		plain, _ := usage.Dimension{Name: name}.Plain()
		return plain.Name == d.Name
	}
	return has(f.ResourceTypes, resourceType) && (len(f.Dimensions) == 0 || slices.ContainsFunc(f.Dimensions, of)) &&
		(len(f.Metrics) == 0 || slices.ContainsFunc(f.Metrics, func(m Metric) bool { return m.ResourceType == resourceType && of(m.Dimension) }))
}

// holds tells whether the filters let a holder through.
func (f *Filters) holds(h *holder) bool {
	return has(f.Containers, h.container) && has(f.Resources, h.resource.Name) && has(f.UIDs, h.resource.UID)
}

// byHolder tells whether there are filters that let through one holder of a class, and not another.
func (f *Filters) byHolder() bool { return len(f.Containers)+len(f.Resources)+len(f.UIDs) > 0 }

func has[T comparable](list []T, value T) bool { return len(list) == 0 || slices.Contains(list, value) }

func (f *Filters) within(w *words) bool {
	return f.Namespaces == nil || slices.ContainsFunc(f.Namespaces, func(n NamespaceRef) bool {
		return n.Name == w.Namespace && (n.UID == "" || n.UID == w.NamespaceUID)
	})
}

func (f *Filters) attributes(of usage.Attributes) bool {
	if len(f.Attributes) == 0 {
		return true
	}
	facts := of.Map()
	for name, values := range f.Attributes {
		if !has(values, facts[name]) {
			return false
		}
	}
	return true
}

// grouping is how a query tells rows apart.
type grouping struct {
	keys []Key // each once, the dimension last
	// byHolder tells that a class may have several groups.
	byHolder bool
}

func newGrouping(by []Key) grouping {
	var g grouping
	for _, key := range by {
		if key == Dimension || slices.Contains(g.keys, key) {
			continue
		}
		g.keys = append(g.keys, key)
		g.byHolder = g.byHolder || key.isOfHolder()
	}
	g.keys = append(g.keys, Dimension)
	return g
}

// label is a value by which a group is told from others.
type label struct{ value, uid string }

// appendLabels appends what a holder has in a class, key by key.
func (g *grouping) appendLabels(labels []label, w *words, h *holder) []label {
	labels = slices.Grow(labels, len(g.keys))
	var facts map[string]string
	for _, key := range g.keys {
		labels = append(labels, label{})
		l := &labels[len(labels)-1]
		switch key {
		case Namespace:
			l.value, l.uid = w.Namespace, w.NamespaceUID
		case Deployment:
			l.value = w.Deployment
		case ResourceType:
			l.value = w.ResourceType
		case Resource:
			l.value, l.uid = h.resource.Name, h.resource.UID
		case Instance:
			l.value, l.uid = h.instance.Name, h.instance.UID
		case Container:
			l.value = h.container
		case Region:
			l.value = w.Region
		case Bundle:
			l.value = w.Bundle
		case Dimension:
			// The unit tells dimensions of one name apart.
			l.value, l.uid = w.Dimension.Name, string(w.Dimension.Unit)
		default:
			if facts == nil {
				facts = w.Attributes.Map()
			}
			l.value = facts[strings.TrimPrefix(string(key), attributePrefix)]
		}
	}
	return labels
}

func compareLabels(a, b []label) int {
	return slices.CompareFunc(a, b, func(a, b label) int {
		return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(a.uid, b.uid))
	})
}
