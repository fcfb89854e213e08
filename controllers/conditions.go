package controllers

import (
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// standing is how an object gets on.
type standing int

const (
	ready       standing = iota // it does what its spec says
	reconciling                 // it is on its way there by itself
	stalled                     // a person has to act
	idle                        // it is not to do anything
)

// account is a standing, and why.
type account struct {
	standing
	reason, message string
}

// conditions are Ready, Reconciling and Stalled, as kstatus reads them.
func (a account) conditions() []metav1.Condition {
	message := limit(a.message, maxMessage)
	list := []metav1.Condition{
		{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: a.reason, Message: message},
		{Type: v1alpha1.ConditionReconciling, Status: metav1.ConditionFalse, Reason: a.reason},
		{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionFalse, Reason: a.reason},
	}
	switch a.standing {
	case ready:
		list[0].Status = metav1.ConditionTrue
	case reconciling:
		list[1].Status, list[1].Message = metav1.ConditionTrue, message
	case stalled:
		list[2].Status, list[2].Message = metav1.ConditionTrue, message
	}
	return list
}

// setConditions brings an object's conditions up to date.
func setConditions(list *[]metav1.Condition, generation int64, now metav1.Time, conditions ...metav1.Condition) {
	for _, condition := range conditions {
		condition.ObservedGeneration, condition.LastTransitionTime = generation, now
		meta.SetStatusCondition(list, condition)
	}
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
