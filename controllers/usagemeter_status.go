package controllers

import (
	"fmt"
	"time"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/collector"
)

// finding is what stands in a meter's way; without a reason nothing does.
type finding struct {
	mapping *meta.RESTMapping
	reason  string
	message string
	// stalled: a person has to act. Otherwise it goes on by itself.
	stalled bool
	// metering: the meter works all the same.
	metering bool
}

func suspended() finding {
	return finding{reason: v1alpha1.ReasonSuspended, message: "spec.suspend is true: nothing is metered until it is false"}
}

func notInstalled(m *v1alpha1.UsageMeter) finding {
	target := m.Spec.Target
	kind := target.Kind
	if target.Group != "" {
		kind += "." + target.Group
	}
	if target.Version != "" {
		kind += " in version " + target.Version
	}
	return finding{
		reason:  v1alpha1.ReasonTargetNotInstalled,
		message: fmt.Sprintf("no kind %s is installed: metering starts by itself when it is", kind),
	}
}

func invalid(err error, metering bool) finding {
	message := err.Error()
	if metering {
		message += "; metering goes on with the expressions as they were before"
	}
	return finding{reason: v1alpha1.ReasonInvalidExpression, message: message, stalled: true, metering: metering}
}

// unreadable is why the collector does not get on with a kind.
func unreadable(err error, mapping *meta.RESTMapping) finding {
	if !apierrors.IsForbidden(err) {
		return finding{reason: v1alpha1.ReasonWatchFailed, message: "the kind cannot be read, trying again: " + err.Error()}
	}
	resource := mapping.Resource
	return finding{
		reason: v1alpha1.ReasonAccessDenied,
		message: fmt.Sprintf("the operator may not list and watch %s: create a ClusterRole with the label "+
			"%s/aggregate-to-manager: \"true\" and the rule {apiGroups: [%q], resources: [%q], verbs: [get, list, watch]} (%s)",
			resource.GroupResource(), v1alpha1.Group, resource.Group, resource.Resource, err),
		stalled: true,
	}
}

// positionRefresh is how old a position in the status may be while nothing else changes.
const positionRefresh = time.Minute

// meterStatus is what a meter's status should say. whole is what stands in every
// meter's way.
func meterStatus(m *v1alpha1.UsageMeter, found finding, at collector.Status, whole finding, now metav1.Time) v1alpha1.UsageMeterStatus {
	status := *m.Status.DeepCopy()
	status.ObservedGeneration = m.Generation
	status.Active = int64(at.Active)
	status.Quarantined = int64(len(at.Quarantined))
	status.Quarantine = nil
	for _, q := range at.Quarantined[:min(len(at.Quarantined), maxQuarantine)] {
		status.Quarantine = append(status.Quarantine, v1alpha1.QuarantinedObject{
			Namespace: q.Namespace, Name: q.Name, Message: q.Message,
		})
	}
	if at.ResourceVersion != "" && (status.Position == nil || at.ObservedTime.Sub(status.Position.ObservedTime.Time) >= positionRefresh) {
		status.Position = &v1alpha1.Position{
			ResourceVersion: at.ResourceVersion, ObservedTime: metav1.NewTime(at.ObservedTime.Truncate(time.Second)),
		}
	}
	switch {
	case found.reason != "" || at.Err == nil:
	case apierrors.IsNotFound(at.Err):
		found = notInstalled(m) // it was removed; the REST mapper remembers it
	default:
		found = unreadable(at.Err, found.mapping)
	}
	if found.reason == "" && !at.Synced {
		found = finding{reason: v1alpha1.ReasonListing, message: "listing what is there"}
	}
	if found.reason == "" {
		found = whole
	}
	if found.reason == "" && !at.Durable {
		found = finding{reason: v1alpha1.ReasonJournaling, message: "everything is listed; ready once the journal has it"}
	}
	for _, condition := range conditions(found, at) {
		condition.ObservedGeneration = m.Generation
		condition.LastTransitionTime = now
		meta.SetStatusCondition(&status.Conditions, condition)
	}
	return status
}

const maxQuarantine = 10

// conditions are Ready, Reconciling and Stalled, as kstatus reads them.
func conditions(found finding, at collector.Status) []metav1.Condition {
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: found.reason, Message: limit(found.message, maxMessage)}
	reconciling := metav1.Condition{Type: v1alpha1.ConditionReconciling, Status: metav1.ConditionFalse, Reason: found.reason, Message: ""}
	stalled := metav1.Condition{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionFalse, Reason: found.reason, Message: ""}
	switch {
	case found.reason == "":
		ready.Status, ready.Reason, ready.Message = metav1.ConditionTrue, v1alpha1.ReasonMetering, metering(at, found.message)
		reconciling.Reason, stalled.Reason = v1alpha1.ReasonMetering, v1alpha1.ReasonMetering
	case found.stalled:
		stalled.Status, stalled.Message = metav1.ConditionTrue, limit(found.message, maxMessage)
	case found.reason != v1alpha1.ReasonSuspended:
		reconciling.Status, reconciling.Message = metav1.ConditionTrue, limit(found.message, maxMessage)
	}
	return []metav1.Condition{ready, reconciling, stalled}
}

func metering(at collector.Status, note string) string {
	message := "metering"
	if len(at.Quarantined) > 0 {
		message += "; some objects cannot be read: see status.quarantine"
	}
	if note != "" {
		message += "; " + note
	}
	return limit(message, maxMessage)
}

// maxMessage is how long a condition's message may be, in bytes.
const maxMessage = 32 << 10

// limit cuts a message where a character begins.
func limit(message string, most int) string {
	for i := most; len(message) > most; i-- {
		if utf8.RuneStart(message[i]) {
			return message[:i]
		}
	}
	return message
}
