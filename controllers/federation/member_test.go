package federation

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/controllertest"
	mesh "github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
)

func TestMissingStoreSecretIsNamedAndTheEarlierWayInStays(t *testing.T) {
	r := newRig(t)
	r.create("mesh", func(s *api.MeshFederationSpec) { s.PolicyStore.TLSSecretRef.Name = "nobody" })
	r.want("mesh", api.ConditionPolicyStoreReady, metav1.ConditionFalse, api.ReasonSecretNotFound, r.namespace+"/nobody", "tlsSecretRef")
	if r.fake.settings.StoreCert != nil {
		t.Error("a store certificate came from nowhere")
	}
	r.update("mesh", func(s *api.MeshFederationSpec) { s.PolicyStore.TLSSecretRef.Name = "store" })
	r.want("mesh", api.ConditionPolicyStoreReady, metav1.ConditionFalse, api.ReasonUnreachable)
	good := *r.fake.settings

	r.update("mesh", func(s *api.MeshFederationSpec) {
		s.PolicyStore = api.PolicyStore{Endpoints: []api.StoreEndpoint{"https://127.0.0.1:9"}, TLSSecretRef: api.SecretReference{Name: "nobody"}}
	})
	r.want("mesh", api.ConditionPolicyStoreReady, metav1.ConditionFalse, api.ReasonSecretNotFound, "what worked before stays")
	if diff := cmp.Diff(good, *r.fake.settings); diff != "" {
		t.Errorf("what worked before did not stay: %s", diff)
	}
}

func TestUnusableStoreSecretIsToldAndTheEarlierWayInStays(t *testing.T) {
	r := newRig(t)
	r.create("mesh", nil)
	r.reconcile("mesh")
	good := *r.fake.settings
	for name, spoil := range map[string]func(){
		"ca.crt":  func() { r.secret("store", []byte("x"), good.StoreCert, good.StoreKey) },
		"tls.crt": func() { r.secret("store", good.StoreCA, nil, good.StoreKey) },
		"tls.key": func() { r.secret("store", good.StoreCA, good.StoreCert, nil) },
	} {
		spoil()
		r.want("mesh", api.ConditionPolicyStoreReady, metav1.ConditionFalse, api.ReasonSecretInvalid, r.namespace+"/store", name)
		if diff := cmp.Diff(good, *r.fake.settings); diff != "" {
			t.Errorf("%s: what worked before did not stay: %s", name, diff)
		}
	}
}

func TestNothingOfAnEarlierMeshFederationIsKept(t *testing.T) {
	r := newRig(t)
	r.create("mesh", nil)
	r.reconcile("mesh")
	r.delete("mesh")
	r.reconcile("mesh")
	r.create("mesh", func(s *api.MeshFederationSpec) { s.PolicyStore.TLSSecretRef.Name = "nobody" })
	r.reconcile("mesh")
	if r.fake.settings.StoreCert != nil {
		t.Error("a new MeshFederation uses the deleted one's way into the store")
	}
}

func TestSpecThatCannotWorkIsToldAndTheOldOneStays(t *testing.T) {
	r := newRig(t)
	e, _ := controllertest.NewEngine(t, 1)
	r.on(kube, e, r.namespace)
	r.create("mesh", nil)
	r.reconcile("mesh")
	controllertest.Await(t, "the settings", func() bool { return e.View().Configured })
	r.update("mesh", func(s *api.MeshFederationSpec) {
		s.TrustBundles = []api.TrustBundle{{TrustDomain: "other.example.org", PEM: "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"}}
		s.Cluster.Region = "us-middle"
	})
	r.want("mesh", api.ConditionReady, metav1.ConditionFalse, api.ReasonInvalidSpec, "trust bundles", "other.example.org", "the previous settings stay in force")
	if !e.View().Configured {
		t.Error("the engine has lost its settings")
	}
}

func TestSecondMeshFederationChangesNothingUntilTheFirstIsGone(t *testing.T) {
	r := newRig(t)
	r.create("b-first", nil)
	r.reconcile("b-first")
	// The API server's clock counts seconds: by name this one would come first.
	r.create("a-second", func(s *api.MeshFederationSpec) { s.Cluster = api.ClusterIdentity{Name: "us-west", Region: "us-west"} })
	r.want("a-second", api.ConditionReady, metav1.ConditionFalse, api.ReasonAlreadyFederated, "b-first", "delete one of the two")
	r.reconcile("b-first")
	if got := r.fake.settings.Cluster; got != "us-east" {
		t.Errorf("the second one made us %s", got)
	}
	if c := meta.FindStatusCondition(r.get("b-first").Status.Conditions, api.ConditionReady); c.Reason == api.ReasonAlreadyFederated {
		t.Errorf("the first one says %+v", c)
	}
	if controllerutil.ContainsFinalizer(r.get("a-second"), api.Finalizer) {
		t.Error("the second one holds a finalizer and has nothing to withdraw")
	}

	r.delete("a-second")
	r.reconcile("a-second")
	if r.fake.unregistered != 0 || r.fake.settings == nil {
		t.Error("the second one's deletion took the first one out of force")
	}

	r.create("a-second", func(s *api.MeshFederationSpec) { s.Cluster = api.ClusterIdentity{Name: "us-west", Region: "us-west"} })
	r.delete("b-first")
	r.want("a-second", api.ConditionReady, metav1.ConditionFalse, api.ReasonAlreadyFederated) // until it is gone
	r.reconcile("b-first")
	if r.get("b-first") != nil || r.fake.unregistered != 1 {
		t.Fatal("the first one is still there")
	}
	r.reconcile("a-second")
	if r.fake.settings == nil || r.fake.settings.Cluster != "us-west" {
		t.Errorf("the second one did not take over: %+v", r.fake.settings)
	}
	if c := meta.FindStatusCondition(r.get("a-second").Status.Conditions, api.ConditionReady); c.Reason == api.ReasonAlreadyFederated {
		t.Errorf("the second one still says %+v", c)
	}
}

func TestDeletionWaitsForTheStoreOnlySoLong(t *testing.T) {
	r := newRig(t)
	r.create("mesh", nil)
	r.reconcile("mesh")
	r.fake.unregister = errors.New("the store is away")
	r.delete("mesh")
	if result := r.reconcile("mesh"); result.RequeueAfter != retry || r.get("mesh") == nil || r.fake.settings == nil {
		t.Fatalf("let go at once: %+v", result)
	}
	r.at = r.at.Add(WithdrawWithin - time.Millisecond)
	r.reconcile("mesh")
	if r.get("mesh") == nil || r.fake.settings == nil {
		t.Fatal("let go before the time")
	}
	r.at = r.at.Add(time.Millisecond)
	r.reconcile("mesh")
	if r.get("mesh") != nil || r.fake.settings != nil {
		t.Error("it is still there after WithdrawWithin")
	}
}

// joined is a rig on a real store and a real engine, registered.
func joined(t *testing.T) (*rig, *controllertest.Store, func()) {
	t.Helper()
	r, store := newRig(t), controllertest.NewStore(t)
	e, stop := controllertest.NewEngine(t, 1)
	r.on(kube, e, r.namespace)
	r.secret("store", store.CA, store.CA, store.KeyPEM)
	r.create("mesh", func(s *api.MeshFederationSpec) {
		s.PolicyStore.Endpoints = []api.StoreEndpoint{api.StoreEndpoint(store.Endpoint())}
	})
	r.reconcile("mesh")
	return r, store, stop
}

func TestTakenNameIsToldAndTheOtherClusterIsNotDisturbed(t *testing.T) {
	store := controllertest.NewStore(t)
	other := store.Member("us-east", "uid-of-another")
	r := newRig(t)
	e, _ := controllertest.NewEngine(t, 1)
	r.on(kube, e, r.namespace)
	r.secret("store", store.CA, store.CA, store.KeyPEM)
	r.create("mesh", func(s *api.MeshFederationSpec) {
		s.PolicyStore.Endpoints = []api.StoreEndpoint{api.StoreEndpoint(store.Endpoint())}
	})
	r.reconcile("mesh")
	controllertest.Await(t, "the conflict", func() bool { return e.View().NameConflict != "" })
	r.want("mesh", api.ConditionRegistered, metav1.ConditionFalse, api.ReasonNameConflict, "uid-of-another", "another name")
	r.delete("mesh")
	r.reconcile("mesh")
	if r.get("mesh") != nil {
		t.Error("a cluster that was never registered waits for its withdrawal")
	}
	if m := other.State().Members["us-east"]; m.InstanceID != "uid-of-another" {
		t.Errorf("the other cluster's registration: %+v", m)
	}
}

func TestLeavingWithdrawsEverythingOfOursAndNothingElse(t *testing.T) {
	r, store, _ := joined(t)
	e := r.engine.(*engine.Engine)
	west := store.Member("us-west", "uid-west")
	controllertest.Await(t, "the registration", func() bool { return controllertest.Registered(e) })
	publishAll(t, e.SetExport, e.SetPolicy, "us-east")
	publishAll(t, west.PutExport, west.PutPolicy, "us-west")
	r.delete("mesh")
	controllertest.Await(t, "the MeshFederation to go", func() bool { r.reconcile("mesh"); return r.get("mesh") == nil })
	controllertest.Await(t, "us-west to hear of it", func() bool { return len(west.State().Members) == 1 })
	state := west.State()
	if len(state.Exports[service]) != 1 || state.Exports[service][0].Cluster != "us-west" || len(state.Policies) != 1 || state.Policies[0].ID.Origin != "us-west" {
		t.Errorf("left are %+v and %+v", state.Exports, state.Policies)
	}
}

func TestOperatorThatStartsAfterTheDeletionWithdrawsAllTheSame(t *testing.T) {
	r, store, crash := joined(t)
	e := r.engine.(*engine.Engine)
	west := store.Member("us-west", "uid-west")
	controllertest.Await(t, "the registration", func() bool { return controllertest.Registered(e) })
	crash()
	r.delete("mesh")
	r.at = r.at.Add(time.Hour) // it was down for long
	e, _ = controllertest.NewEngine(t, 2)
	r.on(kube, e, r.namespace)
	controllertest.Await(t, "the MeshFederation to go", func() bool { r.reconcile("mesh"); return r.get("mesh") == nil })
	controllertest.Await(t, "us-west to hear of it", func() bool { return len(west.State().Members) == 1 })
}

var service = mesh.ServiceName{Namespace: "shop", Name: "checkout"}

func publishAll(t *testing.T, export func(context.Context, mesh.Export) (mesh.Export, error), policy func(context.Context, mesh.Policy) (mesh.Policy, error), of mesh.ClusterName) {
	t.Helper()
	_, err := export(t.Context(), mesh.Export{Cluster: of, Service: service, Ports: []mesh.ExportedPort{{Port: 80, Protocol: mesh.TCP}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = policy(t.Context(), mesh.Policy{
		ID:            mesh.PolicyID{Origin: of, Namespace: "shop", Name: "order"},
		PolicyVersion: mesh.PolicyVersion{Targets: []mesh.ServiceName{service}, Rules: mesh.Rules{Regions: []mesh.Region{"us-east"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
}
