package federation

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/controllertest"
	"github.com/causeway-mesh/causeway/federation/engine"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
)

// kube is a client of a real API server; no controller runs but the one under test.
var kube client.Client

func TestMain(m *testing.M) { os.Exit(controllertest.Run(m, &kube)) }

const trustDomain = "mesh.example.org"

// fake is an engine that keeps what it is told.
type fake struct {
	view         engine.View
	settings     *engine.Settings
	unregister   error
	unregistered int
}

func newFake() *fake {
	return &fake{view: engine.View{
		Store: engine.StoreStatus{Reason: "Unreachable", Message: "it does not answer"}, Gossip: engine.GossipStatus{Reason: "NoIdentity"},
	}}
}

func (f *fake) Subscribe() (<-chan struct{}, func()) { return nil, func() {} }
func (f *fake) View() *engine.View                   { v := f.view; return &v }
func (f *fake) Configure(s engine.Settings) error {
	f.settings, f.view.Configured = &s, true
	return nil
}
func (f *fake) Unconfigure() { f.settings, f.view.Configured = nil, false }
func (f *fake) Unregister(context.Context) error {
	f.unregistered++
	return f.unregister
}

// rig is a controller with Causeway's namespace, an issuer and the store's Secret.
type rig struct {
	*Controller
	t    *testing.T
	fake *fake
	at   time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, fake: newFake(), at: time.Now()}
	r.on(kube, r.fake, controllertest.Namespace(t, kube, "system"))
	r.issuer("causeway", cmmeta.ConditionTrue, "")
	ca := identitytest.NewCA(t, trustDomain)
	cert, key := ca.Issue(r.self())
	r.secret("store", ca.Bundle(), cert, key)
	t.Cleanup(func() { removeAll(t) })
	return r
}

// on makes the controller anew, as a restart of the operator does.
func (r *rig) on(c client.Client, e Engine, namespace string) {
	elected := make(chan struct{})
	close(elected)
	r.Controller = NewController(c, c, events.NewFakeRecorder(100), e, namespace, elected)
	r.now = func() time.Time { return r.at }
}

func removeAll(t *testing.T) {
	var list api.MeshFederationList
	if err := kube.List(context.Background(), &list); err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		f := &list.Items[i]
		before := f.DeepCopy()
		f.Finalizers = nil
		err := errors.Join(client.IgnoreNotFound(kube.Patch(context.Background(), f, client.MergeFrom(before))),
			client.IgnoreNotFound(kube.Delete(context.Background(), f)))
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (r *rig) self() identity.ID {
	return identity.ID{TrustDomain: trustDomain, Federation: controllertest.Federation, Cluster: "us-east", Role: identity.RoleOperator}
}

func (r *rig) issuer(name string, ready cmmeta.ConditionStatus, why string) {
	r.t.Helper()
	i := &certmanager.Issuer{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: name}}
	i.Spec.CA = &certmanager.CAIssuer{SecretName: "root"}
	if ready != "" {
		i.Status.Conditions = []certmanager.IssuerCondition{{Type: certmanager.IssuerConditionReady, Status: ready, Message: why}}
	}
	controllertest.CreateWithStatus(r.t, kube, i)
}

// secret creates or replaces one.
func (r *rig) secret(name string, ca, cert, key []byte) {
	r.t.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: name}}
	controllertest.Delete(r.t, kube, s)
	s.Data = map[string][]byte{"ca.crt": ca, "tls.crt": cert, "tls.key": key}
	controllertest.Create(r.t, kube, s)
}

func (r *rig) dropSecret(name string) {
	r.t.Helper()
	controllertest.Delete(r.t, kube, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: name}})
}

// issue stands in for cert-manager: both Certificates are ready, the operator's
// Secret is filled.
func (r *rig) issue() (certPEM []byte) {
	r.t.Helper()
	for _, name := range []string{api.CertificateOperator, api.CertificateGateway} {
		r.certificateSays(name, cmmeta.ConditionTrue, "Certificate is up to date and has not expired")
	}
	ca := identitytest.NewCA(r.t, trustDomain)
	cert, key := ca.Issue(r.self())
	r.secret(api.CertificateOperator, ca.Bundle(), cert, key)
	return cert
}

func (r *rig) certificateSays(name string, ready cmmeta.ConditionStatus, message string) {
	r.t.Helper()
	c := &certmanager.Certificate{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: name}}
	if !controllertest.Exists(r.t, kube, c) {
		r.t.Fatalf("there is no Certificate %s", name)
	}
	c.Status.Conditions = []certmanager.CertificateCondition{{Type: certmanager.CertificateConditionReady, Status: ready, Message: message}}
	if err := kube.Status().Update(r.t.Context(), c); err != nil {
		r.t.Fatal(err)
	}
}

// spec makes a MeshFederation's; change may be nil.
func (r *rig) create(name string, change func(*api.MeshFederationSpec)) {
	r.t.Helper()
	f := &api.MeshFederation{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: api.MeshFederationSpec{
		Federation: controllertest.Federation, Cluster: api.ClusterIdentity{Name: "us-east", Region: "us-east"}, TrustDomain: trustDomain,
		PolicyStore: api.PolicyStore{Endpoints: []api.StoreEndpoint{"https://127.0.0.1:2379"}, TLSSecretRef: api.SecretReference{Name: "store"}},
		IssuerRef:   api.IssuerReference{Kind: "Issuer", Name: "causeway"},
	}}
	if change != nil {
		change(&f.Spec)
	}
	if err := r.client.Create(r.t.Context(), f); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) update(name string, change func(*api.MeshFederationSpec)) {
	r.t.Helper()
	f := r.get(name)
	change(&f.Spec)
	if err := kube.Update(r.t.Context(), f); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) delete(name string) {
	r.t.Helper()
	controllertest.Delete(r.t, kube, &api.MeshFederation{ObjectMeta: metav1.ObjectMeta{Name: name}})
}

// get returns nil if there is none.
func (r *rig) get(name string) *api.MeshFederation {
	r.t.Helper()
	f := &api.MeshFederation{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if !controllertest.Exists(r.t, r.client, f) {
		return nil
	}
	return f
}

func (r *rig) reconcile(name string) ctrl.Result {
	r.t.Helper()
	result, err := r.Reconcile(r.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: name}})
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}

// want reconciles and checks one condition.
func (r *rig) want(name, kind string, status metav1.ConditionStatus, reason string, says ...string) {
	r.t.Helper()
	r.reconcile(name)
	controllertest.Want(r.t, r.get(name).Status.Conditions, kind, status, reason, says...)
}

func TestUnsignedValuesAreTakenOnlyWhereTheSpecSaysSo(t *testing.T) {
	r := newRig(t)
	for choice, want := range map[api.UnsignedValues]bool{"": false, api.UnsignedRefuse: false, api.UnsignedAccept: true} {
		f := &api.MeshFederation{}
		f.Spec.PolicyStore.UnsignedValues = choice
		if s, err := r.settings(t.Context(), f); err != nil || s.AcceptUnsigned != want {
			t.Errorf("%q: %t, %v", choice, s.AcceptUnsigned, err)
		}
	}
}
