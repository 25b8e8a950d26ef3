// Package export publishes ServiceExports to the federation, with the counts of
// their endpoints.
//
// It owns the status of ServiceExport and its finalizer. It leaves to the engine
// what travels how, and to controllers/serviceimport what consumers see.
//
// Reconcile is called by controller-runtime's workers, on every replica: standbys
// keep their endpoints up to date and write nothing.
//
// Invariants:
//  1. Only TCP ports are published; the others are named in a condition.
//  2. An endpoint is ready only if its slice says ready and not terminating.
//  3. The lowest Order decides a conflict; the loser names the winner's cluster.
//  4. An annotation that cannot be read changes nothing but the status.
package export

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
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
	// retry is the pause after the store did not take an export.
	retry = 2 * time.Second
)

// Engine is what this controller asks of federation/engine.
type Engine interface {
	trigger.Signal
	View() *engine.View
	SetExport(context.Context, federation.Export) (federation.Export, error)
	RemoveExport(context.Context, federation.ServiceName) error
	SetEndpoints(federation.ServiceName, map[uint16]engine.PortEndpoints)
	RemoveEndpoints(federation.ServiceName)
}

// Controller publishes ServiceExports.
type Controller struct {
	client  client.Client
	events  events.EventRecorder
	engine  Engine
	elected <-chan struct{}
	now     func() time.Time
	stated  statements
}

// NewController returns a controller that Register starts; elected closes when
// this replica becomes the leader.
func NewController(c client.Client, recorder events.EventRecorder, e Engine, elected <-chan struct{}) *Controller {
	return &Controller{client: c, events: recorder, engine: e, elected: elected, now: time.Now}
}

// Name is the controller's name in logs and metrics.
func (c *Controller) Name() string { return "export" }

// Register adds the controller to mgr.
func (c *Controller) Register(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named(c.Name()).
		For(&mcs.ServiceExport{}).
		Watches(&corev1.Service{}, &handler.EnqueueRequestForObject{}).
		Watches(&discoveryv1.EndpointSlice{}, handler.EnqueueRequestsFromMapFunc(serviceOf)).
		WatchesRawSource(trigger.Source(trigger.Config{Signal: c.engine, Elected: c.elected, Requests: c.all})).
		WithOptions(options()).
		Complete(c)
}

// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceexports,verbs=get;list;watch;update;patch
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceexports/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceexports/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=services,verbs=get;list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io;"",resources=events,verbs=create;patch;update

// Reconcile brings one export, its endpoints and the store together.
func (c *Controller) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	name := federation.ServiceName{Namespace: req.Namespace, Name: req.Name}
	var export mcs.ServiceExport
	if err := c.client.Get(ctx, req.NamespacedName, &export); err != nil {
		if apierrors.IsNotFound(err) {
			c.stated.forget(name)
			c.engine.RemoveEndpoints(name)
			return c.sweep(ctx, name)
		}
		return ctrl.Result{}, err
	}
	if !export.DeletionTimestamp.IsZero() {
		return c.withdraw(ctx, name, &export)
	}
	service, err := c.service(ctx, req.NamespacedName)
	if err != nil {
		return ctrl.Result{}, err
	}
	one, faults := c.stated.read(name, export.Annotations)
	if err := c.endpoints(ctx, name, service, one); err != nil {
		return ctrl.Result{}, err
	}
	if !trigger.Leading(c.elected) {
		return ctrl.Result{}, nil
	}
	return c.lead(ctx, name, &export, service, faults)
}

// lead does what only the leader may: write.
func (c *Controller) lead(ctx context.Context, name federation.ServiceName, export *mcs.ServiceExport, service *corev1.Service, faults []string) (ctrl.Result, error) {
	// Outside a federation there is nothing to withdraw, and nobody to take it off.
	if c.engine.View().Configured && !controllerutil.ContainsFinalizer(export, api.Finalizer) {
		before := export.DeepCopy()
		controllerutil.AddFinalizer(export, api.Finalizer)
		if err := c.client.Patch(ctx, export, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err)
		}
	}
	before := export.DeepCopy()
	tellCapacity(export, faults)
	result := c.publish(ctx, name, export, service)
	if equality.Semantic.DeepEqual(before.Status, export.Status) {
		return result, nil
	}
	if err := c.client.Status().Patch(ctx, export, client.MergeFrom(before)); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	condition.Events(c.events, export, before.Status.Conditions, export.Status.Conditions)
	return result, nil
}

// withdraw takes a deleted export back, then lets its object go.
func (c *Controller) withdraw(ctx context.Context, name federation.ServiceName, export *mcs.ServiceExport) (ctrl.Result, error) {
	c.engine.RemoveEndpoints(name)
	if !trigger.Leading(c.elected) || !controllerutil.ContainsFinalizer(export, api.Finalizer) {
		return ctrl.Result{}, nil
	}
	// Under a name that another cluster holds nothing is ours.
	if view := c.engine.View(); view.Configured && view.NameConflict == "" {
		err := c.engine.RemoveExport(ctx, name)
		if err != nil && c.now().Sub(export.DeletionTimestamp.Time) < WithdrawWithin {
			return ctrl.Result{RequeueAfter: retry}, nil
		}
	}
	before := export.DeepCopy()
	controllerutil.RemoveFinalizer(export, api.Finalizer)
	return ctrl.Result{}, client.IgnoreNotFound(c.client.Patch(ctx, export, client.MergeFrom(before)))
}

// sweep removes what the store holds of an export whose object has gone.
func (c *Controller) sweep(ctx context.Context, name federation.ServiceName) (ctrl.Result, error) {
	view := c.engine.View()
	if !trigger.Leading(c.elected) || !view.StoreSynced || own(view, name) == nil {
		return ctrl.Result{}, nil
	}
	if err := c.engine.RemoveExport(ctx, name); err != nil {
		return ctrl.Result{RequeueAfter: retry}, nil //nolint:nilerr // the store is away; the next look tries again
	}
	return ctrl.Result{}, nil
}

// service returns nil if there is none.
func (c *Controller) service(ctx context.Context, key types.NamespacedName) (*corev1.Service, error) {
	var service corev1.Service
	if err := c.client.Get(ctx, key, &service); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return &service, nil
}

// all lists the exports here and those that the store holds of this cluster.
func (c *Controller) all(ctx context.Context) []reconcile.Request {
	var list mcs.ServiceExportList
	if err := c.client.List(ctx, &list); err != nil {
		return nil // the next look lists again
	}
	var out []reconcile.Request
	for i := range list.Items {
		out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	view := c.engine.View()
	for name := range view.Exports {
		if own(view, name) != nil {
			out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: name.Namespace, Name: name.Name}})
		}
	}
	return out
}

func serviceOf(_ context.Context, slice client.Object) []reconcile.Request {
	name := slice.GetLabels()[discoveryv1.LabelServiceName]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: slice.GetNamespace(), Name: name}}}
}

// own is what the store holds of this cluster's export of a service.
func own(view *engine.View, name federation.ServiceName) *federation.Export {
	if view.NameConflict != "" {
		return nil // they are another cluster's
	}
	exports := view.Exports[name]
	for i := range exports {
		if exports[i].Cluster == view.Self {
			return &exports[i]
		}
	}
	return nil
}
