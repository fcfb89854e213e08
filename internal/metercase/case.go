// Package metercase holds meters against what they are expected to read of
// objects: the golden cases of the built-in meters, and those of people who
// write their own. It is pure.
package metercase

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/meter"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Case is an object, and what a meter reads of it. A file has one or several, as
// YAML documents.
type Case struct {
	// Case says in words what it shows.
	Case string `json:"case"`
	// Object is as the API server gives it.
	Object Object `json:"object"`
	// Node is the one that the object runs on, for a meter that reads something of it.
	Node Object `json:"node,omitempty"`
	// Other is the one that has facts of the object, for a meter with spec.other.
	Other Object `json:"other,omitempty"`
	// Expect is what is read; none, if the object is not metered.
	Expect []Member `json:"expect,omitempty"`
	// Error is a part of why the object cannot be read; "": it can.
	Error string `json:"error,omitempty"`
}

// Object is one with whole numbers as a watch delivers them: expressions tell 2 from 2.0.
type Object map[string]any

// UnmarshalJSON reads an object.
func (o *Object) UnmarshalJSON(text []byte) error {
	return utiljson.Unmarshal(text, (*map[string]any)(o))
}

// Member is what is read of the object, or of one of its members.
type Member struct {
	Container  string            `json:"container,omitempty"`
	Namespace  string            `json:"namespace,omitempty"` // where it is not the object's own
	Deployment string            `json:"deployment,omitempty"`
	Resource   *Resource         `json:"resource,omitempty"` // where it is not the object itself
	Region     string            `json:"region,omitempty"`
	Bundle     string            `json:"bundle,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	// Levels are what is held, as quantities in the dimensions' units; those that are 0 are left out.
	Levels map[string]string `json:"levels,omitempty"`
	// Inactive tells that nothing is held.
	Inactive bool `json:"inactive,omitempty"`
	// Start and End are the times that the object states, in RFC 3339.
	Start string `json:"start,omitempty"`
	End   string `json:"end,omitempty"`
}

// Resource is the billed one.
type Resource struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind"`
	Name       string `json:"name,omitempty"`
	UID        string `json:"uid"`
}

// Cases reads a file's. The error says which document is wrong.
func Cases(text []byte) ([]Case, error) {
	var cases []Case
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return cases, nil
		}
		if err != nil {
			return nil, err
		}
		var c Case
		if err := yaml.UnmarshalStrict(document, &c); err != nil {
			return nil, fmt.Errorf("case %d: %w", len(cases)+1, err)
		}
		if len(c.Object) > 0 {
			cases = append(cases, c)
		}
	}
}

// Compile compiles a UsageMeter for an object: whether the kind is namespaced is
// seen by the object.
func Compile(m *v1alpha1.UsageMeter, object *unstructured.Unstructured) (*meter.Meter, error) {
	target := m.Spec.Target
	if kind := object.GroupVersionKind(); kind.Kind != target.Kind || kind.Group != target.Group {
		return nil, fmt.Errorf("the object is a %s, and the meter reads a %s", kind.GroupKind(), groupKind(target))
	}
	return meter.Compile(m.Name, &m.Spec, object.GetNamespace() != "")
}

func groupKind(target v1alpha1.TargetReference) string {
	return strings.TrimSuffix(target.Kind+"."+target.Group, ".")
}

// Members are what was read of an object, as a case has it.
func Members(m *meter.Meter, object *unstructured.Unstructured, read []usage.Member) []Member {
	members := make([]Member, len(read))
	for i := range read {
		members[i] = member(m, object, &read[i])
	}
	return members
}

func member(m *meter.Meter, object *unstructured.Unstructured, read *usage.Member) Member {
	s := &read.Subject
	made := Member{
		Container: s.Container, Deployment: s.Deployment, Region: s.Region, Bundle: s.Bundle, Attributes: s.Attributes.Map(),
		Inactive: !read.Active, Start: stamp(read.Start), End: stamp(read.End),
	}
	if s.Namespace != object.GetNamespace() {
		made.Namespace = s.Namespace
	}
	if s.Resource != s.Instance && !m.BillsWorkload() {
		made.Resource = &Resource{APIVersion: s.Resource.APIVersion, Kind: s.Resource.Kind, Name: s.Resource.Name, UID: s.Resource.UID}
	}
	for i, level := range read.Levels {
		if level == 0 {
			continue
		}
		if made.Levels == nil {
			made.Levels = map[string]string{}
		}
		dimension := m.Dimensions()[i]
		made.Levels[dimension.Of(s.Of).Name] = quantity(dimension.Unit, level)
	}
	return made
}

// quantity is a level as people write it: "1.5" cores, "4Gi" bytes.
func quantity(unit usage.Unit, level int64) string {
	if unit == usage.Byte {
		return resource.NewQuantity(level, resource.BinarySI).String()
	}
	return unit.Level(level)
}

func stamp(b usage.Boundary) string {
	if b.IsZero() {
		return ""
	}
	return time.Unix(b.At, 0).UTC().Format(time.RFC3339)
}

// Difference is how what a meter reads of the case's object is not as expected;
// "": it is. The error says that the case itself makes no sense.
func (c *Case) Difference(spec *v1alpha1.UsageMeter) (string, error) {
	object := &unstructured.Unstructured{Object: c.Object}
	m, err := Compile(spec, object)
	if err != nil {
		return "", err
	}
	expected, err := canonical(m, c.Expect)
	if err != nil {
		return "", err
	}
	reading, err := m.Inspect(object)
	switch {
	case err != nil && c.Error == "":
		return "it cannot be read: " + err.Error(), nil
	case err != nil && !strings.Contains(err.Error(), c.Error):
		return fmt.Sprintf("it cannot be read: %v; want an error with %q", err, c.Error), nil
	case err == nil && c.Error != "":
		return fmt.Sprintf("it can be read; want an error with %q", c.Error), nil
	}
	if m.RunsOnNodes() && len(c.Node) > 0 {
		if err := runOn(m, object, &unstructured.Unstructured{Object: c.Node}, reading.Members); err != nil {
			return "", err
		}
	}
	if len(c.Other) > 0 {
		if err := hear(m, &unstructured.Unstructured{Object: c.Other}, reading.Members); err != nil {
			return "", err
		}
	}
	return difference(expected, Members(m, object, reading.Members)), nil
}

// runOn gives what is read of an object the facts of its node.
func runOn(m *meter.Meter, object, node *unstructured.Unstructured, read []usage.Member) error {
	if name := m.Node(object); name != node.GetName() {
		return fmt.Errorf("the object runs on the node %q, and the case's is %q", name, node.GetName())
	}
	at := m.Locate(node)
	for i := range read {
		if read[i].Active {
			m.Put(&at, &read[i].Subject)
		}
	}
	return nil
}

// hear gives what is read of an object what the other one says.
func hear(m *meter.Meter, other *unstructured.Unstructured, read []usage.Member) error {
	wanted, reads := m.Other()
	if !reads {
		return errors.New("the case has another object, and the meter reads none: spec.other is missing")
	}
	if kind := other.GroupVersionKind(); kind.Kind != wanted.Kind || kind.Group != wanted.Group {
		return fmt.Errorf("the other object is a %s, and the meter reads a %s", kind.GroupKind(), schema.GroupKind(wanted))
	}
	m.Hear(other, read)
	return nil
}

// canonical are expected members with their quantities as Members writes them,
// in the order of their containers.
func canonical(m *meter.Meter, expected []Member) ([]Member, error) {
	made := slices.Clone(expected)
	slices.SortStableFunc(made, func(a, b Member) int { return cmp.Compare(a.Container, b.Container) })
	for i := range made {
		levels := maps.Clone(made[i].Levels)
		for name, text := range made[i].Levels {
			plain, _ := usage.Dimension{Name: name}.Plain()
			at := slices.IndexFunc(m.Dimensions(), func(d usage.Dimension) bool { return d.Name == plain.Name })
			if at < 0 {
				return nil, fmt.Errorf("expect[%d].levels: the meter has no dimension %q", i, name)
			}
			unit := m.Dimensions()[at].Unit
			level, err := meter.ParseLevel(text, unit)
			if err != nil {
				return nil, fmt.Errorf("expect[%d].levels.%s: %w", i, name, err)
			}
			if levels[name] = quantity(unit, level); level == 0 {
				delete(levels, name)
			}
		}
		made[i].Levels = levels
	}
	return made, nil
}

// difference lists the lines that are expected ("-") and those that are read
// ("+"), member by member.
func difference(expected, read []Member) string {
	var b strings.Builder
	want, got := texts(expected), texts(read)
	for _, text := range want {
		if !slices.Contains(got, text) {
			lines(&b, "-", text)
		}
	}
	for _, text := range got {
		if !slices.Contains(want, text) {
			lines(&b, "+", text)
		}
	}
	if b.Len() == 0 && len(want) != len(got) {
		return fmt.Sprintf("it reads %d members; want %d", len(got), len(want))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func lines(b *strings.Builder, sign, text string) {
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		fmt.Fprintf(b, "%s %s\n", sign, line)
	}
}

func texts(members []Member) []string {
	made := make([]string, len(members))
	for i := range members {
		text, err := yaml.Marshal(members[i : i+1])
		if err != nil {
			panic(fmt.Sprintf("metercase: a member has no YAML: %v", err))
		}
		made[i] = string(text)
	}
	return made
}
