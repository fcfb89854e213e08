package controllers

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// made is a report as it is now.
type made struct {
	account
	figures  *v1alpha1.UsageReportStatus // nil: there are no new ones
	complete metav1.Condition
	next     int64 // when the figures change next, in seconds since the epoch; 0: they do not
	rolls    int64 // when a rolling period moves on; 0: it does not
	warns    bool  // that the figures may not say what was used
}

// reported is a report whose figures are there.
func reported(r *report.Resolved, figures *v1alpha1.UsageReportStatus, sealed, interval int64) *made {
	out := &made{
		account: account{standing: ready, reason: v1alpha1.ReasonReported, message: "the figures are those of the ledger"},
		figures: figures, rolls: r.Rolls,
		complete: metav1.Condition{Type: v1alpha1.ConditionComplete, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonSealed,
			Message: "every interval of the window is sealed"},
	}
	out.next = r.Rolls
	if sealed < r.Window.End {
		out.complete.Status, out.complete.Reason = metav1.ConditionFalse, v1alpha1.ReasonInProgress
		out.complete.Message = fmt.Sprintf("sealed up to %s; the window ends at %s", stamp(sealed), stamp(r.Window.End))
		if sealed < r.Window.Start {
			out.complete.Message = fmt.Sprintf("the window begins at %s", stamp(r.Window.Start))
		}
		out.next = usage.Interval(max(sealed, r.Window.Start), interval).End
	}
	if sealed > 0 {
		reached := metav1.NewTime(time.Unix(min(sealed, r.Window.End), 0).UTC())
		figures.SealedTime = &reached
	}
	return out
}

// suspended is the report if it goes no further.
func (m *made) suspended(is bool) *made {
	if is {
		m.standing, m.reason, m.message = ready, v1alpha1.ReasonSuspended, "spec.suspend is true: the report goes no further than the seal at which it is"
		if m.figures != nil && m.figures.Window == nil {
			m.message = "spec.suspend is true since before the report was made: it has no figures"
		}
		m.rolls, m.next = 0, 0
	}
	return m
}

// keeps tells whether the figures stay as they are.
func (m *made) keeps() bool { return m.figures == nil && m.standing != stalled }

// found makes the conditions of a report without totals say why: nothing was used, it is
// unknown, or the spec has a name that does not exist.
func (m *made) found(noSuch error) *made {
	f, said := report.Found(m.figures), m.figures.Summary
	if noSuch != nil {
		m.reason, said = v1alpha1.ReasonNoSuchName, noSuch.Error()
		if f != report.Used {
			m.figures.Summary = limit(said, maxSummary)
		}
	}
	if f != report.Used || noSuch != nil {
		m.message += ": " + said
		m.complete.Message += "; " + said
	}
	m.warns = noSuch != nil || f == report.Unknown || f == report.PartlyUnknown
	return m
}

// maxSummary is how long status.summary may be, in bytes.
const maxSummary = 1024

func stamp(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

// status is what the report's status should say, after what it said before.
func (m *made) status(before *v1alpha1.UsageReportStatus, generation int64, now metav1.Time) v1alpha1.UsageReportStatus {
	after := *before.DeepCopy()
	if m.standing == stalled {
		// What was right for another spec is nobody's business now.
		after = v1alpha1.UsageReportStatus{Conditions: after.Conditions}
		meta.RemoveStatusCondition(&after.Conditions, v1alpha1.ConditionComplete)
	}
	if m.figures != nil {
		conditions, last := after.Conditions, after.LastReportTime
		after = *m.figures
		after.Conditions, after.LastReportTime = conditions, last
		if after.Digest != digestOf(before) {
			after.LastReportTime = &now
		}
		if m.next > 0 {
			next := metav1.NewTime(time.Unix(m.next, 0).UTC())
			after.NextReportTime = &next
		}
		if m.complete.Type != "" {
			setConditions(&after.Conditions, generation, now, m.complete)
		} else {
			meta.RemoveStatusCondition(&after.Conditions, v1alpha1.ConditionComplete)
		}
	}
	after.ObservedGeneration = generation
	setConditions(&after.Conditions, generation, now, m.conditions()...)
	return after
}

const makeReport = "MakeReport"

// announce creates an Event for a report that is now complete, or that needs action.
func (r *UsageReportReconciler) announce(s *subject, made *made, before *v1alpha1.UsageReportStatus) {
	if turned(before.Conditions, s.status.Conditions, v1alpha1.ConditionComplete) != nil {
		kind := corev1.EventTypeNormal
		if made.warns {
			kind = corev1.EventTypeWarning
		}
		r.Events.Eventf(s.Object, nil, kind, v1alpha1.ConditionComplete, makeReport, "%s", limit(note(s.status), maxNote))
	}
	if stalled := turned(before.Conditions, s.status.Conditions, v1alpha1.ConditionStalled); stalled != nil {
		r.Events.Eventf(s.Object, nil, corev1.EventTypeWarning, stalled.Reason, makeReport, "%s", limit(stalled.Message, maxNote))
	}
}

// turned is a condition that is True now, and was not before, or for another reason.
func turned(before, after []metav1.Condition, condition string) *metav1.Condition {
	now, was := meta.FindStatusCondition(after, condition), meta.FindStatusCondition(before, condition)
	if now == nil || now.Status != metav1.ConditionTrue || was != nil && was.Status == now.Status && was.Reason == now.Reason {
		return nil
	}
	return now
}

// note is what the Event of a complete report says: what was used, or why there is no figure, and
// which name there is not, also where another has figures.
func note(status *v1alpha1.UsageReportStatus) string {
	if len(status.Totals) == 0 {
		return status.Summary
	}
	text := fmt.Sprintf("%d rows: %s", ptr.Deref(status.RowCount, 0), status.Summary)
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	if ready != nil && ready.Reason == v1alpha1.ReasonNoSuchName {
		text += "; " + ready.Message
	}
	return text
}
