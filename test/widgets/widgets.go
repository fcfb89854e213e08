// Package widgets has kinds of the tests' own, whose objects may say anything, and meters of them.
package widgets

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// Group is the API group of all kinds, whose version is v1.
const Group = "test.example.com"

// Kind is a namespaced kind.
type Kind string

// Widget is the kind of the specs that need no more than one.
const Widget Kind = "Widget"

// Plural is what the kind is called in a path.
func (k Kind) Plural() string { return strings.ToLower(string(k)) + "s" }

// List is an empty list of the kind's objects.
func (k Kind) List() *unstructured.UnstructuredList {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Group: Group, Version: "v1", Kind: string(k) + "List"})
	return list
}

// Definition is the kind's CustomResourceDefinition. It panics when the kind is no word.
func (k Kind) Definition() *unstructured.Unstructured {
	text := fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[2]s.%[3]s}
spec:
  group: %[3]s
  names: {kind: %[1]s, listKind: %[1]sList, plural: %[2]s, singular: %[4]s}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
`, k, k.Plural(), Group, strings.ToLower(string(k)))
	definition := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &definition.Object); err != nil {
		panic(err)
	}
	return definition
}

// Meter meters spec.size of the kind's objects, as a count.
func Meter(name string, k Kind, edit ...func(*v1alpha1.UsageMeterSpec)) *v1alpha1.UsageMeter {
	meter := &v1alpha1.UsageMeter{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.UsageMeterSpec{
			ResourceType: "widget",
			Target:       v1alpha1.TargetReference{Group: Group, Kind: string(k)},
			Dimensions:   []v1alpha1.Dimension{{Name: "size", Unit: "count", Quantity: "self.spec.size"}},
		},
	}
	for _, change := range edit {
		change(&meter.Spec)
	}
	return meter
}

// Conditions are a meter's, as "Ready=True/Metering": none while they are not about what its spec says now.
func Conditions(meter *v1alpha1.UsageMeter) []string {
	if meter.Status.ObservedGeneration != meter.Generation {
		return nil
	}
	var found []string
	for _, c := range meter.Status.Conditions {
		found = append(found, fmt.Sprintf("%s=%s/%s", c.Type, c.Status, c.Reason))
	}
	return found
}

// Metering are the conditions of a meter that meters.
func Metering() []string {
	return []string{"Ready=True/Metering", "Reconciling=False/Metering", "Stalled=False/Metering"}
}
