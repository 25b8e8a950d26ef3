// Package effectivepolicy shows in this cluster what policies the federation holds.
//
// It owns every EffectivePolicy object. What they say is the policy store's; who
// wins is routing's rule, which this package repeats for the condition only.
//
// Reconcile is called by controller-runtime's workers, on the leader only.
//
// Invariants:
//  1. An edit by anybody else is put back.
//  2. Nothing is deleted before the store has been read in full (StoreSynced).
//  3. No namespace is created.
package effectivepolicy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	corev1 "k8s.io/api/core/v1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/condition"
	"github.com/causeway-mesh/causeway/controllers/standing"
	"github.com/causeway-mesh/causeway/controllers/trigger"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
)

// Engine is what this controller asks of federation/engine.
type Engine interface {
	trigger.Signal
	View() *engine.View
}

// Controller projects policies.
type Controller struct {
	client client.Client
	engine Engine
}

// NewController returns a controller that Register starts.
func NewController(c client.Client, e Engine) *Controller {
	return &Controller{client: c, engine: e}
}

// Name is the controller's name in logs and metrics.
func (c *Controller) Name() string { return "effectivepolicy" }

// Register adds the controller to mgr.
func (c *Controller) Register(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named(c.Name()).
		For(&api.EffectivePolicy{}).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(c.inNamespace)).
		WatchesRawSource(trigger.Source(trigger.Config{Signal: c.engine, Requests: c.all})).
		Complete(c)
}

// +kubebuilder:rbac:groups=federation.causeway.dev,resources=effectivepolicies,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups=federation.causeway.dev,resources=effectivepolicies/status,verbs=get;update;patch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch

// Reconcile makes one object say what the store says.
func (c *Controller) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	view := c.engine.View()
	policy := find(view, req.NamespacedName)
	var have api.EffectivePolicy
	err := c.client.Get(ctx, req.NamespacedName, &have)
	if err != nil && !apierrors.IsNotFound(err) {
		return ctrl.Result{}, err
	}
	exists := err == nil
	switch {
	case policy == nil && exists && view.StoreSynced:
		return ctrl.Result{}, client.IgnoreNotFound(c.client.Delete(ctx, &have))
	case policy == nil:
		return ctrl.Result{}, nil
	case !exists:
		return c.create(ctx, view, *policy)
	default:
		return ctrl.Result{}, c.update(ctx, view, *policy, &have)
	}
}

func (c *Controller) create(ctx context.Context, view *engine.View, p engine.HeldPolicy) (ctrl.Result, error) {
	var ns corev1.Namespace
	if err := c.client.Get(ctx, types.NamespacedName{Name: p.ID.Namespace}, &ns); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err) // not here: nothing to show
	}
	if !ns.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	fresh := &api.EffectivePolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.ID.Namespace, Name: NameOf(p.ID), Labels: labels(p)},
		Spec:       specOf(p),
	}
	if err := c.client.Create(ctx, fresh); err != nil {
		return ctrl.Result{}, client.IgnoreAlreadyExists(err)
	}
	return ctrl.Result{}, c.status(ctx, view, p, fresh)
}

func (c *Controller) update(ctx context.Context, view *engine.View, p engine.HeldPolicy, have *api.EffectivePolicy) error {
	before := have.DeepCopy()
	have.Spec = specOf(p)
	if have.Labels == nil {
		have.Labels = map[string]string{}
	}
	for key, value := range labels(p) {
		have.Labels[key] = value
	}
	if !equality.Semantic.DeepEqual(before, have) {
		if err := c.client.Patch(ctx, have, client.MergeFrom(before)); err != nil {
			return client.IgnoreNotFound(err)
		}
	}
	return c.status(ctx, view, p, have)
}

func (c *Controller) status(ctx context.Context, view *engine.View, p engine.HeldPolicy, have *api.EffectivePolicy) error {
	before := have.DeepCopy()
	winner, lost := overridden(view, p)
	have.Status.OverriddenBy, have.Status.Why = winner, p.Why.Message
	have.Status.Rollout = standing.Status(p.Standing)
	switch {
	case !p.Holds:
		condition.False(&have.Status.Conditions, api.ConditionReady, api.ReasonAwaitingRollout, p.Why.Message, have.Generation)
	case winner == "":
		condition.True(&have.Status.Conditions, api.ConditionReady, api.ReasonInForce, "routing follows this policy for all its targets", have.Generation)
	default:
		condition.False(&have.Status.Conditions, api.ConditionReady, api.ReasonOverridden,
			fmt.Sprintf("the older policy %s holds %s", winner, strings.Join(lost, ", ")), have.Generation)
	}
	if equality.Semantic.DeepEqual(before.Status, have.Status) {
		return nil
	}
	return client.IgnoreNotFound(c.client.Status().Patch(ctx, have, client.MergeFrom(before)))
}

func labels(p engine.HeldPolicy) map[string]string {
	return map[string]string{api.LabelManagedBy: api.ManagedBy, api.LabelOrigin: string(p.ID.Origin)}
}

// specOf shows what holds here; of a policy that does not hold yet, what is awaited.
func specOf(p engine.HeldPolicy) api.EffectivePolicySpec {
	v := p.Version
	if !p.Holds {
		v = p.PolicyVersion
	}
	spec := api.EffectivePolicySpec{
		Origin: string(p.ID.Origin), PolicyName: p.ID.Name,
		Generation: v.Generation, NewestGeneration: p.Observed, Order: int64(p.Order), Revision: int64(p.Revision),
		Targets: []string{}, Regions: []string{}, OnPartition: string(v.OnPartition.Or()),
	}
	if v.MaxRecordAge > 0 {
		spec.MaxRecordAge = &metav1.Duration{Duration: v.MaxRecordAge}
	}
	for _, target := range v.Targets {
		spec.Targets = append(spec.Targets, target.Name)
	}
	for _, region := range v.Regions {
		spec.Regions = append(spec.Regions, string(region))
	}
	return spec
}

// NameOf is the name of a policy's projection, "<origin>.<name>"; one that would be
// longer than the API admits is cut and closed with a hash.
func NameOf(id federation.PolicyID) string {
	const limit = 253
	name := string(id.Origin) + "." + id.Name
	if len(name) <= limit {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return strings.TrimRight(name[:limit-11], ".-") + "-" + hex.EncodeToString(sum[:5])
}

func find(view *engine.View, key types.NamespacedName) *engine.HeldPolicy {
	for i := range view.Policies {
		if id := view.Policies[i].ID; id.Namespace == key.Namespace && NameOf(id) == key.Name {
			return &view.Policies[i]
		}
	}
	return nil
}

// overridden names the oldest policy that holds one of p's targets with other rules,
// and those targets.
func overridden(view *engine.View, p engine.HeldPolicy) (winner string, lost []string) {
	if !p.Holds {
		return "", nil
	}
	inForce := view.InForce()
	for _, target := range p.Version.Targets {
		for _, other := range inForce { // the lowest order comes first
			if !slices.Contains(other.Targets, target) {
				continue
			}
			if other.ID != p.ID && other.Order < p.Order && !other.SameRules(p.Version.Rules) {
				if winner == "" {
					winner = NameOf(other.ID)
				}
				lost = append(lost, target.Name)
			}
			break
		}
	}
	return winner, lost
}

func (c *Controller) all(ctx context.Context) []reconcile.Request {
	var list api.EffectivePolicyList
	if err := c.client.List(ctx, &list); err != nil {
		return nil // the next look lists again
	}
	var out []reconcile.Request
	for i := range list.Items {
		out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	for _, p := range c.engine.View().Policies {
		out = append(out, request(p))
	}
	return out
}

func (c *Controller) inNamespace(_ context.Context, ns client.Object) []reconcile.Request {
	var out []reconcile.Request
	for _, p := range c.engine.View().Policies {
		if p.ID.Namespace == ns.GetName() {
			out = append(out, request(p))
		}
	}
	return out
}

func request(p engine.HeldPolicy) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: p.ID.Namespace, Name: NameOf(p.ID)}}
}
