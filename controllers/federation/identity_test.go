package federation

import (
	"bytes"
	"testing"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/controllertest"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
)

func TestMissingIssuerIsNamed(t *testing.T) {
	r := newRig(t)
	r.create("mesh", func(s *api.MeshFederationSpec) { s.IssuerRef.Name = "nobody" })
	r.want("mesh", api.ConditionIdentityReady, metav1.ConditionFalse, api.ReasonIssuerNotFound, "Issuer "+r.namespace+"/nobody", "spec.issuerRef")
	r.want("mesh", api.ConditionReady, metav1.ConditionFalse, api.ReasonIssuerNotFound)
}

func TestMissingClusterIssuerIsNamed(t *testing.T) {
	r := newRig(t)
	r.create("mesh", func(s *api.MeshFederationSpec) { s.IssuerRef = api.IssuerReference{Name: "nobody"} })
	r.want("mesh", api.ConditionIdentityReady, metav1.ConditionFalse, api.ReasonIssuerNotFound, "ClusterIssuer nobody")
}

func TestUnknownKindOfIssuerIsNamed(t *testing.T) {
	r := newRig(t)
	r.create("mesh", func(s *api.MeshFederationSpec) { s.IssuerRef = api.IssuerReference{Name: "causeway", Kind: "Vault"} })
	r.want("mesh", api.ConditionIdentityReady, metav1.ConditionFalse, api.ReasonIssuerNotFound, "spec.issuerRef.kind is Vault")
}

func TestIssuerThatIsNotReadyIsToldInItsOwnWords(t *testing.T) {
	r := newRig(t)
	r.issuer("broken", cmmeta.ConditionFalse, `secret "root" not found`)
	r.issuer("unseen", "", "")
	r.create("mesh", func(s *api.MeshFederationSpec) { s.IssuerRef.Name = "broken" })
	r.want("mesh", api.ConditionIdentityReady, metav1.ConditionFalse, api.ReasonIssuerNotReady, `secret "root" not found`)
	r.update("mesh", func(s *api.MeshFederationSpec) { s.IssuerRef.Name = "unseen" })
	r.want("mesh", api.ConditionIdentityReady, metav1.ConditionFalse, api.ReasonIssuerNotReady, "are its controllers running?")
}

func TestCertificateThatIsNotIssuedIsToldInItsOwnWords(t *testing.T) {
	r := newRig(t)
	r.create("mesh", nil)
	r.want("mesh", api.ConditionIdentityReady, metav1.ConditionFalse, api.ReasonCertificateNotReady, "cert-manager has not looked at it yet")
	r.issue()
	r.certificateSays(api.CertificateGateway, cmmeta.ConditionFalse, "the CA is on holiday")
	r.want("mesh", api.ConditionIdentityReady, metav1.ConditionFalse, api.ReasonCertificateNotReady, api.CertificateGateway, "the CA is on holiday")
}

func TestIssuedIdentityIsUsed(t *testing.T) {
	r := newRig(t)
	r.create("mesh", nil)
	r.reconcile("mesh")
	cert := r.issue()
	r.want("mesh", api.ConditionIdentityReady, metav1.ConditionTrue, api.ReasonIssued)
	if !bytes.Equal(r.fake.settings.CertPEM, cert) {
		t.Error("the engine does not have the certificate that was issued")
	}
}

func TestReadyCertificateWithoutItsSecretIsNoIdentity(t *testing.T) {
	r := newRig(t)
	r.create("mesh", nil)
	r.reconcile("mesh")
	r.issue()
	r.dropSecret(api.CertificateOperator)
	r.want("mesh", api.ConditionIdentityReady, metav1.ConditionFalse, api.ReasonCertificateNotReady, "Secret "+r.namespace+"/"+api.CertificateOperator)
}

func TestUnusableIdentityIsToldAndTheEarlierOneStays(t *testing.T) {
	r := newRig(t)
	ca := identitytest.NewCA(t, trustDomain)
	cert, key := ca.Issue(r.self())
	// More certificates for the own trust domain: they are added to the issuer's, and
	// must not take their place either.
	extra := string(identitytest.NewCA(t, trustDomain).Bundle())
	r.create("mesh", func(s *api.MeshFederationSpec) {
		s.TrustBundles = []api.TrustBundle{{TrustDomain: trustDomain, PEM: extra}}
	})
	r.reconcile("mesh")
	r.issue()
	r.reconcile("mesh")
	good := *r.fake.settings
	for name, spoil := range map[string]func(){
		"no key pair": func() { r.secret(api.CertificateOperator, ca.Bundle(), []byte("x"), []byte("x")) },
		"no root":     func() { r.secret(api.CertificateOperator, []byte("x"), cert, key) },
		"no SPIFFE ID": func() {
			cert, key := ca.IssueURI("https://example.org")
			r.secret(api.CertificateOperator, ca.Bundle(), cert, key)
		},
	} {
		spoil()
		r.want("mesh", api.ConditionIdentityReady, metav1.ConditionFalse, api.ReasonIdentityInvalid, r.namespace+"/"+api.CertificateOperator)
		if diff := cmp.Diff(good, *r.fake.settings); diff != "" {
			t.Errorf("%s: what worked before did not stay: %s", name, diff)
		}
	}
	r.dropSecret(api.CertificateOperator)
	r.reconcile("mesh")
	if diff := cmp.Diff(good, *r.fake.settings); diff != "" {
		t.Errorf("without the Secret: what worked before did not stay: %s", diff)
	}
}

func TestCertificateOfAnotherNameIsWaitedOut(t *testing.T) {
	r := newRig(t)
	r.create("mesh", nil)
	r.reconcile("mesh")
	r.issue()
	ca, other := identitytest.NewCA(t, trustDomain), r.self()
	other.Cluster = "us-west"
	cert, key := ca.Issue(other)
	r.secret(api.CertificateOperator, ca.Bundle(), cert, key)
	r.want("mesh", api.ConditionIdentityReady, metav1.ConditionFalse, api.ReasonCertificateNotReady, "us-west", "us-east")
	if r.fake.settings.CertPEM != nil {
		t.Error("another cluster's certificate is in use")
	}
}

func TestClusterWithoutCertManagerSaysSo(t *testing.T) {
	bare, err := controllertest.Start(controllertest.Causeway)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bare.Stop() })
	r := &rig{t: t, fake: newFake()}
	r.on(bare.Client, r.fake, "default")
	says := func(reason string, words ...string) {
		t.Helper()
		r.want("mesh", api.ConditionIdentityReady, metav1.ConditionFalse, reason, words...)
	}
	r.create("mesh", nil)
	says(api.ReasonCertManagerMissing, "install cert-manager")

	f := r.get("mesh")
	f.Spec.IssuerRef.Group = "issuers.example.org" // not looked up, but the Certificates are cert-manager's
	if err := bare.Client.Update(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	says(api.ReasonCertManagerMissing, "install cert-manager")

	f = r.get("mesh")
	f.Spec.IssuerRef.Group = "cert-manager.io"
	if err := bare.Client.Update(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if err := bare.Install(controllertest.CertManager); err != nil {
		t.Fatal(err)
	}
	says(api.ReasonIssuerNotFound) // healed without a restart
	if err := bare.Uninstall(controllertest.CertManager); err != nil {
		t.Fatal(err)
	}
	controllertest.Await(t, "the kinds to go", func() bool {
		return unknownKind(r.reader.Get(t.Context(), types.NamespacedName{Namespace: "default", Name: "causeway"}, &certmanager.Issuer{}))
	})
	says(api.ReasonCertManagerMissing)
}
