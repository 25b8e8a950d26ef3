package main

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/causeway-mesh/causeway/controllers/preflight"
)

const (
	preflightWithin = 10 * time.Second
	preflightEvery  = 2 * time.Second
)

// prepared returns once the cluster has the kinds and rights that the controllers
// need; false means that ctx has ended. Until then readiness, the log and an event
// on this pod say what is missing: no crash loop, and nothing to be guessed.
func (op *operator) prepared(ctx context.Context, client kubernetes.Interface) bool {
	said := ""
	for {
		limited, cancel := context.WithTimeout(ctx, preflightWithin)
		err := preflight.Check(limited, client, op.options.namespace)
		cancel()
		if ctx.Err() != nil {
			return false
		}
		why := ""
		if err != nil {
			why = err.Error()
		}
		op.waits.Store(&why)
		if err == nil {
			return true
		}
		if why != said {
			said = why
			op.log.Error("the controllers cannot start yet; looking again every 2 s", "error", err)
			op.tell(ctx, client, why)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(preflightEvery):
		}
	}
}

// tell puts an event on this replica's pod; without the right to do so the log has
// to do.
func (op *operator) tell(ctx context.Context, client kubernetes.Interface, why string) {
	now := metav1.Now()
	event := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{GenerateName: op.options.replica + "-", Namespace: op.options.namespace},
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: op.options.namespace, Name: op.options.replica},
		Type:           corev1.EventTypeWarning, Reason: "CannotStart", Message: cut(why, 1000), Action: "Start",
		Source: corev1.EventSource{Component: "causeway-operator"}, ReportingController: "causeway-operator", ReportingInstance: op.options.replica,
		FirstTimestamp: now, LastTimestamp: now, EventTime: metav1.NewMicroTime(now.Time), Count: 1,
	}
	if _, err := client.CoreV1().Events(op.options.namespace).Create(ctx, event, metav1.CreateOptions{}); err != nil {
		op.log.Debug("telling the pod's event", "error", err)
	}
}

// cut keeps the API server's bound of an event's message.
func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
