// Package policy publishes RoutingPolicies to the federation.
//
// It owns the status of RoutingPolicy and its finalizer. What a policy does to
// routing is federation/routing's; how it looks in other clusters is
// controllers/effectivepolicy's.
//
// Reconcile is called by controller-runtime's workers, on the leader only.
//
// Invariants:
//  1. A spec that is not accepted never replaces the published one.
//  2. status.publishedGeneration is the generation in force, whatever the spec says.
//  3. A policy is removed from the store before its object goes, unless the store
//     does not answer for WithdrawWithin; the sweep removes it later then.
package policy

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/condition"
	"github.com/causeway-mesh/causeway/controllers/trigger"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
)

const (
	// WithdrawWithin bounds how long a deletion waits for the policy store.
	WithdrawWithin = time.Minute
	// retry is the pause after the store did not take a policy.
	retry = 2 * time.Second
)

// Engine is what this controller asks of federation/engine.
type Engine interface {
	trigger.Signal
	View() *engine.View
	SetPolicy(context.Context, federation.Policy) (federation.Policy, error)
	RemovePolicy(context.Context, federation.PolicyID) error
}

// Controller publishes RoutingPolicies.
type Controller struct {
	client client.Client
	events events.EventRecorder
	engine Engine
	now    func() time.Time
}

// NewController returns a controller that Register starts.
func NewController(c client.Client, recorder events.EventRecorder, e Engine) *Controller {
	return &Controller{client: c, events: recorder, engine: e, now: time.Now}
}

// Name is the controller's name in logs and metrics.
func (c *Controller) Name() string { return "policy" }

// Register adds the controller to mgr.
func (c *Controller) Register(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named(c.Name()).
		For(&api.RoutingPolicy{}).
		Watches(&mcs.ServiceImport{}, handler.EnqueueRequestsFromMapFunc(c.targeting)).
		WatchesRawSource(trigger.Source(trigger.Config{Signal: c.engine, Requests: c.all})).
		Complete(c)
}

// +kubebuilder:rbac:groups=federation.causeway.dev,resources=routingpolicies,verbs=get;list;watch;update;patch
// +kubebuilder:rbac:groups=federation.causeway.dev,resources=routingpolicies/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=federation.causeway.dev,resources=routingpolicies/finalizers,verbs=update

// Reconcile brings one policy and the store together.
func (c *Controller) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	view := c.engine.View()
	var policy api.RoutingPolicy
	if err := c.client.Get(ctx, req.NamespacedName, &policy); err != nil {
		if apierrors.IsNotFound(err) {
			return c.sweep(ctx, view, req.NamespacedName)
		}
		return ctrl.Result{}, err
	}
	if !policy.DeletionTimestamp.IsZero() {
		return c.withdraw(ctx, view, &policy)
	}
	// Outside a federation there is nothing to withdraw, and nobody to take it off.
	if view.Configured && !controllerutil.ContainsFinalizer(&policy, api.Finalizer) {
		before := policy.DeepCopy()
		controllerutil.AddFinalizer(&policy, api.Finalizer)
		if err := c.client.Patch(ctx, &policy, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err)
		}
	}
	before := policy.DeepCopy()
	result, err := c.publish(ctx, view, &policy)
	if err != nil {
		return ctrl.Result{}, err
	}
	if equality.Semantic.DeepEqual(before.Status, policy.Status) {
		return result, nil
	}
	if err := c.client.Status().Patch(ctx, &policy, client.MergeFrom(before)); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	condition.Events(c.events, &policy, before.Status.Conditions, policy.Status.Conditions)
	return result, nil
}

// withdraw takes a deleted policy out of force, then lets its object go.
func (c *Controller) withdraw(ctx context.Context, view *engine.View, policy *api.RoutingPolicy) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(policy, api.Finalizer) {
		return ctrl.Result{}, nil
	}
	published := policy.Status.Order != 0 || published(view, idOf(view, client.ObjectKeyFromObject(policy))) != nil
	// Under a name that another cluster holds nothing is ours.
	if view.Configured && view.NameConflict == "" && published {
		err := c.engine.RemovePolicy(ctx, idOf(view, client.ObjectKeyFromObject(policy)))
		if err != nil && c.now().Sub(policy.DeletionTimestamp.Time) < WithdrawWithin {
			return ctrl.Result{RequeueAfter: retry}, nil
		}
	}
	before := policy.DeepCopy()
	controllerutil.RemoveFinalizer(policy, api.Finalizer)
	return ctrl.Result{}, client.IgnoreNotFound(c.client.Patch(ctx, policy, client.MergeFrom(before)))
}

// sweep removes what the store holds of a policy whose object has gone.
func (c *Controller) sweep(ctx context.Context, view *engine.View, key types.NamespacedName) (ctrl.Result, error) {
	id := idOf(view, key)
	if !view.StoreSynced || view.NameConflict != "" || published(view, id) == nil {
		return ctrl.Result{}, nil
	}
	if err := c.engine.RemovePolicy(ctx, id); err != nil {
		return ctrl.Result{RequeueAfter: retry}, nil //nolint:nilerr // the store is away; the next look tries again
	}
	return ctrl.Result{}, nil
}

// all lists the policies here and those that the store holds of this cluster.
func (c *Controller) all(ctx context.Context) []reconcile.Request {
	var list api.RoutingPolicyList
	if err := c.client.List(ctx, &list); err != nil {
		return nil // the next look lists again
	}
	var out []reconcile.Request
	for i := range list.Items {
		out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	view := c.engine.View()
	for _, p := range view.Policies {
		if p.ID.Origin == view.Self {
			out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: p.ID.Namespace, Name: p.ID.Name}})
		}
	}
	return out
}

// targeting lists the policies that name an import.
func (c *Controller) targeting(ctx context.Context, o client.Object) []reconcile.Request {
	var list api.RoutingPolicyList
	if err := c.client.List(ctx, &list, client.InNamespace(o.GetNamespace())); err != nil {
		return nil
	}
	var out []reconcile.Request
	for i := range list.Items {
		for _, ref := range list.Items[i].Spec.TargetRefs {
			if ref.Name == o.GetName() {
				out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
			}
		}
	}
	return out
}
