package serviceimport

import (
	"context"
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/condition"
	"github.com/causeway-mesh/causeway/controllers/trigger"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
)

// Engine is what this controller asks of federation/engine.
type Engine interface {
	trigger.Signal
	View() *engine.View
	SetEgressPorts(map[federation.ServicePort]engine.EgressPort)
}

// Controller makes imports.
type Controller struct {
	client  client.Client
	events  events.EventRecorder
	engine  Engine
	elected <-chan struct{}
	now     func() time.Time

	ports *allotment
	seen  sightings

	mu     sync.Mutex // guards what follows
	seeded bool       // the annotations of all imports have been read
	told   map[types.UID]bool
	asked  map[types.UID]string // resource version at which another port was asked for

	telling sync.Mutex // held while the engine is told: an older allotment must not overtake a newer one
}

// NewController returns a controller that Register starts; elected closes when
// this replica becomes the leader.
func NewController(c client.Client, recorder events.EventRecorder, e Engine, elected <-chan struct{}) *Controller {
	return &Controller{
		client: c, events: recorder, engine: e, elected: elected, now: time.Now,
		ports: newAllotment(), told: map[types.UID]bool{}, asked: map[types.UID]string{},
	}
}

// Name is the controller's name in logs and metrics.
func (c *Controller) Name() string { return "serviceimport" }

// Register adds the controller to mgr.
func (c *Controller) Register(mgr ctrl.Manager) error {
	everywhere := false
	return ctrl.NewControllerManagedBy(mgr).Named(c.Name()).
		For(&mcs.ServiceImport{}).
		Owns(&corev1.Service{}).
		Owns(&discoveryv1.EndpointSlice{}).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(c.inNamespace)).
		WatchesRawSource(trigger.Source(trigger.Config{
			// Short: a draining gateway should lose its new clients soon.
			Signal: c.engine, Elected: c.elected, Debounce: 50 * time.Millisecond, Requests: c.all,
		})).
		WithOptions(controller.Options{NeedLeaderElection: &everywhere, MaxConcurrentReconciles: 4}).
		Complete(c)
}

// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceimports,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceimports/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceimports/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=services,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices/restricted,verbs=create
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch

// Reconcile makes one import what the federation's exports say.
func (c *Controller) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	if err := c.seed(ctx); err != nil {
		return ctrl.Result{}, err
	}
	var found mcs.ServiceImport
	err := c.client.Get(ctx, req.NamespacedName, &found)
	if err != nil && !apierrors.IsNotFound(err) {
		return ctrl.Result{}, err
	}
	have := &found
	if err != nil {
		have = nil
	}
	if !trigger.Leading(c.elected) {
		c.follow(req, have)
		return ctrl.Result{}, nil
	}
	return c.lead(ctx, req, have)
}

// lead does what only the leader may: allot and write.
func (c *Controller) lead(ctx context.Context, req ctrl.Request, have *mcs.ServiceImport) (ctrl.Result, error) {
	view := c.engine.View()
	name := federation.ServiceName{Namespace: req.Namespace, Name: req.Name}
	merged := merge(view.Exports[name])
	switch {
	case len(merged.clusters) == 0 && !view.StoreSynced:
		return ctrl.Result{}, nil // not known yet: what there is stays
	case len(merged.clusters) == 0:
		return ctrl.Result{}, c.remove(ctx, name, have)
	case have != nil && !managed(have):
		c.leaveAlone(have)
		return ctrl.Result{}, nil
	case have != nil && !have.DeletionTimestamp.IsZero():
		return ctrl.Result{}, nil
	case have == nil:
		if ok, err := c.namespace(ctx, name.Namespace); !ok {
			return ctrl.Result{}, err
		}
	}
	return c.ensure(ctx, view, name, merged, have)
}

// ensure is the pipeline for an import that should be there.
func (c *Controller) ensure(ctx context.Context, view *engine.View, name federation.ServiceName, m merged, have *mcs.ServiceImport) (ctrl.Result, error) {
	c.reconsider(name, have)
	ports, err := c.ports.allot(name, m.egress())
	exhausted := errors.Is(err, errExhausted)
	import1, err := c.writeImport(ctx, name, m, ports, have)
	if err != nil || import1 == nil {
		return ctrl.Result{}, err
	}
	c.ports.confirm(name) // only now: the annotation is written
	c.tell()
	out := outcome{exhausted: exhausted, headless: m.headless}
	if !m.headless {
		err := c.derive(ctx, view, import1, m, ports, &out)
		var foreign notManagedError
		switch {
		case errors.As(err, &foreign):
			out.foreign = foreign.what
		case errors.Is(err, errBehind):
			return ctrl.Result{RequeueAfter: time.Second}, nil
		case err != nil:
			return ctrl.Result{}, err
		}
	}
	before := import1.DeepCopy()
	out.failed = failedPorts(view, name)
	setStatus(import1, m, out)
	if equality.Semantic.DeepEqual(before.Status, import1.Status) {
		return ctrl.Result{RequeueAfter: out.wait}, nil
	}
	if err := c.client.Status().Patch(ctx, import1, client.MergeFrom(before)); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	condition.Events(c.events, import1, before.Status.Conditions, import1.Status.Conditions)
	return ctrl.Result{RequeueAfter: out.wait}, nil
}

// remove deletes an import whose last export is gone; what it owns goes with it.
func (c *Controller) remove(ctx context.Context, name federation.ServiceName, have *mcs.ServiceImport) error {
	if have != nil && managed(have) && have.DeletionTimestamp.IsZero() {
		if err := c.client.Delete(ctx, have); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	c.ports.release(name)
	c.tell()
	return nil
}

// derive writes the Service behind an import and its slices.
func (c *Controller) derive(ctx context.Context, view *engine.View, i *mcs.ServiceImport, m merged, ports map[uint16]uint16, out *outcome) error {
	service, err := c.writeService(ctx, i, m)
	if err != nil {
		return err
	}
	if err := c.writeIPs(ctx, i, service); err != nil {
		return err
	}
	out.endpoints, out.wait, err = c.writeSlices(ctx, view, i, service, m, ports)
	return err
}

// tell gives the engine the allotment if it has changed.
func (c *Controller) tell() {
	c.telling.Lock()
	defer c.telling.Unlock()
	if ports, changed := c.ports.changes(); changed {
		c.engine.SetEgressPorts(ports)
	}
}

// reconsider looks at the annotation before it is written again: one that was
// taken away asks for another port, one that cannot be read is told.
func (c *Controller) reconsider(name federation.ServiceName, have *mcs.ServiceImport) {
	if have == nil {
		return
	}
	text, has := have.Annotations[api.AnnotationEgressPorts]
	if _, err := parse(text); err != nil {
		c.events.Eventf(have, nil, corev1.EventTypeWarning, "EgressPortsUnreadable", "Allot",
			"annotation %s: %v; it is written anew", api.AnnotationEgressPorts, err)
	}
	if has {
		return
	}
	c.mu.Lock()
	asked := c.asked[have.UID] != have.ResourceVersion // else the cache is behind: that was answered
	c.asked[have.UID] = have.ResourceVersion
	c.mu.Unlock()
	if asked {
		c.ports.release(name)
	}
}

// seed reads the allotment of all imports once, before any new port is given out.
func (c *Controller) seed(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seeded {
		return nil
	}
	var list mcs.ServiceImportList
	if err := c.client.List(ctx, &list, client.MatchingLabels{api.LabelManagedBy: api.ManagedBy}); err != nil {
		return err
	}
	for i := range list.Items {
		c.adopt(&list.Items[i])
	}
	c.tell()
	c.seeded = true
	return nil
}

// adopt takes over an import's annotation, with the protocols of its ports.
func (c *Controller) adopt(i *mcs.ServiceImport) {
	said, _ := parse(i.Annotations[api.AnnotationEgressPorts]) // the leader tells of what cannot be read
	ports := map[uint16]engine.EgressPort{}
	for _, p := range i.Spec.Ports {
		if port, has := said[uint16(p.Port)]; has {
			ports[uint16(p.Port)] = engine.EgressPort{Port: port, AppProtocol: value(p.AppProtocol)}
		}
	}
	c.ports.mirror(nameOf(i), ports)
}

// follow keeps a standby's allotment equal to the leader's.
func (c *Controller) follow(req ctrl.Request, have *mcs.ServiceImport) {
	if have != nil && managed(have) {
		c.adopt(have)
	} else {
		c.ports.release(federation.ServiceName{Namespace: req.Namespace, Name: req.Name})
	}
	c.tell()
}

// namespace says whether a namespace is there to import into. The sameness of
// namespaces means that a missing one wants no import.
func (c *Controller) namespace(ctx context.Context, name string) (bool, error) {
	var ns corev1.Namespace
	if err := c.client.Get(ctx, types.NamespacedName{Name: name}, &ns); err != nil {
		if apierrors.IsNotFound(err) {
			log.FromContext(ctx).V(1).Info("not imported: the namespace does not exist here", "namespace", name)
			return false, nil
		}
		return false, err
	}
	return ns.DeletionTimestamp.IsZero(), nil
}

// leaveAlone tells once that an import of this name is somebody else's.
func (c *Controller) leaveAlone(have *mcs.ServiceImport) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told[have.UID] {
		return
	}
	c.told[have.UID] = true
	c.events.Eventf(have, nil, corev1.EventTypeWarning, api.ReasonNotManaged, "Import",
		"a service of this name is exported in the federation, but this ServiceImport was not created by Causeway and is left alone: delete it to import the service, or label it %s=%s to hand it over", api.LabelManagedBy, api.ManagedBy)
}

func (c *Controller) all(ctx context.Context) []reconcile.Request {
	// Even without a single import the engine must be told so: it sends no table
	// before it knows the allotment.
	if err := c.seed(ctx); err != nil {
		return nil
	}
	var list mcs.ServiceImportList
	if err := c.client.List(ctx, &list, client.MatchingLabels{api.LabelManagedBy: api.ManagedBy}); err != nil {
		return nil // the next look lists again
	}
	var out []reconcile.Request
	for i := range list.Items {
		out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	for name := range c.engine.View().Exports {
		out = append(out, request(name))
	}
	return out
}

func (c *Controller) inNamespace(_ context.Context, ns client.Object) []reconcile.Request {
	var out []reconcile.Request
	for name := range c.engine.View().Exports {
		if name.Namespace == ns.GetName() {
			out = append(out, request(name))
		}
	}
	return out
}

func request(name federation.ServiceName) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: name.Namespace, Name: name.Name}}
}

func nameOf(i *mcs.ServiceImport) federation.ServiceName {
	return federation.ServiceName{Namespace: i.Namespace, Name: i.Name}
}

func managed(o client.Object) bool { return o.GetLabels()[api.LabelManagedBy] == api.ManagedBy }

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
