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
}

const writeJournal = "WriteJournal"

// maxNote is how long an Event's note may be, in bytes.
const maxNote = 1024

func (h *Health) announce(a announcement) {
	if h.Announce != nil {
		h.Announce(a)
	}
}

// announcer makes Events of the operator's namespace, in it: what they tell of is
// nobody's object, and that is where people look.
func announcer(events recorder.EventRecorder, namespace string) func(announcement) {
	about := &corev1.ObjectReference{APIVersion: "v1", Kind: "Namespace", Name: namespace, Namespace: namespace}
	return func(a announcement) {
		events.Eventf(about, nil, a.kind, a.reason, a.action, "%s", limit(a.note, maxNote))
	}
}
