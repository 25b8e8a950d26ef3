package controllers

import (
	"context"
	"slices"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/controllertest"
	"github.com/causeway-mesh/causeway/federation/engine"
)

// scene is one cluster with all controllers at work, as cmd/causeway-operator runs
// them, on a real API server, a real engine and a real policy store.
type scene struct {
	t         *testing.T
	kube      client.Client
	engine    *engine.Engine
	store     *controllertest.Store
	namespace string // of the services
}

func newScene(t *testing.T) *scene {
	t.Helper()
	ctrl.SetLogger(logr.Discard()) // what matters shows in the objects
	apiserver, err := controllertest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = apiserver.Stop() })
	s := &scene{t: t, kube: apiserver.Client, store: controllertest.NewStore(t)}
	s.engine, _ = controllertest.NewEngine(t, 1)
	mgr, err := ctrl.NewManager(apiserver.Config, ctrl.Options{Scheme: Scheme(), Metrics: server.Options{BindAddress: "0"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := Register(mgr, Deps{Engine: s.engine, Namespace: api.SystemNamespace}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the manager ended: %v", err)
		}
	})
	s.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: api.SystemNamespace}})
	s.namespace = controllertest.Namespace(t, s.kube, "shop")
	s.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: api.SystemNamespace, Name: "store"},
		Data:       map[string][]byte{"ca.crt": s.store.CA, "tls.crt": s.store.CA, "tls.key": s.store.KeyPEM},
	})
	issuer := &certmanager.ClusterIssuer{ObjectMeta: metav1.ObjectMeta{Name: "causeway"}}
	issuer.Spec.CA = &certmanager.CAIssuer{SecretName: "root"}
	issuer.Status.Conditions = []certmanager.IssuerCondition{{Type: certmanager.IssuerConditionReady, Status: cmmeta.ConditionTrue}}
	controllertest.CreateWithStatus(t, s.kube, issuer)
	return s
}

func (s *scene) create(o client.Object) {
	s.t.Helper()
	controllertest.Create(s.t, s.kube, o)
}

func (s *scene) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.namespace, Name: name}
}

func (s *scene) federate(name, cluster string) *api.MeshFederation {
	s.t.Helper()
	f := &api.MeshFederation{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: api.MeshFederationSpec{
		Federation: controllertest.Federation, Cluster: api.ClusterIdentity{Name: cluster, Region: api.RegionName(cluster)}, TrustDomain: "mesh.example.org",
		PolicyStore: api.PolicyStore{Endpoints: []api.StoreEndpoint{api.StoreEndpoint(s.store.Endpoint())}, TLSSecretRef: api.SecretReference{Name: "store"}},
		IssuerRef:   api.IssuerReference{Name: "causeway"},
	}}
	s.create(f)
	return f
}

// await looks until an object's condition has a reason.
func (s *scene) await(o client.Object, conditions func() []metav1.Condition, kind, reason string) {
	s.t.Helper()
	controllertest.Await(s.t, o.GetName()+" to say "+kind+" "+reason, func() bool {
		if !controllertest.Exists(s.t, s.kube, o) {
			return false
		}
		c := meta.FindStatusCondition(conditions(), kind)
		return c != nil && c.Reason == reason
	})
}

func (s *scene) gone(o client.Object) {
	s.t.Helper()
	controllertest.Delete(s.t, s.kube, o)
	controllertest.Await(s.t, o.GetName()+" to go", func() bool { return !controllertest.Exists(s.t, s.kube, o) })
}

func TestControllersTogetherPublishProjectImportAndHandOver(t *testing.T) {
	s := newScene(t)
	first := s.federate("first", "us-east")
	s.await(first, func() []metav1.Condition { return first.Status.Conditions }, api.ConditionRegistered, api.ReasonRegistered)

	s.create(&corev1.Service{ObjectMeta: s.meta("checkout"), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}})
	export := &mcs.ServiceExport{ObjectMeta: s.meta("checkout")}
	s.create(export)
	s.await(export, func() []metav1.Condition { return export.Status.Conditions }, string(mcs.ServiceExportConditionReady), string(mcs.ServiceExportReasonExported))
	imported := &mcs.ServiceImport{ObjectMeta: s.meta("checkout")}
	controllertest.Await(t, "the import", func() bool { return controllertest.Exists(t, s.kube, imported) && len(imported.Spec.IPs) > 0 })

	policy := &api.RoutingPolicy{ObjectMeta: s.meta("order"), Spec: api.RoutingPolicySpec{
		TargetRefs: []api.LocalPolicyTargetReference{{Name: "checkout"}}, Regions: []api.RegionName{"us-east"},
	}}
	s.create(policy)
	s.await(policy, func() []metav1.Condition { return policy.Status.Conditions }, api.ConditionPublished, api.ReasonPublished)
	s.await(policy, func() []metav1.Condition { return policy.Status.Conditions }, api.ConditionResolvedRefs, api.ReasonResolvedRefs)
	shown := &api.EffectivePolicy{ObjectMeta: s.meta("us-east.order")}
	s.await(shown, func() []metav1.Condition { return shown.Status.Conditions }, api.ConditionReady, api.ReasonInForce)
	s.edit(shown)

	second := s.federate("second", "us-west")
	s.await(second, func() []metav1.Condition { return second.Status.Conditions }, api.ConditionReady, api.ReasonAlreadyFederated)
	s.gone(first)
	controllertest.Await(t, "the second one to take over", func() bool { return s.engine.View().Self == "us-west" && controllertest.Registered(s.engine) })
	s.await(second, func() []metav1.Condition { return second.Status.Conditions }, api.ConditionRegistered, api.ReasonRegistered)
	controllertest.Await(t, "the export to follow", func() bool {
		exports := s.engine.View().Exports
		for _, list := range exports {
			if len(list) == 1 && list[0].Cluster == "us-west" {
				return true
			}
		}
		return false
	})

	s.gone(export)
	controllertest.Await(t, "the import to go", func() bool { return !controllertest.Exists(t, s.kube, imported) })
	s.gone(policy)
	s.gone(second)
}

// edit changes a projection by hand and waits until it is put back, sooner than
// the controllers look again without being asked.
func (s *scene) edit(shown *api.EffectivePolicy) {
	s.t.Helper()
	var took time.Duration
	for range 3 { // a busy machine is slow, but not every time
		before := shown.DeepCopy()
		shown.Spec.Regions = []string{"eu-west"}
		if err := s.kube.Patch(s.t.Context(), shown, client.MergeFrom(before)); err != nil {
			s.t.Fatal(err)
		}
		began := time.Now()
		controllertest.Await(s.t, "the edit to be put back", func() bool {
			return controllertest.Exists(s.t, s.kube, shown) && slices.Equal(shown.Spec.Regions, []string{"us-east"})
		})
		if took = time.Since(began); took < 8*time.Second {
			return
		}
	}
	s.t.Errorf("it took %s", took)
}
