package controllers

import (
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

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

// notInstalled says that there is no such kind, or not in the version that the meter
// reads. served are the versions that there are.
func notInstalled(m *v1alpha1.UsageMeter, served []*meta.RESTMapping) finding {
	target := m.Spec.Target
	kind := target.Kind
	if target.Group != "" {
		kind += "." + target.Group
	}
	if len(served) > 0 && target.Version != "" {
		var versions []string
		for _, mapping := range served {
			versions = append(versions, mapping.GroupVersionKind.Version)
		}
		return finding{
			reason: v1alpha1.ReasonVersionNotServed,
			message: fmt.Sprintf("the cluster serves %s in version %s, and spec.target.version is %s: nothing is metered. "+
				"Choose a version that is served, with expressions that read it; metering also starts when %s is served",
				kind, strings.Join(versions, ", "), target.Version, target.Version),
			stalled: true,
		}
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

// unreadable is why the collector cannot read a kind.
func unreadable(err error, resource schema.GroupResource) finding {
	if !apierrors.IsForbidden(err) {
		return finding{reason: v1alpha1.ReasonWatchFailed, message: "the kind cannot be read, trying again: " + err.Error()}
	}
	return finding{
		reason: v1alpha1.ReasonAccessDenied,
		message: fmt.Sprintf("the operator may not list and watch %s: create a ClusterRole with the label "+
			"%s/aggregate-to-manager: \"true\" and the rule {apiGroups: [%q], resources: [%q], verbs: [get, list, watch]} (%s)",
			resource, v1alpha1.Group, resource.Group, resource.Resource, err),
		stalled: true,
	}
}

// setUnreadable says whether a meter meters without what it reads of a kind beside its
// own, and to what effect.
func setUnreadable(conditions *[]metav1.Condition, generation int64, now metav1.Time, condition, effect string, err error, resource schema.GroupResource) {
	if err == nil {
		meta.RemoveStatusCondition(conditions, condition)
		return
	}
	why := unreadable(err, resource)
	setConditions(conditions, generation, now, metav1.Condition{
		Type: condition, Status: metav1.ConditionTrue, Reason: why.reason, Message: limit(effect+": "+why.message, maxMessage),
	})
}

// positionRefresh is how old a position in the status may be while nothing else changes.
const positionRefresh = time.Minute

// meterStatus is what a meter's status should say. whole is what stands in every
// meter's way.
func meterStatus(m *v1alpha1.UsageMeter, found finding, at collector.Status, whole finding, now metav1.Time) v1alpha1.UsageMeterStatus {
	status := *m.Status.DeepCopy()
	status.ObservedGeneration = m.Generation
	status.Dimensions = dimensionNames(m.Spec.Dimensions)
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
	if found.reason == "" {
		found = metered(m, found, at, whole)
	}
	setConditions(&status.Conditions, m.Generation, now, found.account(at).conditions()...)
	setUnreadable(&status.Conditions, m.Generation, now, v1alpha1.ConditionNodesUnreadable,
		"usage is metered without the attributes and the region of nodes", at.NodesErr, schema.GroupResource{Resource: "nodes"})
	setUnreadable(&status.Conditions, m.Generation, now, v1alpha1.ConditionOtherUnreadable,
		"usage is metered by what the objects say themselves", at.OtherErr, at.OtherResource)
	return status
}

// metered is what stands in the way of a meter that is applied, the first of it; without a
// reason: nothing.
func metered(m *v1alpha1.UsageMeter, found finding, at collector.Status, whole finding) finding {
	switch {
	case apierrors.IsNotFound(at.Err):
		return notInstalled(m, nil) // it was removed; the REST mapper remembers it
	case at.Err != nil:
		return unreadable(at.Err, found.mapping.Resource.GroupResource())
	case !at.Synced:
		return finding{reason: v1alpha1.ReasonListing, message: "listing what is there"}
	case at.Amending:
		return finding{reason: v1alpha1.ReasonListing, message: "reading what is there by the changed spec"}
	case whole.reason != "" || at.Durable:
		return whole
	}
	return finding{reason: v1alpha1.ReasonJournaling, message: "everything is listed; ready once the journal has it"}
}

const maxQuarantine = 10

// account is how a meter gets on.
func (found finding) account(at collector.Status) account {
	a := account{standing: reconciling, reason: found.reason, message: found.message}
	switch {
	case found.reason == "":
		a = account{standing: ready, reason: v1alpha1.ReasonMetering, message: metering(at, found.message)}
		if len(at.Quarantined) > 0 {
			a.reason = v1alpha1.ReasonQuarantined
		}
	case found.stalled:
		a.standing = stalled
	case found.reason == v1alpha1.ReasonSuspended:
		a.standing = idle
	}
	return a
}

func metering(at collector.Status, note string) string {
	message := "metering"
	if len(at.Quarantined) > 0 {
		message += "; some objects cannot be read: see status.quarantine"
	}
	if note != "" {
		message += "; " + note
	}
	return message
}

// dimensionNames is the meter's dimensions as a table shows them.
func dimensionNames(dimensions []v1alpha1.Dimension) string {
	names := make([]string, len(dimensions))
	for i := range dimensions {
		names[i] = dimensions[i].Name
	}
	return strings.Join(names, ", ")
}
