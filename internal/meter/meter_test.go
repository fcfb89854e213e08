package meter

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
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
