package controllers

import (
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// TestConditionsKeepTheRulesOfKstatus draws what becomes of an object, one spec after the other. At
// each moment its conditions are of one mind and of its generation, and kstatus reads from them what
// is meant: that is what Flux and Argo CD wait for.
func TestConditionsKeepTheRulesOfKstatus(t *testing.T) {
	want := map[standing]status.Status{
		ready: status.CurrentStatus, reconciling: status.InProgressStatus, stalled: status.FailedStatus,
		idle: status.InProgressStatus, // kstatus has no word for what is not to do anything
	}
	rapid.Check(t, func(t *rapid.T) {
		var list []metav1.Condition
		generation, now := int64(1), noon
		for range rapid.IntRange(1, 8).Draw(t, "times") {
			generation += rapid.Int64Range(0, 1).Draw(t, "edits")
			now = now.Add(time.Duration(rapid.Int64Range(0, 90).Draw(t, "seconds")) * time.Second)
			a := account{
				standing: rapid.SampledFrom([]standing{ready, reconciling, stalled, idle}).Draw(t, "standing"),
				reason:   rapid.StringMatching(`[A-Z][A-Za-z]{2,12}`).Draw(t, "reason"),
				message:  rapid.StringN(0, -1, -1).Draw(t, "message"),
			}
			before := append([]metav1.Condition(nil), list...)
			setConditions(&list, generation, metav1.NewTime(now), a.conditions()...)
			checkConditions(t, before, list, generation, now)
			if got := kstatusOf(t, list, generation); got != want[a.standing] {
				t.Fatalf("standing %d is read as %s, want %s:\n%+v", a.standing, got, want[a.standing], list)
			}
			if isReady := meta.IsStatusConditionTrue(list, v1alpha1.ConditionReady); isReady != (a.standing == ready) {
				t.Fatalf("standing %d is Ready: %t", a.standing, isReady)
			}
		}
	})
}

// checkConditions checks what holds of any conditions: each of the three is there once, one of them
// at most is True, and its time is when its status changed.
func checkConditions(t *rapid.T, before, after []metav1.Condition, generation int64, now time.Time) {
	t.Helper()
	isTrue := 0
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
		is, was := meta.FindStatusCondition(after, kind), meta.FindStatusCondition(before, kind)
		if is == nil || is.Reason == "" || is.ObservedGeneration != generation {
			t.Fatalf("%s of generation %d is %+v", kind, generation, is)
		}
		if is.Status == metav1.ConditionTrue {
			isTrue++
		}
		since := metav1.NewTime(now)
		if was != nil && was.Status == is.Status {
			since = was.LastTransitionTime
		}
		if !is.LastTransitionTime.Equal(&since) {
			t.Fatalf("%s is %s since %s, want since %s", kind, is.Status, is.LastTransitionTime, since)
		}
	}
	if isTrue > 1 || len(after) != 3 {
		t.Fatalf("%d conditions, of which %d are True: %+v", len(after), isTrue, after)
	}
}

// kstatusOf is how kstatus reads an object with these conditions.
func kstatusOf(t *rapid.T, conditions []metav1.Condition, generation int64) status.Status {
	t.Helper()
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&v1alpha1.UsageReport{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "UsageReport"},
		ObjectMeta: metav1.ObjectMeta{Name: "drawn", Namespace: "shop", Generation: generation},
		Status:     v1alpha1.UsageReportStatus{ObservedGeneration: generation, Conditions: conditions},
	})
	if err != nil {
		t.Fatal(err)
	}
	result, err := status.Compute(&unstructured.Unstructured{Object: object})
	if err != nil {
		t.Fatal(err)
	}
	return result.Status
}
