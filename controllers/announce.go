package controllers

import (
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/recorder"
)

// announcement is what an Event says.
type announcement struct {
	kind   string // Normal or Warning
	reason string
	action string // what the operator was doing
	note   string
	// namespace is the tenant's namespace that it is about; empty: none.
	namespace string
}

const writeJournal = "WriteJournal"

// maxNote is how long an Event's note may be, in bytes.
const maxNote = 1024

func (h *Health) announce(a announcement) {
	if h.Announce != nil {
		h.Announce(a)
	}
}

// announcer creates Events about the operator's namespace, in it: they concern no
// object of a tenant. An Event about a tenant's namespace is also created there.
func announcer(events recorder.EventRecorder, namespace string) func(announcement) {
	own := namespaceReference(namespace)
	return func(a announcement) {
		if a.namespace == "" || a.namespace == namespace {
			events.Eventf(own, nil, a.kind, a.reason, a.action, "%s", limit(a.note, maxNote))
			return
		}
		tenant := namespaceReference(a.namespace)
		events.Eventf(own, tenant, a.kind, a.reason, a.action, "%s", limit(a.note, maxNote))
		events.Eventf(tenant, nil, a.kind, a.reason, a.action, "%s", limit(a.note, maxNote))
	}
}

func namespaceReference(name string) *corev1.ObjectReference {
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "Namespace", Name: name, Namespace: name}
}
