package usageapi

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

func TestWhichMetersNeedAttention(t *testing.T) {
	condition := func(kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: "because of " + reason}
	}
	ready := condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonMetering)
	denied := condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonAccessDenied)
	listing := condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonListing)
	nodes := condition(v1alpha1.ConditionNodesUnreadable, metav1.ConditionTrue, v1alpha1.ReasonAccessDenied)
	other := condition(v1alpha1.ConditionOtherUnreadable, metav1.ConditionTrue, v1alpha1.ReasonAccessDenied)
	for name, c := range map[string]struct {
		conditions  []metav1.Condition
		quarantined int64
		want        wire.MeterStatus // without a reason: none is needed
	}{
		"never seen":                     {nil, 0, wire.MeterStatus{Reason: "NotSeen"}},
		"meters":                         {[]metav1.Condition{ready}, 0, wire.MeterStatus{}},
		"lists":                          {[]metav1.Condition{listing}, 0, wire.MeterStatus{}},
		"may not read its kind":          {[]metav1.Condition{denied}, 0, wire.MeterStatus{Reason: "AccessDenied", Message: "because of AccessDenied"}},
		"meters without nodes":           {[]metav1.Condition{ready, nodes}, 0, wire.MeterStatus{Reason: "NodesUnreadable", Message: "because of AccessDenied"}},
		"meters without another kind":    {[]metav1.Condition{ready, other}, 0, wire.MeterStatus{Reason: "OtherUnreadable", Message: "because of AccessDenied"}},
		"cannot read some objects":       {[]metav1.Condition{ready}, 2, wire.MeterStatus{Reason: "Quarantined", Quarantined: 2}},
		"may read neither kind nor node": {[]metav1.Condition{denied, nodes}, 0, wire.MeterStatus{Reason: "AccessDenied", Message: "because of AccessDenied"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := &v1alpha1.UsageMeter{ObjectMeta: metav1.ObjectMeta{Name: "vm"}}
			m.Status.Conditions, m.Status.Quarantined = c.conditions, c.quarantined
			for _, seesAll := range []bool{true, false} {
				want := c.want
				want.Name = "vm"
				if !seesAll {
					want.Message = ""
				}
				got, needs := attention(m, seesAll)
				if needs != (c.want.Reason != "") || needs && got != want {
					t.Errorf("a caller who sees all namespaces (%t) is told %+v (%t), want %+v", seesAll, got, needs, want)
				}
			}
		})
	}
}
