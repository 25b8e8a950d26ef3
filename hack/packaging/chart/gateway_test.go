package chart_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
)

func TestNetworkPolicyKnowsTheEgressPorts(t *testing.T) {
	p := find[*networkingv1.NetworkPolicy](t, rendered(t), "causeway-gateway")
	for _, rule := range p.Spec.Ingress {
		for _, port := range rule.Ports {
			if port.EndPort == nil {
				continue
			}
			if port.Port.IntValue() != api.EgressPortMin || *port.EndPort != api.EgressPortMax || len(rule.From) == 0 {
				t.Errorf("egress ports %s to %d from %v", port.Port, *port.EndPort, rule.From)
			}
			return
		}
	}
	t.Error("no rule for the egress ports")
}

func TestOnlyGatewaysReachFeedAndGossip(t *testing.T) {
	p := find[*networkingv1.NetworkPolicy](t, rendered(t), "causeway-operator")
	for _, rule := range p.Spec.Ingress {
		for _, port := range rule.Ports {
			if n := port.Port.IntValue(); n != 15010 && n != 15011 {
				continue
			}
			if len(rule.From) != 1 || rule.From[0].NamespaceSelector != nil || rule.From[0].PodSelector.MatchLabels["app.kubernetes.io/name"] != "causeway-gateway" {
				t.Errorf("port %s is open to %v", port.Port, rule.From)
			}
		}
	}
}

func TestEachReplicaHasAnAddressOfItsOwn(t *testing.T) {
	objects := rendered(t, `gateway: {replicas: 3, expose: {type: NodePort, nodePorts: [30443, 30444, 30445]}}`)
	for n := range 3 {
		name := "causeway-gateway-" + strconv.Itoa(n)
		s := find[*corev1.Service](t, objects, name)
		if s.Labels["federation.causeway.dev/gateway-instance"] != name || s.Spec.Selector["statefulset.kubernetes.io/pod-name"] != name {
			t.Errorf("%s is for another instance", name)
		}
		if s.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal || s.Spec.Ports[0].NodePort != int32(30443+n) {
			t.Errorf("%s: %v", name, s.Spec)
		}
	}
	for _, kind := range []string{"HostPort", "None"} {
		for _, o := range rendered(t, `gateway: {expose: {type: `+kind+`}}`) {
			if s, ok := o.(*corev1.Service); ok && strings.HasPrefix(s.Name, "causeway-gateway-") {
				t.Errorf("%s: there is a Service %s", kind, s.Name)
			}
		}
	}
}

func TestHostPortKeepsGatewaysApartAndAdvertisesTheNode(t *testing.T) {
	set := find[*appsv1.StatefulSet](t, rendered(t, variants["host port with node affinity"]), "causeway-gateway")
	spec := set.Spec.Template.Spec
	if a := spec.Affinity; a.NodeAffinity == nil || len(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution) != 1 {
		t.Errorf("affinity %v", a)
	}
	var names []string
	for _, e := range spec.Containers[0].Env {
		if names = append(names, e.Name); e.Name == "CAUSEWAY_ADVERTISE" && e.Value != "$(HOST_IP):15443" {
			t.Errorf("advertises %s", e.Value)
		}
	}
	if host, adv := slices.Index(names, "HOST_IP"), slices.Index(names, "CAUSEWAY_ADVERTISE"); host < 0 || adv < host {
		t.Errorf("HOST_IP must stand before what uses it: %v", names)
	}
}

func TestAPodOutlivesItsDrain(t *testing.T) {
	set := find[*appsv1.StatefulSet](t, rendered(t, `gateway: {drainSeconds: 300, shutdownDelaySeconds: 7}`), "causeway-gateway")
	if grace := *set.Spec.Template.Spec.TerminationGracePeriodSeconds; grace <= 307 {
		t.Errorf("grace %d s for 7 s + 300 s", grace)
	}
	args := set.Spec.Template.Spec.Containers[0].Args
	if !slices.Contains(args, "--drain-timeout=300s") || !slices.Contains(args, "--shutdown-delay=7s") {
		t.Errorf("arguments %v", args)
	}
}

func TestGoLeavesATenthOfTheMemoryLimit(t *testing.T) {
	for limit, want := range map[string]string{"512Mi": "483183820", "2Gi": "1932735283", "1000Ki": "921600", "1e9": ""} {
		set := find[*appsv1.StatefulSet](t, rendered(t, `gateway: {resources: {limits: {memory: "`+limit+`"}}}`), "causeway-gateway")
		got := ""
		for _, e := range set.Spec.Template.Spec.Containers[0].Env {
			if e.Name == "GOMEMLIMIT" {
				got = e.Value
			}
		}
		if got != want {
			t.Errorf("limit %q: GOMEMLIMIT %q, want %q", limit, got, want)
		}
	}
}

func TestAddressesWithoutAPortHaveThatOfTheExposure(t *testing.T) {
	for name, one := range map[string]struct{ expose, want string }{
		"load balancer": {`port: 443, addresses: [a, "[fd00::1]"]`, "a:443 [fd00::1]:443"},
		"host port":     {`type: HostPort, hostPort: 9443, addresses: ["a:1", b]`, "a:1 b:9443"},
		"pod network":   {`type: None, port: 443, addresses: [a, "b:2"]`, "a:15443 b:2"},
	} {
		f := find[*api.MeshFederation](t, rendered(t, `gateway: {expose: {`+one.expose+`}}`), "demo")
		var got []string
		for _, a := range f.Spec.Gateway.Addresses {
			got = append(got, string(a.Address))
		}
		if strings.Join(got, " ") != one.want {
			t.Errorf("%s: %v, want %s", name, got, one.want)
		}
	}
}
