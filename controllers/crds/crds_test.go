package crds

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/causeway-mesh/causeway/controllers/controllertest"
)

func definitionOf(t *testing.T, c client.Client, name string) *unstructured.Unstructured {
	t.Helper()
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	if err := c.Get(t.Context(), client.ObjectKey{Name: name}, crd); err != nil {
		t.Fatal(err)
	}
	return crd
}

func TestApplyInstallsUpgradesOursAndLeavesTheSharedOnesAlone(t *testing.T) {
	server, err := controllertest.Start(controllertest.CertManager)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	c := server.Client
	var said []string
	apply := func() {
		t.Helper()
		said = nil
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := Apply(ctx, c, func(f string, a ...any) { said = append(said, fmt.Sprintf(f, a...)) }); err != nil {
			t.Fatal(err)
		}
	}
	apply()
	const own, shared = "meshfederations.federation.causeway.dev", "serviceexports.multicluster.x-k8s.io"
	for _, name := range []string{own, shared} {
		if !established(definitionOf(t, c, name)) {
			t.Errorf("%s is not served", name)
		}
	}
	// An older release's shape of ours, and somebody else's label on the shared one.
	old := definitionOf(t, c, own)
	if err := unstructured.SetNestedStringSlice(old.Object, []string{"old"}, "spec", "names", "shortNames"); err != nil {
		t.Fatal(err)
	}
	foreign := definitionOf(t, c, shared)
	if err := unstructured.SetNestedStringSlice(foreign.Object, []string{"theirs"}, "spec", "names", "shortNames"); err != nil {
		t.Fatal(err)
	}
	for _, o := range []client.Object{old, foreign} {
		if err := c.Update(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	apply()
	names, _, _ := unstructured.NestedStringSlice(definitionOf(t, c, own).Object, "spec", "names", "shortNames")
	if strings.Join(names, " ") != "meshfed" {
		t.Errorf("ours was not upgraded: %v", names)
	}
	names, _, _ = unstructured.NestedStringSlice(definitionOf(t, c, shared).Object, "spec", "names", "shortNames")
	if strings.Join(names, " ") != "theirs" {
		t.Errorf("the shared one was changed: %v", names)
	}
	if !strings.Contains(strings.Join(said, "\n"), shared+" exists and is left as it is") {
		t.Errorf("said: %q", said)
	}
}
