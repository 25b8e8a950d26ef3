package export

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/controllertest"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
)

// annotate sets the export's annotations, and no others.
func (r *rig) annotate(a map[string]string) {
	r.t.Helper()
	x := r.get()
	x.Annotations = a
	if err := kube.Update(r.t.Context(), x); err != nil {
		r.t.Fatal(err)
	}
}

func TestWhatAnEndpointBearsIsStatedAndASlipChangesNothing(t *testing.T) {
	f := newFake()
	r := newRig(t, f)
	r.serve(ports(tcp("http", 80)))
	r.export()
	weight, bears := api.AnnotationEndpointWeight, api.AnnotationEndpointConnections
	for _, step := range []struct {
		name        string
		annotations map[string]string
		want        capacity
		status      metav1.ConditionStatus
		reason      string
		says        []string
	}{
		{"at first", nil, capacity{}, metav1.ConditionTrue, api.ReasonCapacityDefault, nil},
		{"a slip before anything was stated", map[string]string{weight: "lots"}, capacity{}, metav1.ConditionFalse, api.ReasonInvalidAnnotation, []string{weight, `"lots"`, "1 to 10000", "the default stays"}},
		{"stated", map[string]string{weight: "4", bears: "200"}, capacity{4, 200}, metav1.ConditionTrue, api.ReasonCapacityStated, nil},
		{"a slip in one of them", map[string]string{weight: "-1", bears: "300"}, capacity{4, 300}, metav1.ConditionFalse, api.ReasonInvalidAnnotation, []string{weight, "4 stays in force"}},
		{"and in the other", map[string]string{weight: "5", bears: "1000001"}, capacity{5, 300}, metav1.ConditionFalse, api.ReasonInvalidAnnotation, []string{bears, "1 to 1000000", "300 stays"}},
		{"nothing is no number", map[string]string{weight: "0", bears: ""}, capacity{5, 300}, metav1.ConditionFalse, api.ReasonInvalidAnnotation, []string{weight, bears}},
		{"taken back", nil, capacity{}, metav1.ConditionTrue, api.ReasonCapacityDefault, nil},
	} {
		r.annotate(step.annotations)
		r.want(api.ConditionCapacityValid, step.status, step.reason, step.says...)
		if p := f.endpoints[r.name][80]; (capacity{p.Weight, p.Connections}) != step.want {
			t.Errorf("%s: in force are %d and %d, want %+v", step.name, p.Weight, p.Connections, step.want)
		}
	}
	if f.writes != 1 {
		t.Errorf("the policy store was written %d times", f.writes)
	}
}

func TestStandbyKnowsWhatWasStated(t *testing.T) {
	f := newFake()
	r := newRig(t, f)
	r.elected = make(chan struct{})
	r.serve(ports(tcp("http", 80)))
	r.export()
	r.annotate(map[string]string{api.AnnotationEndpointWeight: "4"})
	r.reconcile()
	r.annotate(map[string]string{api.AnnotationEndpointWeight: "4x"})
	r.reconcile()
	if got := f.endpoints[r.name][80].Weight; got != 4 {
		t.Errorf("a standby counts with %d", got)
	}
}

func TestAnotherExportOfTheNameBeginsAnew(t *testing.T) {
	f := newFake()
	r := newRig(t, f)
	r.serve(ports(tcp("http", 80)))
	r.export()
	r.annotate(map[string]string{api.AnnotationEndpointWeight: "4"})
	r.reconcile()
	controllertest.Delete(t, kube, r.get())
	r.reconcile() // withdraws
	r.reconcile() // finds nothing
	r.export()
	r.annotate(map[string]string{api.AnnotationEndpointWeight: "?"})
	r.want(api.ConditionCapacityValid, metav1.ConditionFalse, api.ReasonInvalidAnnotation, "default")
}

func TestEndpointsAreCountedByTheZoneThatTheirSliceNames(t *testing.T) {
	f := newFake()
	r := newRig(t, f)
	r.serve(ports(tcp("http", 80)))
	r.export()
	name, port, no, a, b := "http", int32(8080), false, "eu-west-1a", "eu-west-1b"
	controllertest.Create(t, kube, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: r.name.Namespace, Name: "checkout-1", Labels: map[string]string{discoveryv1.LabelServiceName: "checkout"}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"10.0.0.1"}, Zone: &b}, {Addresses: []string{"10.0.0.2"}, Zone: &a},
			{Addresses: []string{"10.0.0.3"}, Zone: &a, Conditions: discoveryv1.EndpointConditions{Ready: &no}},
			{Addresses: []string{"10.0.0.4"}},
		},
	})
	r.reconcile()
	want := engine.PortEndpoints{
		Ready: []string{"10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.4:8080"}, Total: 4,
		Zones: []federation.ZoneCount{{Zone: "eu-west-1a", Ready: 1, Total: 2}, {Zone: "eu-west-1b", Ready: 1, Total: 1}},
	}
	if d := cmp.Diff(want, f.endpoints[r.name][80]); d != "" {
		t.Error(d)
	}
}

func TestZonesAreBounded(t *testing.T) {
	port, long := int32(8080), strings.Repeat("z", 64)
	slice := discoveryv1.EndpointSlice{Ports: []discoveryv1.EndpointPort{{Port: &port}}}
	for i := range federation.MaxZones + 5 {
		zone := string(rune('a' + i))
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{"10.0.0." + zone}, Zone: &zone})
	}
	slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{"10.0.1.1"}, Zone: &long})
	service := &corev1.Service{Spec: ports(corev1.ServicePort{Port: 80})}
	got := collect(service, []discoveryv1.EndpointSlice{slice})[80]
	if len(got.Zones) != federation.MaxZones || got.Zones[0].Zone != "a" || got.Total != federation.MaxZones+6 {
		t.Errorf("%d zones, the first is %+v, %d in all", len(got.Zones), got.Zones[0], got.Total)
	}
	alone := collect(service, []discoveryv1.EndpointSlice{{Ports: slice.Ports, Endpoints: slice.Endpoints[len(slice.Endpoints)-1:]}})[80]
	if len(alone.Zones) != 0 {
		t.Errorf("a name that no node's zone can have is told: %+v", alone.Zones)
	}
}
