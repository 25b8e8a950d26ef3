package main

import (
	"errors"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/causeway-mesh/causeway/controllers/controllertest"
)

func TestEpochRisesAboveWhatAPeerHasProvedWhileTheLeaseIsOurs(t *testing.T) {
	server, err := controllertest.Start(controllertest.Causeway)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Stop() }()
	client, err := kubernetes.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	leases := client.CoordinationV1().Leases("default")
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: leaseName, Annotations: map[string]string{epochAnnotation: "3"}}}
	if _, err := leases.Create(t.Context(), lease, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	op := &operator{}
	for _, step := range []struct{ held, above, want uint64 }{
		{0, 0, 4},   // a new leader
		{4, 9, 10},  // outrun by 9
		{10, 7, 11}, // by an epoch that the Lease has passed since
	} {
		got, err := raise(t.Context(), leases, step.held, step.above, op.raised.Store)
		if err != nil || got != step.want {
			t.Fatalf("held %d, above %d: %d, %v, want %d", step.held, step.above, got, err, step.want)
		}
		if op.another(got, step.held) { // the engine has not done a round since
			t.Errorf("the epoch %d that we have raised is taken for another's", got)
		}
		if !op.another(got+1, step.held) || !op.another(got+1, got) {
			t.Errorf("an epoch above %d is taken for ours", got)
		}
	}
	if _, err := raise(t.Context(), leases, 10, 20, op.raised.Store); !errors.Is(err, errSuperseded) {
		t.Errorf("another replica's epoch stands on the Lease, and ours was raised: %v", err)
	}
	if !op.another(11, 10) {
		t.Error("after a raise that failed the Lease's epoch is taken for ours")
	}
	now, err := leases.Get(t.Context(), leaseName, metav1.GetOptions{})
	if err != nil || epochOf(now) != 11 {
		t.Errorf("the Lease shows %d, %v, want 11", epochOf(now), err)
	}
}
