package serviceimport

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/controllertest"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// kube is a client of a real API server; no controller runs but the one under test.
var kube client.Client

func TestMain(m *testing.M) { os.Exit(controllertest.Run(m, &kube)) }

// fake is an engine that says what a test wants.
type fake struct {
	view  engine.View
	ports map[federation.ServicePort]engine.EgressPort
}

func (f *fake) Subscribe() (<-chan struct{}, func()) { return nil, func() {} }
func (f *fake) View() *engine.View                   { return &f.view }
func (f *fake) SetEgressPorts(p map[federation.ServicePort]engine.EgressPort) {
	f.ports = p
}

// rig is a controller on a namespace of its own.
type rig struct {
	*Controller
	t        *testing.T
	fake     *fake
	recorder *events.FakeRecorder
	elected  chan struct{} // closed: it leads
	name     federation.ServiceName
	at       time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, name: federation.ServiceName{Namespace: controllertest.Namespace(t, kube, "shop"), Name: "checkout"}, at: time.Now(), elected: make(chan struct{})}
	close(r.elected)
	r.fake = &fake{view: engine.View{Configured: true, StoreSynced: true, Self: "eu-west", Exports: map[federation.ServiceName][]federation.Export{
		r.name: {{Cluster: "us-east", Service: r.name, Order: 1, Ports: []federation.ExportedPort{{Name: "http", Port: 80, Protocol: federation.TCP}}}},
	}}}
	r.restart()
	t.Cleanup(func() { // a restart reads the imports of all namespaces
		if err := kube.DeleteAllOf(context.Background(), &mcs.ServiceImport{}, client.InNamespace(r.name.Namespace)); err != nil {
			t.Error(err)
		}
	})
	return r
}

// restart is a new controller, as after a restart of the operator.
func (r *rig) restart() {
	r.recorder = events.NewFakeRecorder(100)
	r.Controller = NewController(kube, r.recorder, r.fake, r.elected)
	r.now = func() time.Time { return r.at }
}

func (r *rig) reconcile() {
	r.t.Helper()
	if err := r.try(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) try() error {
	_, err := r.Reconcile(r.t.Context(), request(r.name))
	return err
}

// as is the rig with another service in view, exported by us-east too.
func (r *rig) as(name string) *rig {
	other := *r
	other.name.Name = name
	r.fake.view.Exports[other.name] = []federation.Export{{Cluster: "us-east", Service: other.name, Order: 1, Ports: []federation.ExportedPort{{Name: "http", Port: 80, Protocol: federation.TCP}}}}
	return &other
}

// port is the egress port that the import's annotation keeps for port 80.
func (r *rig) port() uint16 {
	r.t.Helper()
	i := r.get()
	if i == nil {
		return 0
	}
	ports, err := parse(i.Annotations[api.AnnotationEgressPorts])
	if err != nil {
		r.t.Fatal(err)
	}
	return ports[80]
}

// told is the egress port that the engine was told of.
func (r *rig) told() uint16 {
	return r.fake.ports[federation.ServicePort{Service: r.name, Port: 80}].Port
}

// want reconciles and checks the import's condition Ready.
func (r *rig) want(status metav1.ConditionStatus, reason string, says ...string) {
	r.t.Helper()
	r.reconcile()
	controllertest.Want(r.t, r.get().Status.Conditions, string(mcs.ServiceImportConditionReady), status, reason, says...)
}

func (r *rig) get() *mcs.ServiceImport {
	r.t.Helper()
	var i mcs.ServiceImport
	err := kube.Get(r.t.Context(), client.ObjectKey{Namespace: r.name.Namespace, Name: r.name.Name}, &i)
	if client.IgnoreNotFound(err) != nil {
		r.t.Fatal(err)
	}
	if err != nil {
		return nil
	}
	return &i
}

func (r *rig) gateways(connected ...string) {
	var out []engine.GatewayView
	for _, ip := range connected {
		out = append(out, engine.GatewayView{GatewayReport: routing.GatewayReport{Instance: "gw-" + ip, Local: ip}, Connected: true})
	}
	r.fake.view.Gateways = out
}

// addresses are the ready ones of the derived Service's slices.
func (r *rig) addresses() string {
	r.t.Helper()
	var list discoveryv1.EndpointSliceList
	if err := kube.List(r.t.Context(), &list, client.InNamespace(r.name.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: DerivedName(r.name)}); err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, s := range list.Items {
		for _, e := range s.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				out = append(out, e.Addresses...)
			}
		}
	}
	return strings.Join(out, " ")
}

func TestImportGetsServiceSlicesAndAPort(t *testing.T) {
	r := newRig(t)
	r.gateways("10.0.0.1", "10.0.0.2")
	r.reconcile()
	i := r.get()
	if i == nil || i.Annotations[api.AnnotationEgressPorts] != fmt.Sprintf("80=%d", api.EgressPortMin) {
		t.Fatalf("import: %+v", i)
	}
	var service corev1.Service
	if err := kube.Get(t.Context(), client.ObjectKey{Namespace: r.name.Namespace, Name: DerivedName(r.name)}, &service); err != nil {
		t.Fatal(err)
	}
	if len(i.Spec.IPs) != 1 || i.Spec.IPs[0] != service.Spec.ClusterIP || len(service.Spec.Selector) != 0 {
		t.Errorf("import's IPs %v, Service %s with selector %v", i.Spec.IPs, service.Spec.ClusterIP, service.Spec.Selector)
	}
	if got := r.addresses(); got != "10.0.0.1 10.0.0.2" {
		t.Errorf("addresses %q", got)
	}
	port := federation.ServicePort{Service: r.name, Port: 80}
	if r.fake.ports[port].Port != api.EgressPortMin {
		t.Errorf("the engine was told %v", r.fake.ports)
	}
}

func TestEgressPortSurvivesARestart(t *testing.T) {
	r := newRig(t)
	r.gateways("10.0.0.1")
	r.reconcile()
	i := r.get()
	i.Annotations[api.AnnotationEgressPorts] = "80=20077"
	if err := kube.Update(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	r.restart()
	r.reconcile()
	if got := r.get().Annotations[api.AnnotationEgressPorts]; got != "80=20077" {
		t.Errorf("after a restart the port is %s", got)
	}
}

func TestSlicesAreNeverEmptied(t *testing.T) {
	r := newRig(t)
	r.gateways("10.0.0.1", "10.0.0.2")
	r.reconcile()
	r.gateways() // a new leader that no gateway has reached yet
	r.restart()
	r.reconcile()
	if got := r.addresses(); got != "10.0.0.1 10.0.0.2" {
		t.Errorf("with no gateway connected the addresses are %q", got)
	}
	r.gateways("10.0.0.2")
	r.reconcile()
	if got := r.addresses(); !strings.Contains(got, "10.0.0.1") {
		t.Errorf("a gateway left at once: %q", got)
	}
	r.at = r.at.Add(10 * time.Second)
	r.reconcile()
	if got := r.addresses(); got != "10.0.0.2" {
		t.Errorf("after 10 s the addresses are %q", got)
	}
}

func TestImportGoesOnlyWhenTheStoreWasRead(t *testing.T) {
	r := newRig(t)
	r.gateways("10.0.0.1")
	r.reconcile()
	r.fake.view.Exports, r.fake.view.StoreSynced = nil, false
	r.reconcile()
	if r.get() == nil {
		t.Fatal("an import was deleted before the store was read")
	}
	r.fake.view.StoreSynced = true
	r.reconcile()
	if i := r.get(); i != nil && i.DeletionTimestamp.IsZero() {
		t.Fatal("the import of a service that nobody exports stays")
	}
}

func TestUsersOwnImportIsLeftAlone(t *testing.T) {
	r := newRig(t)
	mine := &mcs.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.name.Namespace, Name: r.name.Name},
		Spec:       mcs.ServiceImportSpec{Type: mcs.Headless, Ports: []mcs.ServicePort{{Port: 99}}},
	}
	if err := kube.Create(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	r.gateways("10.0.0.1")
	r.reconcile()
	if got := r.get(); got.Spec.Type != mcs.Headless || got.Spec.Ports[0].Port != 99 || len(got.Annotations) != 0 {
		t.Errorf("a user's import was changed: %+v", got)
	}
}

func TestTakenEgressPortIsTold(t *testing.T) {
	r := newRig(t)
	r.gateways("10.0.0.1")
	port := federation.ServicePort{Service: r.name, Port: 80}
	r.fake.view.Gateways[0].FailedPorts = map[federation.ServicePort]string{port: "address already in use"}
	r.reconcile()
	ready := meta.FindStatusCondition(r.get().Status.Conditions, string(mcs.ServiceImportConditionReady))
	if ready == nil || ready.Status != metav1.ConditionFalse || ready.Reason != api.ReasonEgressPortUnavailable || !strings.Contains(ready.Message, "address already in use") {
		t.Errorf("condition %+v", ready)
	}
}
