package export

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/controllertest"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
)

// kube is a client of a real API server; no controller runs but the one under test.
var kube client.Client

func TestMain(m *testing.M) { os.Exit(controllertest.Run(m, &kube)) }

// fake is an engine with a store that may refuse.
type fake struct {
	view      engine.View
	err       error
	writes    int
	endpoints map[federation.ServiceName]map[uint16]engine.PortEndpoints
}

func newFake() *fake {
	return &fake{
		view: engine.View{
			Configured: true, StoreSynced: true, Self: "us-east", Store: engine.StoreStatus{Connected: true},
			Exports: map[federation.ServiceName][]federation.Export{},
		},
		endpoints: map[federation.ServiceName]map[uint16]engine.PortEndpoints{},
	}
}

func (f *fake) Subscribe() (<-chan struct{}, func()) { return nil, func() {} }
func (f *fake) View() *engine.View                   { v := f.view; return &v }

func (f *fake) SetExport(_ context.Context, x federation.Export) (federation.Export, error) {
	if f.err != nil {
		return x, f.err
	}
	f.writes++
	x.Order = uint64(10 + f.writes)
	if old := own(&f.view, x.Service); old != nil {
		x.Order = old.Order
	}
	f.drop(x.Service)
	f.view.Exports[x.Service] = append(f.view.Exports[x.Service], x)
	return x, nil
}

func (f *fake) RemoveExport(_ context.Context, name federation.ServiceName) error {
	if f.err != nil {
		return f.err
	}
	f.drop(name)
	return nil
}

func (f *fake) drop(name federation.ServiceName) {
	f.view.Exports[name] = slices.DeleteFunc(f.view.Exports[name], func(x federation.Export) bool { return x.Cluster == f.view.Self })
}

func (f *fake) SetEndpoints(name federation.ServiceName, ports map[uint16]engine.PortEndpoints) {
	f.endpoints[name] = ports
}
func (f *fake) RemoveEndpoints(name federation.ServiceName) { delete(f.endpoints, name) }

// rig is a controller on a namespace of its own, with one export, "checkout".
type rig struct {
	*Controller
	t    *testing.T
	name federation.ServiceName
	at   time.Time
}

func newRig(t *testing.T, e Engine) *rig {
	t.Helper()
	r := &rig{t: t, name: federation.ServiceName{Namespace: controllertest.Namespace(t, kube, "shop"), Name: "checkout"}, at: time.Now()}
	elected := make(chan struct{})
	close(elected)
	r.Controller = NewController(kube, events.NewFakeRecorder(100), e, elected)
	r.now = func() time.Time { return r.at }
	return r
}

func (r *rig) key() client.ObjectKey {
	return client.ObjectKey{Namespace: r.name.Namespace, Name: r.name.Name}
}

func (r *rig) meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: r.name.Namespace, Name: r.name.Name}
}

func (r *rig) export() {
	r.t.Helper()
	controllertest.Create(r.t, kube, &mcs.ServiceExport{ObjectMeta: r.meta()})
}

func (r *rig) serve(spec corev1.ServiceSpec) {
	r.t.Helper()
	s := &corev1.Service{ObjectMeta: r.meta()}
	controllertest.Delete(r.t, kube, s)
	s.Spec = spec
	controllertest.Create(r.t, kube, s)
}

func tcp(name string, port int32) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Port: port}
}
func udp(name string, port int32) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Port: port, Protocol: corev1.ProtocolUDP}
}

func ports(list ...corev1.ServicePort) corev1.ServiceSpec { return corev1.ServiceSpec{Ports: list} }

// get returns nil if there is none.
func (r *rig) get() *mcs.ServiceExport {
	r.t.Helper()
	x := &mcs.ServiceExport{ObjectMeta: r.meta()}
	if !controllertest.Exists(r.t, kube, x) {
		return nil
	}
	return x
}

func (r *rig) reconcile() ctrl.Result {
	r.t.Helper()
	result, err := r.Reconcile(r.t.Context(), ctrl.Request{NamespacedName: r.key()})
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}

// want reconciles and checks one condition.
func (r *rig) want(kind string, status metav1.ConditionStatus, reason string, says ...string) {
	r.t.Helper()
	r.reconcile()
	controllertest.Want(r.t, r.get().Status.Conditions, kind, status, reason, says...)
}

// published is what the engine shows of our export.
func (r *rig) published() *federation.Export { return own(r.engine.View(), r.name) }

func TestServiceIsPublishedOnceWithItsEndpoints(t *testing.T) {
	f := newFake()
	r := newRig(t, f)
	r.serve(ports(tcp("http", 80)))
	r.export()
	name, port, yes, no := "http", int32(8080), true, false
	controllertest.Create(t, kube, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: r.name.Namespace, Name: "checkout-1", Labels: map[string]string{discoveryv1.LabelServiceName: "checkout"}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"10.0.0.1"}, Conditions: discoveryv1.EndpointConditions{Ready: &yes}},
			{Addresses: []string{"10.0.0.2"}, Conditions: discoveryv1.EndpointConditions{Ready: &no}},
			{Addresses: []string{"10.0.0.3"}, Conditions: discoveryv1.EndpointConditions{Ready: &yes, Terminating: &yes}},
		},
	})
	r.want(valid, metav1.ConditionTrue, string(mcs.ServiceExportReasonValid))
	r.want(ready, metav1.ConditionTrue, string(mcs.ServiceExportReasonExported))
	r.want(api.ConditionProtocolsSupported, metav1.ConditionTrue, api.ReasonTCPOnly)
	want := map[uint16]engine.PortEndpoints{80: {Ready: []string{"10.0.0.1:8080"}, Total: 3}}
	if diff := cmp.Diff(want, f.endpoints[r.name]); diff != "" {
		t.Error(diff)
	}
	if f.writes != 1 || r.published() == nil {
		t.Errorf("%d writes, %+v", f.writes, r.published())
	}
}

func TestUDPPortIsNamedAndTheOthersAreExported(t *testing.T) {
	r := newRig(t, newFake())
	r.serve(ports(tcp("http", 80), udp("dns", 53)))
	r.export()
	r.want(api.ConditionProtocolsSupported, metav1.ConditionFalse, api.ReasonUnsupportedProtocol, "53", "dns", "UDP")
	r.want(ready, metav1.ConditionTrue, string(mcs.ServiceExportReasonExported))
	if x := r.published(); x == nil || len(x.Ports) != 1 || x.Ports[0].Port != 80 {
		t.Errorf("published %+v", x)
	}
}

func TestServiceWithoutTCPPortsIsNotExportedAndAnEarlierExportIsWithdrawn(t *testing.T) {
	r := newRig(t, newFake())
	r.serve(ports(tcp("http", 80)))
	r.export()
	r.reconcile()
	r.serve(ports(udp("dns", 53)))
	r.want(valid, metav1.ConditionFalse, api.ReasonUnsupportedProtocol, "no TCP port")
	controllertest.Want(t, r.get().Status.Conditions, ready, metav1.ConditionFalse, failed, "Valid")
	if r.published() != nil {
		t.Error("it is still published")
	}
	if c := meta.FindStatusCondition(r.get().Status.Conditions, conflict); c != nil {
		t.Errorf("what is not exported has the condition %+v", c)
	}
}

func TestMissingServiceIsToldAndItsExportIsWithdrawn(t *testing.T) {
	f := newFake()
	r := newRig(t, f)
	r.serve(ports(tcp("http", 80)))
	r.export()
	r.reconcile()
	controllertest.Delete(t, kube, &corev1.Service{ObjectMeta: r.meta()})
	r.want(valid, metav1.ConditionFalse, string(mcs.ServiceExportReasonNoService), "create it")
	if _, has := f.endpoints[r.name]; has || r.published() != nil {
		t.Error("a Service that is gone is still published")
	}
}

func TestExternalNameIsRefused(t *testing.T) {
	r := newRig(t, newFake())
	r.serve(corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.org"})
	r.export()
	r.want(valid, metav1.ConditionFalse, string(mcs.ServiceExportReasonInvalidServiceType), "use ClusterIP")
}

func TestHeadlessServiceIsPublishedAndSaysThatNobodyReachesIt(t *testing.T) {
	r := newRig(t, newFake())
	spec := ports(tcp("http", 80))
	spec.ClusterIP = corev1.ClusterIPNone
	r.serve(spec)
	r.export()
	r.want(ready, metav1.ConditionFalse, api.ReasonUnsupported, "give it a cluster IP")
	if x := r.published(); x == nil || !x.Headless {
		t.Errorf("published %+v", x)
	}
}

func TestLaterExportNamesTheClusterThatWasFirst(t *testing.T) {
	f := newFake()
	r := newRig(t, f)
	f.view.Exports[r.name] = []federation.Export{{Cluster: "us-west", Service: r.name, Order: 1, Ports: []federation.ExportedPort{{Name: "http", Port: 81, Protocol: federation.TCP}}}}
	r.serve(ports(tcp("http", 80)))
	r.export()
	r.want(conflict, metav1.ConditionTrue, string(mcs.ServiceExportReasonPortConflict), `"us-west"`, "81", "80")
	f.view.Exports[r.name][0].Headless = true
	r.want(conflict, metav1.ConditionTrue, string(mcs.ServiceExportReasonTypeConflict), `"us-west"`, "headless")
	f.view.Exports[r.name] = f.view.Exports[r.name][1:]
	r.want(conflict, metav1.ConditionFalse, string(mcs.ServiceExportReasonNoConflicts))
}

func TestExportWaitsForAMeshFederation(t *testing.T) {
	f := newFake()
	f.view = engine.View{}
	r := newRig(t, f)
	r.serve(ports(tcp("http", 80)))
	r.export()
	r.want(ready, metav1.ConditionFalse, pending, "MeshFederation")
	f.err = errors.New("nothing is configured")
	controllertest.Delete(t, kube, &mcs.ServiceExport{ObjectMeta: r.meta()})
	r.reconcile()
	if r.get() != nil {
		t.Error("an export that was never published cannot be deleted")
	}
}

func TestUnreachableStoreIsToldAndTriedAgain(t *testing.T) {
	f := newFake()
	r := newRig(t, f)
	r.serve(ports(tcp("http", 80)))
	r.export()
	f.err, f.view.Store = errors.New("deadline exceeded"), engine.StoreStatus{Reason: "Unreachable", Message: "nobody answers at 10.0.0.1"}
	if got := r.reconcile(); got.RequeueAfter != retry {
		t.Errorf("it is not tried again: %+v", got)
	}
	r.want(ready, metav1.ConditionFalse, failed, "nobody answers at 10.0.0.1", "tried again")
	f.err, f.view.Store = nil, engine.StoreStatus{Connected: true}
	r.want(ready, metav1.ConditionTrue, string(mcs.ServiceExportReasonExported))
}

func TestStandbyFeedsItsEngineAndWritesNothing(t *testing.T) {
	f := newFake()
	r := newRig(t, f)
	r.elected = make(chan struct{})
	r.serve(ports(tcp("http", 80)))
	r.export()
	r.reconcile()
	if _, has := f.endpoints[r.name]; !has {
		t.Error("a standby does not know the endpoints")
	}
	if x := r.get(); f.writes != 0 || len(x.Status.Conditions) != 0 || controllerutil.ContainsFinalizer(x, api.Finalizer) {
		t.Errorf("a standby wrote: %d times to the store, %+v", f.writes, x)
	}
}

func TestDeletionWaitsForTheStoreOnlySoLongAndTheSweepFollows(t *testing.T) {
	f := newFake()
	r := newRig(t, f)
	other := federation.ServiceName{Namespace: r.name.Namespace, Name: "other"}
	f.view.Exports[other] = []federation.Export{{Cluster: "us-west", Service: other, Order: 1}}
	r.serve(ports(tcp("http", 80)))
	r.export()
	r.reconcile()
	f.err = errors.New("away")
	controllertest.Delete(t, kube, &mcs.ServiceExport{ObjectMeta: r.meta()})
	r.at = r.get().DeletionTimestamp.Time
	if got := r.reconcile(); got.RequeueAfter != retry || r.get() == nil {
		t.Fatalf("let go at once: %+v", got)
	}
	if _, has := f.endpoints[r.name]; has {
		t.Error("a deleted export is still counted as served")
	}
	r.at = r.at.Add(WithdrawWithin - time.Millisecond)
	r.reconcile()
	if r.get() == nil {
		t.Fatal("let go before the time")
	}
	r.at = r.at.Add(time.Millisecond)
	r.reconcile()
	if r.get() != nil {
		t.Fatal("still there after WithdrawWithin")
	}
	if r.reconcile().RequeueAfter != retry || r.published() == nil {
		t.Error("the sweep does not wait for the store")
	}
	f.err = nil
	for _, request := range r.all(t.Context()) { // what every look does
		if request.NamespacedName == r.key() {
			r.reconcile()
		}
	}
	if r.published() != nil || len(f.view.Exports[other]) != 1 {
		t.Errorf("after the sweep: %+v", f.view.Exports)
	}
}

func TestNothingIsSweptBeforeTheStoreWasRead(t *testing.T) {
	f := newFake()
	r := newRig(t, f)
	f.view.Exports[r.name] = []federation.Export{{Cluster: "us-east", Service: r.name, Order: 1}}
	f.view.StoreSynced = false
	r.reconcile()
	if r.published() == nil {
		t.Error("an export was removed on account of a store that was not read")
	}
}

func TestExportReachesTheOthersAndLeavesThemWithItsObject(t *testing.T) {
	store := controllertest.NewStore(t)
	e, _ := controllertest.NewEngine(t, 1)
	store.Join(e, "us-east")
	west := store.Member("us-west", "uid-west")
	r := newRig(t, e)
	_, err := west.PutExport(t.Context(), federation.Export{Cluster: "us-west", Service: r.name, Ports: []federation.ExportedPort{{Name: "http", Port: 80, Protocol: federation.TCP}}})
	if err != nil {
		t.Fatal(err)
	}
	controllertest.Await(t, "us-west's export", func() bool { return len(e.View().Exports[r.name]) == 1 })
	r.serve(ports(tcp("http", 80)))
	r.export()
	r.want(ready, metav1.ConditionTrue, string(mcs.ServiceExportReasonExported))
	r.want(conflict, metav1.ConditionFalse, string(mcs.ServiceExportReasonNoConflicts))
	controllertest.Await(t, "us-west to hear of it", func() bool { return len(west.State().Exports[r.name]) == 2 })
	store.Stop()
	controllertest.Delete(t, kube, &mcs.ServiceExport{ObjectMeta: r.meta()})
	r.at = r.get().DeletionTimestamp.Time
	controllertest.Await(t, "the loss to be seen", func() bool { return !e.View().Store.Connected })
	r.reconcile()
	if r.get() == nil {
		t.Fatal("the object went before its export was withdrawn")
	}
	store.Start()
	controllertest.Await(t, "the object to go", func() bool { r.reconcile(); return r.get() == nil })
	controllertest.Await(t, "us-west to hear of it", func() bool { return len(west.State().Exports[r.name]) == 1 })
	if x := west.State().Exports[r.name][0]; x.Cluster != "us-west" {
		t.Errorf("left is %+v", x)
	}
}

func TestExportOfTheClusterThatHoldsOurNameIsNotOurs(t *testing.T) {
	f := newFake()
	r := newRig(t, f)
	f.view.NameConflict, f.err = "uid-of-another holds the name", errors.New("uid-of-another holds the name")
	f.view.Exports[r.name] = []federation.Export{{Cluster: "us-east", Service: r.name, Order: 1, Ports: []federation.ExportedPort{{Name: "http", Port: 80, Protocol: federation.TCP}}}}
	r.serve(ports(tcp("http", 80)))
	r.export()
	r.want(ready, metav1.ConditionFalse, failed, "uid-of-another holds the name")
	controllertest.Delete(t, kube, &mcs.ServiceExport{ObjectMeta: r.meta()})
	r.reconcile()
	if r.get() != nil {
		t.Error("the deletion waits for a store that holds nothing of ours")
	}
}
