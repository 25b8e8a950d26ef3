// Package condition sets status conditions and tells their transitions as events.
//
// It owns the comparison of two lists of conditions; reasons and messages are the
// caller's. All functions work on the caller's values and keep nothing.
//
// Invariants:
//  1. A condition that did not change keeps its lastTransitionTime.
//  2. One event per change of status or reason, none for a new wording.
package condition

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
)

// maxMessage is what the API admits (32 KiB), with room; a longer text is cut.
const maxMessage = 4096

// True sets a condition that holds.
func True(list *[]metav1.Condition, kind, reason, message string, generation int64) {
	set(list, kind, metav1.ConditionTrue, reason, message, generation)
}

// False sets a condition that does not hold.
func False(list *[]metav1.Condition, kind, reason, message string, generation int64) {
	set(list, kind, metav1.ConditionFalse, reason, message, generation)
}

// Unknown sets a condition that is not decided.
func Unknown(list *[]metav1.Condition, kind, reason, message string, generation int64) {
	set(list, kind, metav1.ConditionUnknown, reason, message, generation)
}

func set(list *[]metav1.Condition, kind string, status metav1.ConditionStatus, reason, message string, generation int64) {
	if len(message) > maxMessage {
		message = message[:maxMessage]
	}
	meta.SetStatusCondition(list, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: generation,
	})
}

// Events records one event for each condition that changed its status or reason.
func Events(recorder events.EventRecorder, about runtime.Object, before, after []metav1.Condition) {
	for _, now := range after {
		then := meta.FindStatusCondition(before, now.Type)
		if then != nil && then.Status == now.Status && then.Reason == now.Reason {
			continue
		}
		if now.Status == metav1.ConditionUnknown {
			continue
		}
		kind := corev1.EventTypeWarning
		if (now.Status == metav1.ConditionTrue) != bad(now.Type) {
			kind = corev1.EventTypeNormal
		}
		recorder.Eventf(about, nil, kind, now.Reason, now.Type, "%s", note(now.Message))
	}
}

// bad says that a condition is wanted False.
func bad(kind string) bool { return kind == "Conflict" }

// note keeps to the 1024 bytes that the events API admits.
func note(message string) string {
	if len(message) > 1000 {
		return message[:1000] + " …"
	}
	return message
}
