package policy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/controllertest"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
	"github.com/causeway-mesh/causeway/federation/policystore"
)

// kube is a client of a real API server; no controller runs but the one under test.
var kube client.Client

func TestMain(m *testing.M) { os.Exit(controllertest.Run(m, &kube)) }

// fake is an engine with a store that may refuse.
type fake struct {
	view  engine.View
	err   error
	order uint64
}

func newFake() *fake {
	v := view()
	v.Configured, v.StoreSynced, v.Store = true, true, engine.StoreStatus{Connected: true, Message: "all is well"}
	return &fake{view: *v}
}

func (f *fake) Subscribe() (<-chan struct{}, func()) { return nil, func() {} }
func (f *fake) View() *engine.View                   { v := f.view; return &v }

func (f *fake) SetPolicy(_ context.Context, p federation.Policy) (federation.Policy, error) {
	if f.err != nil {
		return p, f.err
	}
	f.order++
	p.Order, p.Revision = f.order, 100+f.order
	if old := published(&f.view, p.ID); old != nil {
		p.Order = old.Order
	}
	f.drop(p.ID)
	f.view.Policies = append(f.view.Policies, hold(p))
	return p, nil
}

func (f *fake) RemovePolicy(_ context.Context, id federation.PolicyID) error {
	if f.err != nil {
		return f.err
	}
	f.drop(id)
	return nil
}

func (f *fake) drop(id federation.PolicyID) {
	f.view.Policies = slices.DeleteFunc(slices.Clone(f.view.Policies), func(p engine.HeldPolicy) bool { return p.ID == id })
}

// rig is a controller on a namespace of its own.
type rig struct {
	*Controller
	t         *testing.T
	namespace string
	at        time.Time
}

func newRig(t *testing.T, e Engine) *rig {
	t.Helper()
	r := &rig{t: t, namespace: controllertest.Namespace(t, kube, "shop"), at: time.Now()}
	r.Controller = NewController(kube, events.NewFakeRecorder(100), e)
	r.now = func() time.Time { return r.at }
	return r
}

func (r *rig) create(name string, regions ...api.RegionName) {
	r.t.Helper()
	controllertest.Create(r.t, kube, &api.RoutingPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: name},
		Spec:       api.RoutingPolicySpec{TargetRefs: []api.LocalPolicyTargetReference{{Name: "checkout"}}, Regions: regions},
	})
}

func (r *rig) order(name string, regions ...api.RegionName) {
	r.t.Helper()
	p := r.get(name)
	p.Spec.Regions = regions
	if err := kube.Update(r.t.Context(), p); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) delete(name string) {
	r.t.Helper()
	controllertest.Delete(r.t, kube, &api.RoutingPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: name}})
}

// get returns nil if there is none.
func (r *rig) get(name string) *api.RoutingPolicy {
	r.t.Helper()
	p := &api.RoutingPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: name}}
	if !controllertest.Exists(r.t, kube, p) {
		return nil
	}
	return p
}

func (r *rig) reconcile(name string) ctrl.Result {
	r.t.Helper()
	result, err := r.Reconcile(r.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: r.namespace, Name: name}})
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

// inStore is the policy as the engine shows it, its regions joined.
func (r *rig) inStore(name string) string {
	v := r.engine.View()
	p := published(v, federation.PolicyID{Origin: v.Self, Namespace: r.namespace, Name: name})
	if p == nil {
		return ""
	}
	return fmt.Sprint(p.Regions)
}

func TestPolicyIsPublishedOnceWithItsPlace(t *testing.T) {
	f := newFake()
	r := newRig(t, f)
	r.create("order", "us-east", "us-west")
	r.want("order", api.ConditionAccepted, metav1.ConditionTrue, api.ReasonAccepted)
	r.want("order", api.ConditionPublished, metav1.ConditionTrue, api.ReasonPublished, "revision 101")
	if s := r.get("order").Status; s.Order != 1 || s.Revision != 101 || s.PublishedGeneration != 1 || f.order != 1 {
		t.Errorf("status %+v after %d writes", s, f.order)
	}
}

func TestRefusedOrderLeavesTheLastGoodOneInForce(t *testing.T) {
	r := newRig(t, newFake())
	r.create("order", "us-east")
	r.reconcile("order")
	r.order("order", "us-esat", "us-west")
	r.want("order", api.ConditionAccepted, metav1.ConditionFalse, api.ReasonUnknownRegion, `"us-esat"`, "known: eu-west, us-east, us-west")
	r.want("order", api.ConditionPublished, metav1.ConditionFalse, api.ReasonNotAccepted, "generation 1 stays in force")
	if got := r.inStore("order"); got != "[us-east]" {
		t.Errorf("in the store stands %s", got)
	}
	if s := r.get("order").Status; s.PublishedGeneration != 1 || s.ObservedGeneration != 2 {
		t.Errorf("status %+v", s)
	}
	r.order("order", "us-west")
	r.want("order", api.ConditionPublished, metav1.ConditionTrue, api.ReasonPublished)
	if got := r.inStore("order"); got != "[us-west]" {
		t.Errorf("after the correction the store holds %s", got)
	}
}

func TestNewPolicyWithAnUnknownRegionIsNotPublished(t *testing.T) {
	r := newRig(t, newFake())
	r.create("order", "nowhere")
	r.want("order", api.ConditionPublished, metav1.ConditionFalse, api.ReasonNotAccepted)
	if got := r.inStore("order"); got != "" {
		t.Errorf("in the store stands %s", got)
	}
}

func TestPolicyWhoseRegionLeftIsStillShownAsPublished(t *testing.T) {
	f := newFake()
	r := newRig(t, f)
	r.create("order", "us-west")
	r.reconcile("order")
	f.view.Members = slices.DeleteFunc(slices.Clone(f.view.Members), func(m engine.MemberView) bool { return m.Region == "us-west" })
	r.want("order", api.ConditionAccepted, metav1.ConditionFalse, api.ReasonUnknownRegion)
	r.want("order", api.ConditionPublished, metav1.ConditionTrue, api.ReasonPublished)
}

func TestLaterPolicyNamesTheWinnerAndTheSameOrderIsNoConflict(t *testing.T) {
	r := newRig(t, newFake())
	r.create("first", "us-east")
	r.create("second", "us-west")
	r.create("third", "us-east")
	r.reconcile("first")
	r.want("second", api.ConditionAccepted, metav1.ConditionFalse, api.ReasonConflict, `"checkout"`, "eu-west:"+r.namespace+"/first", "order 1")
	r.want("second", api.ConditionPublished, metav1.ConditionTrue, api.ReasonPublished)
	r.want("first", api.ConditionAccepted, metav1.ConditionTrue, api.ReasonAccepted)
	r.want("third", api.ConditionAccepted, metav1.ConditionTrue, api.ReasonAccepted)
}

func TestUndoAndPauseReachTheStore(t *testing.T) {
	r := newRig(t, newFake())
	r.create("order", "us-east")
	r.reconcile("order")
	annotate := func(key, value string) {
		t.Helper()
		p := r.get("order")
		p.Annotations = map[string]string{key: value}
		if err := kube.Update(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	inStore := func() federation.Policy {
		v := r.engine.View()
		return published(v, federation.PolicyID{Origin: v.Self, Namespace: r.namespace, Name: "order"}).Policy
	}
	annotate(api.AnnotationRolloutHold, "true")
	if r.reconcile("order"); !inStore().Hold {
		t.Error("a pause was not published")
	}
	annotate(api.AnnotationRolloutUndo, "1/9")
	r.want("order", api.ConditionAccepted, metav1.ConditionFalse, api.ReasonInvalid, "generation 9 is not in the history")
	if p := inStore(); p.Undo != 0 || !p.Hold {
		t.Errorf("what was refused reached the store: %+v", p)
	}
}

func TestMissingTargetIsAWarningOnly(t *testing.T) {
	r := newRig(t, newFake())
	r.create("order", "us-east")
	r.want("order", api.ConditionResolvedRefs, metav1.ConditionFalse, api.ReasonTargetNotFound, `"checkout"`, r.namespace)
	r.want("order", api.ConditionPublished, metav1.ConditionTrue, api.ReasonPublished)
	controllertest.Create(t, kube, &mcs.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: "checkout"},
		Spec:       mcs.ServiceImportSpec{Type: mcs.ClusterSetIP, Ports: []mcs.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}},
	})
	r.want("order", api.ConditionResolvedRefs, metav1.ConditionTrue, api.ReasonResolvedRefs)
}

func TestPolicyWaitsForAMeshFederation(t *testing.T) {
	f := newFake()
	f.view = engine.View{}
	r := newRig(t, f)
	r.create("order", "us-east")
	r.want("order", api.ConditionAccepted, metav1.ConditionUnknown, api.ReasonPending)
	r.want("order", api.ConditionPublished, metav1.ConditionFalse, api.ReasonNotConfigured)
	r.delete("order")
	r.reconcile("order")
	if r.get("order") != nil {
		t.Error("a policy that was never published cannot be deleted")
	}
}

func TestUnreachableStoreIsToldAndTriedAgain(t *testing.T) {
	f := newFake()
	r := newRig(t, f)
	r.create("order", "us-east")
	f.err, f.view.Store = errors.New("deadline exceeded"), engine.StoreStatus{Reason: "Unreachable", Message: "nobody answers at 10.0.0.1"}
	if got := r.reconcile("order"); got.RequeueAfter != retry {
		t.Errorf("it is not tried again: %+v", got)
	}
	r.want("order", api.ConditionPublished, metav1.ConditionFalse, api.ReasonStoreUnreachable, "nobody answers at 10.0.0.1", "tried again")
	r.want("order", api.ConditionAccepted, metav1.ConditionTrue, api.ReasonAccepted)
	f.err, f.view.Store = nil, engine.StoreStatus{Connected: true}
	r.want("order", api.ConditionPublished, metav1.ConditionTrue, api.ReasonPublished)
}

func TestStoreThatWasNotReadYetDecidesNothing(t *testing.T) {
	f := newFake()
	r := newRig(t, f)
	f.view.StoreSynced, f.view.Members = false, nil
	r.create("order", "us-east")
	r.want("order", api.ConditionAccepted, metav1.ConditionUnknown, api.ReasonPending, "regions")
	r.want("order", api.ConditionPublished, metav1.ConditionFalse, api.ReasonStoreUnreachable)
}

func TestErrorOfAStoreThatAnswersIsTheOneTold(t *testing.T) {
	f := newFake()
	r := newRig(t, f)
	r.create("order", "us-east")
	f.err = errors.New("this cluster is not registered yet")
	r.want("order", api.ConditionPublished, metav1.ConditionFalse, api.ReasonStoreUnreachable, "not registered yet")
}

func TestPolicyThatTheStoreRefusesIsInvalid(t *testing.T) {
	f := newFake()
	r := newRig(t, f)
	r.create("order", "us-east")
	f.err = fmt.Errorf("put_policy: %w", policystore.ErrTooLarge)
	r.want("order", api.ConditionAccepted, metav1.ConditionFalse, api.ReasonInvalid, "too large")
	r.want("order", api.ConditionPublished, metav1.ConditionFalse, api.ReasonNotAccepted)
}

func TestDeletedPolicyIsWithdrawnBeforeItGoes(t *testing.T) {
	r := newRig(t, newFake())
	r.create("order", "us-east")
	r.create("other", "us-east")
	r.reconcile("order")
	r.reconcile("other")
	r.delete("order")
	r.reconcile("order")
	if r.get("order") != nil || r.inStore("order") != "" || r.inStore("other") == "" {
		t.Errorf("object %v, in the store %q, the other one %q", r.get("order"), r.inStore("order"), r.inStore("other"))
	}
}

func TestDeletionWaitsForTheStoreOnlySoLongAndTheSweepFollows(t *testing.T) {
	f := newFake()
	r := newRig(t, f)
	r.create("order", "us-east")
	r.create("other", "us-east")
	r.reconcile("order")
	r.reconcile("other")
	f.err = errors.New("away")
	r.delete("order")
	r.at = r.get("order").DeletionTimestamp.Time
	if got := r.reconcile("order"); got.RequeueAfter != retry || r.get("order") == nil {
		t.Fatalf("let go at once: %+v", got)
	}
	r.at = r.at.Add(WithdrawWithin - time.Millisecond)
	r.reconcile("order")
	if r.get("order") == nil {
		t.Fatal("let go before the time")
	}
	r.at = r.at.Add(time.Millisecond)
	r.reconcile("order")
	if r.get("order") != nil {
		t.Fatal("still there after WithdrawWithin")
	}
	if r.reconcile("order").RequeueAfter != retry || r.inStore("order") == "" {
		t.Error("the sweep does not wait for the store")
	}
	f.err = nil
	for _, request := range r.all(t.Context()) { // what every look does
		if request.Namespace == r.namespace {
			r.reconcile(request.Name)
		}
	}
	if r.inStore("order") != "" || r.inStore("other") == "" {
		t.Errorf("after the sweep: %q and the other one %q", r.inStore("order"), r.inStore("other"))
	}
}

func TestNothingIsSweptBeforeTheStoreWasRead(t *testing.T) {
	f := newFake()
	r := newRig(t, f)
	if _, err := f.SetPolicy(t.Context(), federation.Policy{ID: federation.PolicyID{Origin: "eu-west", Namespace: r.namespace, Name: "order"}}); err != nil {
		t.Fatal(err)
	}
	f.view.StoreSynced = false
	r.reconcile("order")
	if len(f.view.Policies) != 1 {
		t.Error("a policy was removed on account of a store that was not read")
	}
}

func TestStoreAwayAndBackPublishesWhatWaited(t *testing.T) {
	store := controllertest.NewStore(t)
	e, _ := controllertest.NewEngine(t, 1)
	store.Join(e, "us-east")
	r := newRig(t, e)
	r.create("order", "us-east")
	r.want("order", api.ConditionPublished, metav1.ConditionTrue, api.ReasonPublished)
	controllertest.Await(t, "the policy to come back", func() bool { return r.inStore("order") == "[us-east]" })
	west := store.Member("us-west", "uid-west")
	controllertest.Await(t, "the other region", func() bool { return len(e.View().Members) == 2 })
	store.Stop()
	controllertest.Await(t, "the loss to be seen", func() bool { return !e.View().Store.Connected })
	r.order("order", "us-west", "us-east")
	r.want("order", api.ConditionPublished, metav1.ConditionFalse, api.ReasonStoreUnreachable, store.Endpoint())
	if got := r.inStore("order"); got != "[us-east]" {
		t.Errorf("with the store away %s is in force", got)
	}
	store.Start()
	controllertest.Await(t, "the new order to be in force", func() bool { r.reconcile("order"); return r.inStore("order") == "[us-west us-east]" })
	r.want("order", api.ConditionPublished, metav1.ConditionTrue, api.ReasonPublished)
	controllertest.Await(t, "us-west to hear of it", func() bool {
		p := west.State().Policies
		return len(p) == 1 && p[0].Order == 1 && slices.Equal(p[0].Regions, []federation.Region{"us-west", "us-east"})
	})
}

func TestPolicyOfTheClusterThatHoldsOurNameIsNotOurs(t *testing.T) {
	store := controllertest.NewStore(t)
	other := store.Member("us-east", "uid-of-another")
	r0 := newRig(t, newFake())
	_, err := other.PutPolicy(t.Context(), federation.Policy{
		ID: federation.PolicyID{Origin: "us-east", Namespace: r0.namespace, Name: "order"},
		PolicyVersion: federation.PolicyVersion{
			Generation: 1, Targets: []federation.ServiceName{{Namespace: r0.namespace, Name: "checkout"}},
			Rules: federation.Rules{Regions: []federation.Region{"us-east"}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	e, _ := controllertest.NewEngine(t, 1)
	store.Join(e, "us-east")
	r0.engine = e
	controllertest.Await(t, "the other one's policy", func() bool { return r0.inStore("order") != "" })
	r0.create("order", "us-east")
	r0.want("order", api.ConditionPublished, metav1.ConditionFalse, api.ReasonStoreUnreachable, "uid-of-another")
	if s := r0.get("order").Status; s.Order != 0 || s.PublishedGeneration != 0 {
		t.Errorf("the other cluster's policy is shown as ours: %+v", s)
	}
	r0.delete("order")
	r0.reconcile("order")
	if r0.get("order") != nil {
		t.Error("the deletion waits for a store that holds nothing of ours")
	}
	r0.reconcile("order") // the sweep
	if len(other.State().Policies) != 1 {
		t.Error("the other cluster's policy was removed")
	}
}
