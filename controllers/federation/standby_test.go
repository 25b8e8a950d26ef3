package federation

import (
	"testing"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/controllertest"
)

func TestStandbyConfiguresItsEngineAndWritesNothing(t *testing.T) {
	r := newRig(t)
	leading := r.elected
	r.elected = make(chan struct{})
	r.create("federation", nil)
	before := r.get("federation")
	r.reconcile("federation")
	if r.fake.settings == nil || r.fake.settings.CertPEM != nil {
		t.Fatalf("without a certificate: %+v", r.fake.settings)
	}
	if f := r.get("federation"); f.ResourceVersion != before.ResourceVersion {
		t.Errorf("a standby wrote: %+v", f)
	}
	cert := &certmanager.Certificate{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: api.CertificateOperator}}
	if controllertest.Exists(t, kube, cert) {
		t.Error("a standby asked for a certificate")
	}
	r.elected = leading
	r.reconcile("federation")
	issued := r.issue()
	r.elected = make(chan struct{})
	r.reconcile("federation")
	if s := r.fake.settings; string(s.CertPEM) != string(issued) || s.StoreCert == nil || s.Cluster != "us-east" {
		t.Errorf("a standby's settings: %+v", s)
	}
	controllertest.Delete(t, kube, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: api.CertificateOperator}})
	r.reconcile("federation")
	if string(r.fake.settings.CertPEM) != string(issued) {
		t.Error("an identity that was issued is lost with its Secret")
	}
	removeAll(t)
	r.fake.view.Leading = true
	r.reconcile("federation")
	if r.fake.settings == nil {
		t.Error("a leader that has lost its lease leaves the federation")
	}
	r.fake.view.Leading = false
	r.reconcile("federation")
	if r.fake.settings != nil {
		t.Error("a standby stays in a federation that is no more")
	}
}
