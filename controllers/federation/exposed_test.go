package federation

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/controllertest"
	mesh "github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
)

// exposing is a Service in front of a gateway, with a status as a cloud or kubelet writes it.
func exposing(namespace, instance string, kind corev1.ServiceType, ingress ...corev1.LoadBalancerIngress) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: instance, Labels: map[string]string{api.LabelGatewayInstance: instance}},
		Spec:       corev1.ServiceSpec{Type: kind, Ports: []corev1.ServicePort{{Name: "tunnel", Port: 15443}}},
		Status:     corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: ingress}},
	}
}

func TestGatewayAddressIsFoundInItsService(t *testing.T) {
	ns := controllertest.Namespace(t, kube, "exposed")
	c := &Controller{client: kube, reader: kube, namespace: ns}
	for _, s := range []*corev1.Service{
		exposing(ns, "gw-ip", corev1.ServiceTypeLoadBalancer, corev1.LoadBalancerIngress{Hostname: "lb.example.org"}, corev1.LoadBalancerIngress{IP: "192.0.2.1"}),
		exposing(ns, "gw-name", corev1.ServiceTypeLoadBalancer, corev1.LoadBalancerIngress{Hostname: "lb.example.org"}),
		exposing(ns, "gw-waits", corev1.ServiceTypeLoadBalancer),
		exposing(ns, "gw-inside", corev1.ServiceTypeClusterIP),
		exposing(ns, "gw-node", corev1.ServiceTypeNodePort),
		exposing(ns, "gw-unscheduled", corev1.ServiceTypeNodePort),
	} {
		controllertest.CreateWithStatus(t, kube, s)
	}
	controllertest.CreateWithStatus(t, kube, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "gw-node"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}},
		Status:     corev1.PodStatus{HostIP: "198.51.100.7", HostIPs: []corev1.HostIP{{IP: "198.51.100.7"}}},
	})
	var node corev1.Service
	if err := kube.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "gw-node"}, &node); err != nil {
		t.Fatal(err)
	}
	var s engine.Settings
	if err := c.exposed(t.Context(), &s); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"gw-ip": "192.0.2.1:15443", "gw-name": "lb.example.org:15443", "gw-waits": "",
		"gw-node": hostPort("198.51.100.7", node.Spec.Ports[0].NodePort), "gw-unscheduled": "",
	}
	if diff := cmp.Diff(want, s.Exposed); diff != "" {
		t.Error(diff)
	}
}

func TestGatewayWithoutAnExternalAddressIsNamed(t *testing.T) {
	view := &engine.View{Gateways: []engine.GatewayView{gateway(true, nil)}}
	for name, c := range map[string]struct {
		settings engine.Settings
		reason   string
	}{
		"waits":       {engine.Settings{Exposed: map[string]string{"gw-1": ""}}, api.ReasonAddressPending},
		"has one":     {engine.Settings{Exposed: map[string]string{"gw-1": "a:1"}}, api.ReasonConnected},
		"no Service":  {engine.Settings{}, api.ReasonConnected},
		"given by us": {engine.Settings{Exposed: map[string]string{"gw-1": ""}, GatewayAddresses: []mesh.GatewayAddress{{Instance: "gw-1", Address: "b:1"}}}, api.ReasonConnected},
		"another's":   {engine.Settings{Exposed: map[string]string{"gw-2": ""}}, api.ReasonConnected},
	} {
		if got := addressed(gatewaysFinding(view), view, c.settings); got.reason != c.reason {
			t.Errorf("%s: %s (%s), want %s", name, got.reason, got.message, c.reason)
		}
	}
}

func TestOperatorThatStartsWithoutAMeshFederationSaysSo(t *testing.T) {
	r := newRig(t)
	removeAll(t)
	r.fake.settings = &engine.Settings{} // what an earlier membership left behind
	if got := r.all(t.Context()); len(got) != 0 {
		t.Fatalf("there are MeshFederations: %v", got)
	}
	if r.fake.settings != nil {
		t.Error("the engine is not told that there is no federation: what was derived stays for ever")
	}
}
