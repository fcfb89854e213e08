package controllers

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/collector"
)

// The status tells whether the cluster has no such kind, or serves it in other versions than the one that a meter names.
func TestMeterOfAVersionThatIsNotServed(t *testing.T) {
	cluster := schema.GroupVersionKind{Group: "cluster.x-k8s.io", Version: "v1beta1", Kind: "Cluster"}
	for name, c := range map[string]struct {
		served          []schema.GroupVersionKind
		version         string
		reason, message string
		stalled         bool
	}{
		"no such kind": {
			version: "v1beta2", reason: v1alpha1.ReasonTargetNotInstalled,
			message: "no kind Cluster.cluster.x-k8s.io in version v1beta2 is installed: metering starts by itself when it is",
		},
		"no such kind, in whichever version": {
			reason: v1alpha1.ReasonTargetNotInstalled, message: "no kind Cluster.cluster.x-k8s.io is installed: metering starts by itself when it is",
		},
		"another version": {
			served: []schema.GroupVersionKind{cluster}, version: "v1beta2", reason: v1alpha1.ReasonVersionNotServed, stalled: true,
			message: "the cluster serves Cluster.cluster.x-k8s.io in version v1beta1, and spec.target.version is v1beta2: nothing is metered. " +
				"Choose a version that is served, with expressions that read it; metering also starts when v1beta2 is served",
		},
	} {
		t.Run(name, func(t *testing.T) {
			mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{cluster.GroupVersion()})
			for _, kind := range c.served {
				mapper.Add(kind, meta.RESTScopeNamespace)
			}
			m := &v1alpha1.UsageMeter{ObjectMeta: metav1.ObjectMeta{Name: "cluster"}}
			m.Spec.Target = v1alpha1.TargetReference{Group: cluster.Group, Version: c.version, Kind: cluster.Kind}
			m.Spec.ResourceType = "cluster"
			m.Spec.Dimensions = []v1alpha1.Dimension{{Name: "cluster", Unit: "count", Quantity: "1"}}
			r := &UsageMeterReconciler{Mapper: mapper}
			found, err := r.apply(m)
			if err != nil {
				t.Fatal(err)
			}
			if found.reason != c.reason || found.message != c.message || found.stalled != c.stalled {
				t.Errorf("the finding is %+v; want %s: %s", found, c.reason, c.message)
			}
			status := meterStatus(m, found, collector.Status{}, finding{}, metav1.Now())
			if !slices.ContainsFunc(status.Conditions, func(c metav1.Condition) bool {
				return c.Type == "Stalled" && (c.Status == metav1.ConditionTrue) == found.stalled && c.Reason == found.reason
			}) {
				t.Errorf("the conditions are %+v", status.Conditions)
			}
		})
	}
}
