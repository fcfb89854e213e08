package meter

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// object is an object as a watch delivers it, from YAML.
func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	return o
}

// spec is a UsageMeter's spec, from YAML.
func spec(t testing.TB, text string) *v1alpha1.UsageMeterSpec {
	t.Helper()
	s := &v1alpha1.UsageMeterSpec{}
	if err := yaml.UnmarshalStrict([]byte(text), s); err != nil {
		t.Fatal(err)
	}
	return s
}

// patchedText is YAML after a merge patch.
func patchedText(t testing.TB, text, change string) string {
	t.Helper()
	var whole, changes map[string]any
	if err := yaml.Unmarshal([]byte(text), &whole); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(change), &changes); err != nil {
		t.Fatal(err)
	}
	merge(whole, changes)
	data, err := yaml.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// compiled is a meter of a namespaced kind.
func compiled(t testing.TB, text string) *Meter {
	t.Helper()
	m, err := Compile("test", spec(t, text), true)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func merge(into, changes map[string]any) {
	for key, change := range changes {
		inner, isMap := change.(map[string]any)
		current, wasMap := into[key].(map[string]any)
		switch {
		case change == nil:
			delete(into, key)
		case isMap && wasMap:
			merge(current, inner)
		default:
			into[key] = change
		}
	}
}

// rendered is everything that was read, one member a line.
func rendered(m *Meter, members []usage.Member) []string {
	lines := make([]string, len(members))
	for i, member := range members {
		lines[i] = strings.Join(fragments(m, member), "; ")
	}
	return lines
}

func fragments(m *Meter, member usage.Member) []string {
	s := member.Subject
	parts := []string{fmt.Sprintf("%s/%s %s", s.Namespace, s.Deployment, s.ResourceType)}
	if s.Resource != s.Instance {
		parts = append(parts, "bills "+named(s.Resource))
	}
	parts = append(parts, named(s.Instance))
	for _, fact := range []struct{ name, value string }{{"container", s.Container}, {"region", s.Region}, {"bundle", s.Bundle}} {
		if fact.value != "" {
			parts = append(parts, fact.name+" "+fact.value)
		}
	}
	if s.Attributes != "" {
		parts = append(parts, strings.TrimPrefix(fmt.Sprint(s.Attributes.Map()), "map"))
	}
	if member.Active {
		levels := []string{"holds"}
		for i, dimension := range m.Dimensions() {
			levels = append(levels, fmt.Sprintf("%s=%d", dimension.Name, member.Levels[i]))
		}
		parts = append(parts, strings.Join(levels, " "))
	} else if member.Levels != nil {
		parts = append(parts, "levels though inactive")
	}
	for _, boundary := range []struct {
		name string
		usage.Boundary
	}{{"from", member.Start}, {"to", member.End}} {
		if !boundary.IsZero() {
			at := time.Unix(boundary.At, 0).UTC().Format(time.TimeOnly)
			parts = append(parts, fmt.Sprintf("%s %s %s", boundary.name, at, boundary.Evidence))
		}
	}
	return parts
}

func named(o usage.Object) string {
	if o == (usage.Object{}) {
		return "(workload)"
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %s", o.APIVersion, o.Kind, o.Name, o.UID))
}

func equal(t testing.TB, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}
