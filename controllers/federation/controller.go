package federation

import (
	"cmp"
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/condition"
	"github.com/causeway-mesh/causeway/controllers/trigger"
	"github.com/causeway-mesh/causeway/federation/engine"
)

const (
	// WithdrawWithin bounds how long a deletion waits for the policy store, counted
	// from the deletion, or from the operator's start if that came later.
	WithdrawWithin = 30 * time.Second
	// retry is the pause while something outside is waited for.
	retry = time.Second
)

// Engine is what this controller asks of federation/engine.
type Engine interface {
	trigger.Signal
	View() *engine.View
	Configure(engine.Settings) error
	Unregister(context.Context) error
	Unconfigure()
}

// Controller keeps the one MeshFederation.
type Controller struct {
	client    client.Client
	reader    client.Reader // uncached: Secrets and cert-manager's objects are few
	events    events.EventRecorder
	engine    Engine
	namespace string
	elected   <-chan struct{}
	now       func() time.Time

	kept  kept  // Reconcile only
	leave leave // Reconcile only
}

// NewController returns a controller that Register starts. reader must not cache; elected
// closes when this replica becomes the leader.
func NewController(c client.Client, reader client.Reader, recorder events.EventRecorder, e Engine, namespace string, elected <-chan struct{}) *Controller {
	return &Controller{client: c, reader: reader, events: recorder, engine: e, namespace: namespace, elected: elected, now: time.Now}
}

// Name is the controller's name in logs and metrics.
func (c *Controller) Name() string { return "federation" }

// Register adds the controller to mgr.
func (c *Controller) Register(mgr ctrl.Manager) error {
	everywhere := false // standbys configure their engines too
	return ctrl.NewControllerManagedBy(mgr).Named(c.Name()).
		For(&api.MeshFederation{}).
		Watches(&corev1.Service{}, handler.EnqueueRequestsFromMapFunc(c.ofGateway)).
		WatchesRawSource(trigger.Source(trigger.Config{Signal: c.engine, Elected: c.elected, Requests: c.all})).
		WithOptions(controller.Options{NeedLeaderElection: &everywhere}).
		Complete(c)
}

// +kubebuilder:rbac:groups=federation.causeway.dev,resources=meshfederations,verbs=get;list;watch;update;patch
// +kubebuilder:rbac:groups=federation.causeway.dev,resources=meshfederations/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=federation.causeway.dev,resources=meshfederations/finalizers,verbs=update
// +kubebuilder:rbac:groups=cert-manager.io,resources=clusterissuers,verbs=get
// +kubebuilder:rbac:groups=cert-manager.io,namespace=causeway-system,resources=issuers,verbs=get
// +kubebuilder:rbac:groups=cert-manager.io,namespace=causeway-system,resources=certificates,verbs=get;create;update;patch
// +kubebuilder:rbac:groups="",namespace=causeway-system,resources=secrets,verbs=get
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=causeway-system,resources=leases,verbs=get;create;update;patch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch

// Reconcile brings the MeshFederation, the engine and the certificates together.
func (c *Controller) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var list api.MeshFederationList
	if err := c.client.List(ctx, &list); err != nil {
		return ctrl.Result{}, err
	}
	inForce := oldest(list.Items)
	if !trigger.Leading(c.elected) {
		return ctrl.Result{}, c.stand(ctx, inForce)
	}
	i := slices.IndexFunc(list.Items, func(f api.MeshFederation) bool { return f.Name == req.Name })
	if i < 0 {
		if inForce == nil {
			c.engine.Unconfigure()
		}
		return ctrl.Result{}, nil
	}
	f := list.Items[i].DeepCopy()
	if !f.DeletionTimestamp.IsZero() {
		return c.withdraw(ctx, f, inForce)
	}
	before := f.DeepCopy()
	if inForce.Name != f.Name {
		f.Status = api.MeshFederationStatus{ObservedGeneration: f.Generation, Conditions: f.Status.Conditions}
		condition.False(&f.Status.Conditions, api.ConditionReady, api.ReasonAlreadyFederated,
			"MeshFederation "+inForce.Name+" is in force in this cluster: delete one of the two", f.Generation)
		return ctrl.Result{}, c.patch(ctx, before, f)
	}
	if controllerutil.AddFinalizer(f, api.Finalizer) {
		if err := c.client.Patch(ctx, f, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err)
		}
		before = f.DeepCopy()
	}
	wait, err := c.join(ctx, f)
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: wait}, c.patch(ctx, before, f)
}

// join runs the steps in order; each writes its condition into f's status.
func (c *Controller) join(ctx context.Context, f *api.MeshFederation) (time.Duration, error) {
	f.Status.ObservedGeneration = f.Generation
	found, err := c.configure(ctx, f)
	if err != nil {
		return 0, err
	}
	view := c.engine.View()
	found.identity.write(f, api.ConditionIdentityReady)
	if found.store.reason == "" {
		found.store = storeFinding(view)
	}
	found.store.write(f, api.ConditionPolicyStoreReady)
	registeredFinding(view).write(f, api.ConditionRegistered)
	gossipFinding(view).write(f, api.ConditionGossipReady)
	addressed(gatewaysFinding(view), view, found.settings).write(f, api.ConditionGatewaysReady)
	c.members(f, view)
	ready := summary(f)
	if found.refused != nil {
		ready = finding{reason: api.ReasonInvalidSpec, message: found.refused.Error() + "; the previous settings stay in force"}
	}
	ready.write(f, api.ConditionReady)
	if !ready.ok {
		return retry, nil
	}
	return 0, nil
}

// findings are what the steps towards the engine's settings have to say.
type findings struct {
	identity, store finding
	settings        engine.Settings
	refused         error // the engine's word on the settings
}

// configure makes the engine's settings of the spec and the Secrets that it names.
func (c *Controller) configure(ctx context.Context, f *api.MeshFederation) (out findings, err error) {
	settings, err := c.settings(ctx, f)
	if err != nil {
		return out, err
	}
	if c.kept.of != f.UID {
		c.kept = kept{of: f.UID}
	}
	if out.identity, err = c.identity(ctx, f, &settings); err != nil {
		return out, err
	}
	if out.store, err = c.store(ctx, f, &settings); err != nil {
		return out, err
	}
	if err := c.exposed(ctx, &settings); err != nil {
		return out, err
	}
	out.settings, out.refused = settings, c.engine.Configure(settings)
	return out, nil
}

// leave remembers since when this process sees a MeshFederation leaving.
type leave struct {
	who   types.UID
	since time.Time
}

// withdraw takes back what was published, bounded, then lets the object go.
func (c *Controller) withdraw(ctx context.Context, f, inForce *api.MeshFederation) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(f, api.Finalizer) {
		return ctrl.Result{}, nil
	}
	if inForce != nil && inForce.Name == f.Name {
		if c.leave.who != f.UID {
			c.leave = leave{f.UID, c.now()}
		}
		if err := c.unregister(ctx, f); err != nil && c.now().Sub(c.leave.since) < WithdrawWithin {
			log.FromContext(ctx).Info("withdrawing from the federation, trying again", "error", err.Error())
			return ctrl.Result{RequeueAfter: retry}, nil
		}
		c.engine.Unconfigure()
	}
	before := f.DeepCopy()
	controllerutil.RemoveFinalizer(f, api.Finalizer)
	return ctrl.Result{}, client.IgnoreNotFound(c.client.Patch(ctx, f, client.MergeFrom(before)))
}

// unregister withdraws, and joins first if this process has not: the object was
// deleted while no operator ran.
func (c *Controller) unregister(ctx context.Context, f *api.MeshFederation) error {
	view := c.engine.View()
	if view.NameConflict != "" {
		return nil // nothing was ever published under this name by us
	}
	if !view.Configured {
		if _, err := c.configure(ctx, f); err != nil {
			return err
		}
	}
	return c.engine.Unregister(ctx)
}

func (c *Controller) patch(ctx context.Context, before, f *api.MeshFederation) error {
	if equality.Semantic.DeepEqual(before.Status, f.Status) {
		return nil
	}
	if err := c.client.Status().Patch(ctx, f, client.MergeFrom(before)); err != nil {
		return client.IgnoreNotFound(err)
	}
	condition.Events(c.events, f, before.Status.Conditions, f.Status.Conditions)
	return nil
}

// oldest is the one in force: first created, then by name. The finalizer, which
// only that one gets, settles it among several of one second; one that is on its
// way out counts until it is gone.
func oldest(items []api.MeshFederation) *api.MeshFederation {
	if len(items) == 0 {
		return nil
	}
	first := slices.MinFunc(items, func(a, b api.MeshFederation) int {
		return cmp.Or(holds(b)-holds(a), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return &first
}

func holds(f api.MeshFederation) int {
	if controllerutil.ContainsFinalizer(&f, api.Finalizer) {
		return 1
	}
	return 0
}

func (c *Controller) all(ctx context.Context) []reconcile.Request {
	var list api.MeshFederationList
	if err := c.client.List(ctx, &list); err != nil {
		return nil // the next look lists again
	}
	if len(list.Items) == 0 {
		// Also after a restart: what an earlier membership derived has to go.
		c.engine.Unconfigure()
	}
	var out []reconcile.Request
	for _, f := range list.Items {
		out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Name: f.Name}})
	}
	return out
}

// instance is the UID of kube-system: it tells clusters apart that share a name.
func (c *Controller) instance(ctx context.Context) (string, error) {
	var ns corev1.Namespace
	if err := c.client.Get(ctx, types.NamespacedName{Name: "kube-system"}, &ns); err != nil {
		return "", err
	}
	return string(ns.UID), nil
}
