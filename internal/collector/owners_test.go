package collector

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// What owns pods is asked for while pods are listed: if it waited for them, each
// pod would wait until its patience ends.
func TestWhatAKindsFirstListWaitsFor(t *testing.T) {
	cases := map[string]struct {
		kind schema.GroupKind
		want []schema.GroupKind
	}{
		"namespaces come first":                 {namespaceKind, nil},
		"pods need namespaces":                  {podKind, []schema.GroupKind{namespaceKind}},
		"what owns pods does not wait for them": {schema.GroupKind{Group: "apps", Kind: "ReplicaSet"}, []schema.GroupKind{namespaceKind}},
		"what is metered and owns pods neither": {schema.GroupKind{Group: "kubevirt.io", Kind: "VirtualMachineInstance"}, []schema.GroupKind{namespaceKind}},
		"claims are known by their pods":        {claimKind, []schema.GroupKind{namespaceKind, podKind}},
		"devices are known by their pods":       {deviceKind, []schema.GroupKind{namespaceKind, podKind}},
		"services are known by their pods":      {serviceKind, []schema.GroupKind{namespaceKind, podKind}},
		"gateways are known by their services":  {gatewayKind, []schema.GroupKind{namespaceKind, podKind, serviceKind}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			collector := New(Options{})
			names := map[*feed]schema.GroupKind{}
			for _, kind := range []schema.GroupKind{namespaceKind, podKind, serviceKind} {
				f := &feed{}
				collector.feeds[kind], names[f] = f, kind
			}
			var got []schema.GroupKind
			for _, f := range collector.before(c.kind) {
				got = append(got, names[f])
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("waits for %v, want %v", got, c.want)
			}
		})
	}
}
