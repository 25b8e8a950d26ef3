package cleanup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/controllertest"
)

// The account of config/cleanup, which is the chart's hook, needs no right beside its own.
func TestRightsOfTheHookSuffice(t *testing.T) {
	server, err := controllertest.Start(controllertest.CertManager, controllertest.Causeway, controllertest.MCS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	admin := server.Client
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: api.SystemNamespace}}
	if err := admin.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	for _, o := range rights(t) {
		if err := admin.Create(t.Context(), o); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatalf("%s: %v", o.GetName(), err)
		}
	}
	i := objects(api.SystemNamespace)
	for _, o := range i.all() {
		if err := admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	config := rest.CopyConfig(server.Config)
	config.Impersonate.UserName = "system:serviceaccount:" + api.SystemNamespace + ":causeway-cleanup"
	hook, err := client.New(config, client.Options{Scheme: admin.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := Run(ctx, hook, Config{Withdraw: 100 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	for _, o := range []client.Object{i.federation, i.derived, i.imported, i.effective, i.certificate, i.secret} {
		if controllertest.Exists(t, admin, o) {
			t.Errorf("%T %s is left", o, o.GetName())
		}
	}
}

// rights are the objects of config/cleanup but its Job.
func rights(t *testing.T) (out []*unstructured.Unstructured) {
	t.Helper()
	data, err := os.ReadFile("../../config/cleanup/cleanup.yaml")
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if o.Object != nil && o.GetKind() != "Job" {
			out = append(out, o)
		}
	}
}
