package controllers

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// surplus are the reports in the list that the schedule made, but for the newest.
func (s *series) surplus(history int) []client.Object {
	var own []client.Object
	_ = meta.EachListItem(s.list, func(item runtime.Object) error {
		if object, ok := item.(client.Object); ok && metav1.IsControlledBy(object, s.Object) {
			own = append(own, object)
		}
		return nil
	})
	slices.SortFunc(own, func(a, b client.Object) int { return cmp.Compare(startingOn(a), startingOn(b)) })
	return own[:max(0, len(own)-history)]
}

// startingOn is when the window of a report with fixed bounds begins.
func startingOn(object client.Object) int64 {
	var window *v1alpha1.ReportWindow
	switch report := object.(type) {
	case *v1alpha1.UsageReport:
		window = &report.Spec.ReportWindow
	case *v1alpha1.ClusterUsageReport:
		window = &report.Spec.ReportWindow
	}
	if window == nil || window.StartingOn == nil {
		return 0
	}
	return window.StartingOn.Unix()
}
