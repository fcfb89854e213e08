package usageapi

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// restful are the reasons for which a meter is not Ready without needing attention.
var restful = []string{v1alpha1.ReasonSuspended, v1alpha1.ReasonTargetNotInstalled, v1alpha1.ReasonListing, v1alpha1.ReasonJournaling}

// status answers with the moment up to which the ledger is complete, and the meters that
// need attention. Messages about objects are for callers who may see all namespaces.
func (c *call) status() error {
	refs, err := c.all()
	if err != nil {
		return err
	}
	applied, err := c.Meters(c.ctx)
	if err != nil {
		return err
	}
	answer := wire.Status{Now: stamp(c.now), Meters: len(applied), Attention: []wire.MeterStatus{}}
	if at := c.known(); at > 0 {
		answer.Known = stamp(at)
	}
	if sealed := c.snapshot.Sealed(); sealed > 0 {
		answer.Sealed = stamp(sealed)
		for _, last := range c.snapshot.Intervals(usage.Window{Start: sealed - 1, End: sealed}) {
			answer.IntervalSeconds = last.Seconds()
		}
	}
	if began := c.snapshot.Since(); began > 0 {
		answer.MeteringBegan = stamp(began)
	}
	for i := range applied {
		if shown, needs := attention(&applied[i], refs == nil); needs {
			answer.Attention = append(answer.Attention, shown)
		}
	}
	slices.SortFunc(answer.Attention, func(a, b wire.MeterStatus) int { return cmp.Compare(a.Name, b.Name) })
	return c.write(answer)
}

// attention tells whether a meter needs attention, and why; with the message, which may
// name objects of any namespace, for callers who see all of them.
func attention(m *v1alpha1.UsageMeter, seesAll bool) (shown wire.MeterStatus, needs bool) {
	shown = wire.MeterStatus{Name: m.Name, Quarantined: m.Status.Quarantined}
	ready := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionReady)
	beside := slices.IndexFunc(m.Status.Conditions, func(c metav1.Condition) bool {
		return c.Status == metav1.ConditionTrue && (c.Type == v1alpha1.ConditionNodesUnreadable || c.Type == v1alpha1.ConditionOtherUnreadable)
	})
	why := ready
	switch {
	case ready == nil:
		shown.Reason = "NotSeen"
		return shown, true
	case ready.Status != metav1.ConditionTrue && !slices.Contains(restful, ready.Reason):
		shown.Reason = ready.Reason
	case beside >= 0:
		why = &m.Status.Conditions[beside]
		shown.Reason = why.Type
	case m.Status.Quarantined > 0:
		shown.Reason = v1alpha1.ReasonQuarantined
		return shown, true
	default:
		return shown, false
	}
	if seesAll {
		shown.Message = why.Message
	}
	return shown, true
}
