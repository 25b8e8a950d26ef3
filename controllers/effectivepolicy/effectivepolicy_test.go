package effectivepolicy

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/controllertest"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
	"github.com/causeway-mesh/causeway/federation/rollout"
)

// kube is a client of a real API server; no controller runs but the one under test.
var kube client.Client

func TestPolicyThatItsRolloutHasNotBroughtHereIsNotReadyAndOverridesNothing(t *testing.T) {
	r := newRig(t)
	r.hold("first", 1, []string{"checkout"}, "us-west")
	r.hold("second", 2, []string{"checkout"}, "us-east")
	first := &r.fake.view.Policies[0]
	first.Holds, first.Why, first.Standing = false, rollout.Why{Message: "its wave has not come"}, rollout.Standing{Waves: 2, Wave: 1}
	r.look()
	controllertest.Want(t, r.get("us-east.first").Status.Conditions, api.ConditionReady, metav1.ConditionFalse, api.ReasonAwaitingRollout)
	controllertest.Want(t, r.get("us-east.second").Status.Conditions, api.ConditionReady, metav1.ConditionTrue, api.ReasonInForce)
	if s := r.get("us-east.first").Status; s.Why != "its wave has not come" || s.Rollout == nil || s.Rollout.Waves != 2 {
		t.Errorf("%+v", s)
	}
}

func TestMain(m *testing.M) { os.Exit(controllertest.Run(m, &kube)) }

type fake struct{ view engine.View }

func (f *fake) Subscribe() (<-chan struct{}, func()) { return nil, func() {} }
func (f *fake) View() *engine.View                   { v := f.view; return &v }

// rig is a controller on a namespace of its own.
type rig struct {
	*Controller
	t         *testing.T
	fake      *fake
	namespace string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, fake: &fake{view: engine.View{Configured: true, StoreSynced: true, Self: "eu-west"}}, namespace: controllertest.Namespace(t, kube, "shop")}
	r.Controller = NewController(kube, r.fake)
	return r
}

// hold makes the store hold a policy of us-east; the lowest order comes first.
func (r *rig) hold(name string, order uint64, targets []string, regions ...federation.Region) federation.Policy {
	p := federation.Policy{
		ID:    federation.PolicyID{Origin: "us-east", Namespace: r.namespace, Name: name},
		Order: order, Revision: 100 + order, Observed: 3,
		PolicyVersion: federation.PolicyVersion{Generation: 3, Rules: federation.Rules{Regions: regions}},
	}
	for _, target := range targets {
		p.Targets = append(p.Targets, federation.ServiceName{Namespace: r.namespace, Name: target})
	}
	r.drop(name)
	r.fake.view.Policies = append(r.fake.view.Policies, engine.HeldPolicy{Policy: p, Version: p.PolicyVersion, Holds: true})
	slices.SortFunc(r.fake.view.Policies, func(a, b engine.HeldPolicy) int { return int(a.Order) - int(b.Order) })
	return p
}

func (r *rig) drop(name string) {
	r.fake.view.Policies = slices.DeleteFunc(slices.Clone(r.fake.view.Policies), func(p engine.HeldPolicy) bool { return p.ID.Name == name })
}

// get returns nil if there is none.
func (r *rig) get(name string) *api.EffectivePolicy {
	r.t.Helper()
	p := &api.EffectivePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: name}}
	if !controllertest.Exists(r.t, kube, p) {
		return nil
	}
	return p
}

// look does what every look does: all objects and all policies.
func (r *rig) look() {
	r.t.Helper()
	for _, request := range r.all(r.t.Context()) {
		if request.Namespace == r.namespace {
			r.reconcile(request.Namespace, request.Name)
		}
	}
}

func (r *rig) reconcile(namespace, name string) {
	r.t.Helper()
	if _, err := r.Reconcile(r.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: namespace, Name: name}}); err != nil {
		r.t.Fatal(err)
	}
}

func TestPolicyOfAnotherClusterIsShown(t *testing.T) {
	r := newRig(t)
	r.hold("order", 7, []string{"checkout", "cart"}, "us-east", "us-west")
	r.look()
	got := r.get("us-east.order")
	if got == nil {
		t.Fatal("it is not shown")
	}
	want := api.EffectivePolicySpec{
		Origin: "us-east", PolicyName: "order", Generation: 3, NewestGeneration: 3, Order: 7, Revision: 107,
		Targets: []string{"checkout", "cart"}, Regions: []string{"us-east", "us-west"}, OnPartition: "Demote",
	}
	if diff := cmp.Diff(want, got.Spec); diff != "" {
		t.Error(diff)
	}
	if got.Labels[api.LabelManagedBy] != api.ManagedBy || got.Labels[api.LabelOrigin] != "us-east" {
		t.Errorf("labels %v", got.Labels)
	}
	controllertest.Want(t, got.Status.Conditions, api.ConditionReady, metav1.ConditionTrue, api.ReasonInForce)
}

func TestProjectionFollowsThePolicyAndGoesWithIt(t *testing.T) {
	r := newRig(t)
	r.hold("order", 7, []string{"checkout"}, "us-east")
	r.look()
	r.hold("order", 7, []string{"checkout"}, "us-west")
	r.look()
	if got := r.get("us-east.order"); got == nil || !slices.Equal(got.Spec.Regions, []string{"us-west"}) {
		t.Fatalf("after the change: %+v", got)
	}
	r.drop("order")
	r.look()
	if r.get("us-east.order") != nil {
		t.Error("it outlives the policy")
	}
}

func TestNothingGoesBeforeTheStoreWasRead(t *testing.T) {
	r := newRig(t)
	r.hold("order", 7, []string{"checkout"}, "us-east")
	r.look()
	r.drop("order")
	r.fake.view.StoreSynced = false
	r.look()
	if r.get("us-east.order") == nil {
		t.Error("it was deleted on account of a store that was not read")
	}
}

func TestHandEditsArePutBack(t *testing.T) {
	r := newRig(t)
	r.hold("order", 7, []string{"checkout"}, "us-east")
	r.look()
	edited := r.get("us-east.order")
	edited.Spec.Regions, edited.Spec.Origin, edited.Labels = []string{"eu-west"}, "eu-west", map[string]string{"mine": "yes"}
	if err := kube.Update(t.Context(), edited); err != nil {
		t.Fatal(err)
	}
	r.look()
	got := r.get("us-east.order")
	if !slices.Equal(got.Spec.Regions, []string{"us-east"}) || got.Spec.Origin != "us-east" || got.Labels[api.LabelManagedBy] != api.ManagedBy {
		t.Errorf("the edit stays: %+v %v", got.Spec, got.Labels)
	}
	if got.Labels["mine"] != "yes" {
		t.Errorf("a label that says nothing of ours is gone: %v", got.Labels)
	}
}

func TestDeletedProjectionComesBackAndAMadeUpOneGoes(t *testing.T) {
	r := newRig(t)
	r.hold("order", 7, []string{"checkout"}, "us-east")
	r.look()
	controllertest.Delete(t, kube, r.get("us-east.order"))
	controllertest.Create(t, kube, &api.EffectivePolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: "us-east.madeup"},
		Spec:       api.EffectivePolicySpec{Origin: "us-east", PolicyName: "madeup", Targets: []string{}, Regions: []string{}},
	})
	r.look()
	if r.get("us-east.order") == nil || r.get("us-east.madeup") != nil {
		t.Errorf("the real one: %v, the made-up one: %v", r.get("us-east.order"), r.get("us-east.madeup"))
	}
}

func TestOverriddenPolicyNamesTheWinnerAndWhatItLost(t *testing.T) {
	r := newRig(t)
	r.hold("first", 1, []string{"checkout"}, "us-east")
	r.hold("second", 2, []string{"checkout", "cart"}, "us-west")
	r.hold("third", 3, []string{"checkout"}, "us-east") // the same order is no conflict
	r.look()
	second := r.get("us-east.second")
	controllertest.Want(t, second.Status.Conditions, api.ConditionReady, metav1.ConditionFalse, api.ReasonOverridden, "us-east.first", "checkout")
	if second.Status.OverriddenBy != "us-east.first" {
		t.Errorf("overridden by %q", second.Status.OverriddenBy)
	}
	if m := second.Status.Conditions[0].Message; strings.Contains(m, "cart") {
		t.Errorf("it lost a target that nobody else has: %s", m)
	}
	for _, name := range []string{"us-east.first", "us-east.third"} {
		controllertest.Want(t, r.get(name).Status.Conditions, api.ConditionReady, metav1.ConditionTrue, api.ReasonInForce)
	}
	r.drop("first")
	r.drop("third")
	r.look()
	second = r.get("us-east.second")
	controllertest.Want(t, second.Status.Conditions, api.ConditionReady, metav1.ConditionTrue, api.ReasonInForce)
	if second.Status.OverriddenBy != "" {
		t.Errorf("still overridden by %q", second.Status.OverriddenBy)
	}
}

func TestNoNamespaceIsMadeForAPolicy(t *testing.T) {
	r := newRig(t)
	p := r.hold("order", 7, []string{"checkout"}, "us-east")
	r.fake.view.Policies[0].ID.Namespace = "nowhere"
	p.ID.Namespace = "nowhere"
	r.reconcile("nowhere", NameOf(p.ID))
	if controllertest.Exists(t, kube, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "nowhere"}}) {
		t.Error("the namespace was made")
	}
}

func TestNameThatWouldBeTooLongIsCutAndStaysItsOwn(t *testing.T) {
	id := func(last string) federation.PolicyID {
		return federation.PolicyID{Origin: "us-east", Namespace: "shop", Name: strings.Repeat("x", 252) + last}
	}
	a, b := NameOf(id("a")), NameOf(id("b"))
	if len(a) > 253 || a == b || a != NameOf(id("a")) {
		t.Errorf("%d bytes, %q and %q", len(a), a, b)
	}
}

func TestPolicyTravelsFromOneClusterToTheOther(t *testing.T) {
	store := controllertest.NewStore(t)
	e, _ := controllertest.NewEngine(t, 1)
	store.Join(e, "eu-west")
	east := store.Member("us-east", "uid-east")
	r := newRig(t)
	r.engine = e
	p, err := east.PutPolicy(t.Context(), r.hold("order", 0, []string{"checkout"}, "us-east"))
	if err != nil {
		t.Fatal(err)
	}
	controllertest.Await(t, "the projection", func() bool { r.look(); return r.get("us-east.order") != nil })
	if got := r.get("us-east.order").Spec; got.Order != int64(p.Order) || got.Revision != int64(p.Revision) || p.Order == 0 {
		t.Errorf("shown %+v, published %+v", got, p)
	}
	store.Stop()
	controllertest.Await(t, "the loss to be seen", func() bool { return !e.View().Store.Connected })
	r.look()
	if r.get("us-east.order") == nil {
		t.Error("it does not outlive an outage of the store")
	}
	store.Start()
	controllertest.Await(t, "the store to take a change again", func() bool { return east.DeletePolicy(t.Context(), p.ID) == nil })
	controllertest.Await(t, "the projection to go", func() bool { r.look(); return r.get("us-east.order") == nil })
}
