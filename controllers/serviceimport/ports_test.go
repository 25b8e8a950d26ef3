package serviceimport

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/controllertest"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
)

const (
	ready       = string(mcs.ServiceImportReasonReady)
	egressPorts = api.EgressPortMax - api.EgressPortMin + 1
)

// hog is a service that has n egress ports, from the highest down.
func (r *rig) hog(n int) {
	ports := map[uint16]engine.EgressPort{}
	for i := range n {
		ports[uint16(i+1)] = engine.EgressPort{Port: uint16(api.EgressPortMax - i)}
	}
	r.ports.mirror(federation.ServiceName{Namespace: r.name.Namespace, Name: "hog"}, ports)
}

// recorded are the events so far.
func (r *rig) recorded() (out []string) {
	for {
		select {
		case e := <-r.recorder.Events:
			out = append(out, e)
		default:
			return out
		}
	}
}

func TestExhaustedPortsAreToldAndTouchNobodyElse(t *testing.T) {
	r := newRig(t)
	r.gateways("10.0.0.1")
	r.want(metav1.ConditionTrue, ready)
	had := r.port()
	r.hog(egressPorts - 1)
	late := r.as("late")
	late.want(metav1.ConditionFalse, api.ReasonEgressPortsExhausted, "all 10000 egress ports", "not touched")
	if late.port() != 0 || late.told() != 0 {
		t.Errorf("the late one has port %d, told %d", late.port(), late.told())
	}
	r.want(metav1.ConditionTrue, ready)
	if r.port() != had || r.told() != had || len(r.fake.ports) != egressPorts {
		t.Errorf("the early one has port %d, told %d; had %d; %d are told", r.port(), r.told(), had, len(r.fake.ports))
	}

	r.hog(egressPorts - 2)
	late.want(metav1.ConditionTrue, ready)
	if want := uint16(api.EgressPortMin + 1); late.port() != want || late.told() != want {
		t.Errorf("the freed port is %d; the late one has %d, told %d", want, late.port(), late.told())
	}
}

func TestPortOfARemovedImportIsGivenBack(t *testing.T) {
	r := newRig(t)
	r.gateways("10.0.0.1")
	r.reconcile()
	had := r.port()
	r.hog(egressPorts - 1)
	late := r.as("late")
	late.reconcile()
	delete(r.fake.view.Exports, r.name)
	r.reconcile()
	if r.told() != 0 {
		t.Error("the engine still listens for the import that is gone")
	}
	late.want(metav1.ConditionTrue, ready)
	if late.port() != had {
		t.Errorf("freed is %d, the late one has %d", had, late.port())
	}
}

func TestPortsOfAllImportsAreKnownBeforeANewOneIsGivenOut(t *testing.T) {
	r := newRig(t)
	r.gateways("10.0.0.1")
	r.reconcile()
	had := r.port()
	r.restart()
	late := r.as("late")
	late.Controller = r.Controller
	late.reconcile() // before the first one's turn has come
	if late.port() == had || r.told() != had {
		t.Errorf("the new import has port %d, the old one's is %d, told %d", late.port(), had, r.told())
	}
}

// failing is a client whose writes of imports fail.
type failing struct {
	client.Client
	on bool
}

var errWrite = errors.New("the API server is busy")

func (f *failing) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	if _, is := o.(*mcs.ServiceImport); is && f.on {
		return errWrite
	}
	return f.Client.Create(ctx, o, opts...)
}

func TestPortIsToldAfterItsAnnotationIsWrittenAndNotBefore(t *testing.T) {
	r := newRig(t)
	r.gateways("10.0.0.1")
	broken := &failing{Client: kube, on: true}
	r.client = broken
	if err := r.try(); !errors.Is(err, errWrite) {
		t.Fatal(err)
	}
	other := r.as("other")
	broken.on = false
	other.reconcile()
	if r.told() != 0 || other.told() == 0 {
		t.Errorf("told are %d, which is not written, and %d, which is", r.told(), other.told())
	}
	r.reconcile()
	if r.told() == 0 || r.told() != r.port() {
		t.Errorf("the annotation says %d, the engine was told %d", r.port(), r.told())
	}
}

func TestAnnotationTakenAwayAsksForAnotherPort(t *testing.T) {
	r := newRig(t)
	r.gateways("10.0.0.1")
	r.reconcile()
	had := r.port()
	port := federation.ServicePort{Service: r.name, Port: 80}
	r.fake.view.Gateways[0].FailedPorts = map[federation.ServicePort]string{port: "address already in use"}
	r.want(metav1.ConditionFalse, api.ReasonEgressPortUnavailable, "gw-10.0.0.1", "port 80", "address already in use", api.AnnotationEgressPorts)
	i := r.get()
	delete(i.Annotations, api.AnnotationEgressPorts)
	if err := kube.Update(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	r.reconcile()
	if r.port() == had || r.port() == 0 || r.told() != r.port() {
		t.Errorf("had %d, has %d, told %d", had, r.port(), r.told())
	}
	has := r.port()
	r.reconcile()
	if r.port() != has {
		t.Errorf("it does not keep the new one: %d, then %d", has, r.port())
	}
	r.reconsider(r.name, i) // a cache that is behind shows the object without annotation again
	if got, _ := r.ports.allot(r.name, map[uint16]string{80: ""}); got[80] != has {
		t.Errorf("one request was answered twice: %d, then %d", has, got[80])
	}
}

func TestChangedAnnotationIsPutBack(t *testing.T) {
	r := newRig(t)
	r.gateways("10.0.0.1")
	r.reconcile()
	had := r.port()
	for _, text := range []string{"80=20500", "nonsense"} {
		i := r.get()
		i.Annotations[api.AnnotationEgressPorts] = text
		if err := kube.Update(t.Context(), i); err != nil {
			t.Fatal(err)
		}
		r.recorded()
		r.reconcile()
		if r.port() != had || r.told() != had {
			t.Errorf("after %q it has %d, told %d; had %d", text, r.port(), r.told(), had)
		}
		if said := strings.Join(r.recorded(), "\n"); (text == "nonsense") != strings.Contains(said, "EgressPortsUnreadable") {
			t.Errorf("after %q the events are %q", text, said)
		}
	}
}

func TestStandbyFollowsTheLeadersAllotmentAndWritesNothing(t *testing.T) {
	r := newRig(t)
	r.gateways("10.0.0.1")
	r.reconcile()
	standby := &rig{t: t, fake: &fake{view: r.fake.view}, name: r.name, at: r.at, elected: make(chan struct{})}
	standby.restart()
	standby.reconcile()
	if standby.told() != r.port() {
		t.Errorf("the standby was told %d, the leader has %d", standby.told(), r.port())
	}
	i := r.get()
	i.Annotations[api.AnnotationEgressPorts] = "80=20600"
	if err := kube.Update(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	standby.reconcile()
	if standby.told() != 20600 || r.port() != 20600 {
		t.Errorf("the annotation says %d, the standby was told %d", r.port(), standby.told())
	}
	controllertest.Delete(t, kube, i)
	standby.reconcile()
	if standby.told() != 0 || r.get() != nil {
		t.Errorf("after the deletion the standby was told %d, and there is %v", standby.told(), r.get())
	}
}

func TestUsersServiceOfTheDerivedNameIsLeftAloneAndTold(t *testing.T) {
	r := newRig(t)
	r.gateways("10.0.0.1")
	mine := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.name.Namespace, Name: DerivedName(r.name)},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 99, TargetPort: intstr.FromInt32(99)}}},
	}
	controllertest.Create(t, kube, mine)
	r.want(metav1.ConditionFalse, api.ReasonNotManaged, fmt.Sprintf("Service %q", mine.Name), "delete it")
	r.recorded()
	r.reconcile()
	if said := r.recorded(); len(said) != 0 {
		t.Errorf("told again and again: %q", said)
	}
	if !controllertest.Exists(t, kube, mine) || mine.Spec.Ports[0].Port != 99 || len(mine.OwnerReferences) != 0 {
		t.Errorf("a user's Service was changed: %+v", mine)
	}
	controllertest.Delete(t, kube, mine)
	r.want(metav1.ConditionTrue, ready)
}

func TestUsersSliceIsLeftAloneAndTold(t *testing.T) {
	r := newRig(t)
	r.gateways("10.0.0.1")
	mine := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: r.name.Namespace, Name: DerivedName(r.name) + "-ipv4"},
		AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.9.9.9"}}},
	}
	controllertest.Create(t, kube, mine)
	r.want(metav1.ConditionFalse, api.ReasonNotManaged, fmt.Sprintf("EndpointSlice %q", mine.Name))
	if !controllertest.Exists(t, kube, mine) || mine.Endpoints[0].Addresses[0] != "10.9.9.9" || len(mine.OwnerReferences) != 0 {
		t.Errorf("a user's slice was changed: %+v", mine)
	}
	controllertest.Delete(t, kube, mine)
	r.want(metav1.ConditionTrue, ready)
}

func TestImportThatCausewayDidNotMakeIsToldOnce(t *testing.T) {
	r := newRig(t)
	controllertest.Create(t, kube, &mcs.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.name.Namespace, Name: r.name.Name},
		Spec:       mcs.ServiceImportSpec{Type: mcs.Headless, Ports: []mcs.ServicePort{{Port: 99}}},
	})
	r.reconcile()
	r.reconcile()
	if said := r.recorded(); len(said) != 1 || !strings.Contains(said[0], api.ReasonNotManaged) {
		t.Errorf("events %q", said)
	}
	delete(r.fake.view.Exports, r.name)
	r.reconcile()
	if r.get() == nil {
		t.Error("a user's import was deleted")
	}
}

func TestHeadlessServiceIsImportedAndSaysThatNobodyReachesIt(t *testing.T) {
	r := newRig(t)
	r.gateways("10.0.0.1")
	r.fake.view.Exports[r.name][0].Headless = true
	r.want(metav1.ConditionFalse, api.ReasonUnsupported, "give the exported Service a cluster IP")
	if r.get().Spec.Type != mcs.Headless || r.port() != 0 {
		t.Errorf("import %+v with port %d", r.get().Spec, r.port())
	}
}

func TestNothingIsImportedIntoAMissingNamespace(t *testing.T) {
	r := newRig(t)
	r.name.Namespace = "nowhere"
	other := r.as("checkout")
	other.reconcile()
	if other.get() != nil || controllertest.Exists(t, kube, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "nowhere"}}) {
		t.Error("it was imported")
	}
}
