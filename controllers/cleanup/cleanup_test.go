package cleanup

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/controllertest"
)

var kube client.Client

func TestMain(m *testing.M) { os.Exit(controllertest.Run(m, &kube)) }

// watched tells of what a clean-up does: of a patch after it, of a list before.
type watched struct {
	client.Client
	patched func(client.Object)
	lists   func(client.ObjectList)
}

func (c *watched) Patch(ctx context.Context, o client.Object, p client.Patch, options ...client.PatchOption) error {
	err := c.Client.Patch(ctx, o, p, options...)
	c.patched(o)
	return err
}

func (c *watched) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	c.lists(list)
	return c.Client.List(ctx, list, options...)
}

func isPolicy(o client.Object) bool { _, ok := o.(*api.RoutingPolicy); return ok }

// installed is a cluster with all that Causeway makes, and what users wrote.
type installed struct {
	namespace                     string
	federation                    *api.MeshFederation
	derived, foreign              *corev1.Service
	export                        *mcs.ServiceExport
	imported                      *mcs.ServiceImport
	policy                        *api.RoutingPolicy
	effective                     *api.EffectivePolicy
	certificate                   *certmanager.Certificate
	secret, ownSecret, userSecret *corev1.Secret
}

func install(t *testing.T) installed {
	t.Helper()
	i := objects(controllertest.Namespace(t, kube, "cleanup"))
	for _, o := range i.all() {
		if err := kube.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		i.export.Finalizers = nil
		_ = kube.Update(context.Background(), i.export)
	})
	return i
}

func (i installed) all() []client.Object {
	return []client.Object{i.federation, i.derived, i.foreign, i.export, i.imported, i.policy, i.effective, i.certificate, i.secret, i.ownSecret, i.userSecret}
}

func objects(ns string) installed {
	ours := map[string]string{api.LabelManagedBy: api.ManagedBy}
	at := func(name string, labels map[string]string, finalizers ...string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: ns, Name: name, Labels: labels, Finalizers: finalizers}
	}
	ports := corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}
	return installed{
		namespace: ns,
		federation: &api.MeshFederation{ObjectMeta: metav1.ObjectMeta{Name: ns, Finalizers: []string{api.Finalizer}}, Spec: api.MeshFederationSpec{
			Federation: "demo", Cluster: api.ClusterIdentity{Name: "a", Region: "r"}, TrustDomain: "mesh.example.org",
			PolicyStore: api.PolicyStore{Endpoints: []api.StoreEndpoint{"https://127.0.0.1:1"}, TLSSecretRef: api.SecretReference{Name: "s"}},
			IssuerRef:   api.IssuerReference{Name: "i"},
		}},
		derived: &corev1.Service{ObjectMeta: at("derived-x", ours), Spec: ports},
		foreign: &corev1.Service{ObjectMeta: at("checkout", map[string]string{api.LabelManagedBy: "Helm"}), Spec: ports},
		export:  &mcs.ServiceExport{ObjectMeta: at("checkout", nil, api.Finalizer, "example.org/theirs")},
		imported: &mcs.ServiceImport{ObjectMeta: at("checkout", ours), Spec: mcs.ServiceImportSpec{
			Type: mcs.ClusterSetIP, Ports: []mcs.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}}},
		policy: &api.RoutingPolicy{ObjectMeta: at("checkout", nil, api.Finalizer), Spec: api.RoutingPolicySpec{
			TargetRefs: []api.LocalPolicyTargetReference{{Name: "checkout"}}, Regions: []api.RegionName{"r"}}},
		effective: &api.EffectivePolicy{ObjectMeta: at("a.checkout", ours), Spec: api.EffectivePolicySpec{
			Origin: "a", PolicyName: "checkout", Targets: []string{"checkout"}, Regions: []string{"r"}}},
		certificate: &certmanager.Certificate{ObjectMeta: at(api.CertificateGateway, ours), Spec: certmanager.CertificateSpec{
			SecretName: api.CertificateGateway, URIs: []string{"spiffe://x/y"}, IssuerRef: cmmeta.IssuerReference{Name: "i"}}},
		secret: &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: api.CertificateGateway,
			Annotations: map[string]string{certmanager.CertificateNameKey: api.CertificateGateway}}},
		ownSecret:  &corev1.Secret{ObjectMeta: at(api.CertificateOperator, nil)},
		userSecret: &corev1.Secret{ObjectMeta: at("causeway-ca", nil)},
	}
}

func TestCleanupRemovesWhatIsOursAndLeavesWhatIsTheUsers(t *testing.T) {
	i := install(t)
	// The operator: it lets the MeshFederation go.
	go func() {
		for t.Context().Err() == nil {
			f := i.federation.DeepCopy()
			if kube.Get(t.Context(), client.ObjectKeyFromObject(f), f) == nil && !f.DeletionTimestamp.IsZero() {
				before := f.DeepCopy()
				controllerutil.RemoveFinalizer(f, api.Finalizer)
				if kube.Patch(t.Context(), f, client.MergeFrom(before)) == nil {
					return
				}
			}
		}
	}()
	if err := Run(t.Context(), kube, Config{Namespace: i.namespace, Withdraw: 10 * time.Second}); err != nil {
		t.Fatal(err)
	}
	for _, o := range []client.Object{i.federation, i.derived, i.imported, i.effective, i.certificate, i.secret} {
		if controllertest.Exists(t, kube, o) {
			t.Errorf("%T %s is left", o, o.GetName())
		}
	}
	for _, o := range []client.Object{i.foreign, i.export, i.policy, i.ownSecret, i.userSecret} {
		if !controllertest.Exists(t, kube, o) {
			t.Errorf("%T %s, the user's own, is gone", o, o.GetName())
		}
	}
	if got := strings.Join(i.export.Finalizers, " "); got != "example.org/theirs" {
		t.Errorf("finalizers of the export: %q", got)
	}
	if len(i.policy.Finalizers) != 0 {
		t.Errorf("finalizers of the policy: %v", i.policy.Finalizers)
	}
	if err := Run(t.Context(), kube, Config{Namespace: i.namespace}); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func TestCleanupWithoutAnOperatorWaitsItsTimeAndLetsGo(t *testing.T) {
	i := install(t)
	var said strings.Builder
	began := time.Now()
	err := Run(t.Context(), kube, Config{Namespace: i.namespace, Withdraw: time.Second, Say: func(f string, _ ...any) { said.WriteString(f) }})
	if err != nil {
		t.Fatal(err)
	}
	if controllertest.Exists(t, kube, i.federation) {
		t.Error("the MeshFederation is left")
	}
	if time.Since(began) < time.Second || !strings.Contains(said.String(), "no operator has withdrawn it") {
		t.Errorf("after %s, said: %s", time.Since(began), said.String())
	}
}

func TestCleanupOutlastsAnOperatorThatPutsTheFinalizerOnAgain(t *testing.T) {
	i := install(t)
	operator := 3
	// An operator that has not yet seen that the MeshFederation is gone: it does so right
	// behind the clean-up twice, and once more when that has turned to what is derived.
	again := func() {
		operator--
		p := i.policy.DeepCopy()
		if err := kube.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
			t.Error(err)
		}
		before := p.DeepCopy()
		controllerutil.AddFinalizer(p, api.Finalizer)
		if err := kube.Patch(t.Context(), p, client.MergeFrom(before)); err != nil {
			t.Error(err)
		}
	}
	c := &watched{Client: kube,
		patched: func(o client.Object) {
			if isPolicy(o) && o.GetNamespace() == i.namespace && operator > 1 {
				again()
			}
		},
		lists: func(o client.ObjectList) {
			if _, derived := o.(*mcs.ServiceImportList); derived && operator == 1 {
				again()
			}
		},
	}
	if err := Run(t.Context(), c, Config{Namespace: i.namespace, Withdraw: 100 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if operator != 0 {
		t.Errorf("%d times it was not put on again", operator)
	}
	if !controllertest.Exists(t, kube, i.policy) || len(i.policy.Finalizers) != 0 {
		t.Errorf("finalizers of the policy: %v", i.policy.Finalizers)
	}
}

func TestCleanupThatCannotEndNamesWhatIsLeft(t *testing.T) {
	i := install(t)
	i.imported.Finalizers = []string{"example.org/holds"}
	if err := kube.Update(t.Context(), i.imported); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	looks := 0
	c := &watched{Client: kube, patched: func(client.Object) {}, lists: func(o client.ObjectList) {
		if _, derived := o.(*mcs.ServiceImportList); derived {
			looks++
		}
		if looks == 3 { // the time is over in the second look for what the clean-up has deleted
			cancel()
		}
	}}
	err := Run(ctx, c, Config{Namespace: i.namespace, Withdraw: 100 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), i.namespace+"/checkout is still there") {
		t.Errorf("got %v", err)
	}
	i.imported.Finalizers = nil
	if err := kube.Update(t.Context(), i.imported); client.IgnoreNotFound(err) != nil && !strings.Contains(err.Error(), "modified") {
		t.Log(err)
	}
	before := &mcs.ServiceImport{ObjectMeta: metav1.ObjectMeta{Namespace: i.namespace, Name: "checkout"}}
	if controllertest.Exists(t, kube, before) {
		after := before.DeepCopy()
		after.Finalizers = nil
		if err := kube.Patch(t.Context(), after, client.MergeFrom(before)); err != nil {
			t.Error(err)
		}
	}
}

func TestCleanupOfAClusterWithoutTheKindsIsNothing(t *testing.T) {
	server, err := controllertest.Start(controllertest.CertManager)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Stop() }()
	if err := server.Uninstall(controllertest.CertManager); err != nil {
		t.Fatal(err)
	}
	c, err := server.NewClient()
	if err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), c, Config{}); err != nil {
		t.Error(err)
	}
}
