package federation

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/federation/engine"
)

// gatewayPortName is the port of a gateway's Service that peers connect to.
const gatewayPortName = "tunnel"

// +kubebuilder:rbac:groups="",namespace=causeway-system,resources=pods,verbs=get

// exposed finds where the Services in front of the gateways expose them, one
// Service for each replica. An instance whose Service has no address yet maps to "".
func (c *Controller) exposed(ctx context.Context, s *engine.Settings) error {
	var list corev1.ServiceList
	if err := c.client.List(ctx, &list, client.InNamespace(c.namespace), client.HasLabels{api.LabelGatewayInstance}); err != nil {
		return err
	}
	for i := range list.Items {
		service := &list.Items[i]
		instance := service.Labels[api.LabelGatewayInstance]
		port := gatewayPort(service)
		if instance == "" || port == nil {
			continue
		}
		host, number := "", port.Port
		switch service.Spec.Type {
		case corev1.ServiceTypeLoadBalancer:
			host = ingressHost(service)
		case corev1.ServiceTypeNodePort:
			var err error
			if host, err = c.nodeOf(ctx, instance); err != nil {
				return err
			}
			number = port.NodePort
		default:
			continue // not meant for other clusters
		}
		if s.Exposed == nil {
			s.Exposed = map[string]string{}
		}
		s.Exposed[instance] = ""
		if host != "" && number != 0 {
			s.Exposed[instance] = hostPort(host, number)
		}
	}
	return nil
}

func hostPort(host string, port int32) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }

// gatewayPort is the port of that name, or the only one there is.
func gatewayPort(service *corev1.Service) *corev1.ServicePort {
	for i, p := range service.Spec.Ports {
		if p.Name == gatewayPortName || len(service.Spec.Ports) == 1 {
			return &service.Spec.Ports[i]
		}
	}
	return nil
}

// ingressHost is what the load balancer says of itself: addresses before names,
// since a name costs a look-up at every dial.
func ingressHost(service *corev1.Service) string {
	ingress := slices.Clone(service.Status.LoadBalancer.Ingress)
	slices.SortStableFunc(ingress, func(a, b corev1.LoadBalancerIngress) int {
		return cmp.Compare(strconv.FormatBool(a.IP == ""), strconv.FormatBool(b.IP == ""))
	})
	for _, i := range ingress {
		if host := cmp.Or(i.IP, i.Hostname); host != "" {
			return host
		}
	}
	return ""
}

// nodeOf is the address of the node that runs a gateway; empty while it has none.
func (c *Controller) nodeOf(ctx context.Context, pod string) (string, error) {
	var p corev1.Pod
	err := c.reader.Get(ctx, types.NamespacedName{Namespace: c.namespace, Name: pod}, &p)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	return p.Status.HostIP, err
}

// addressed says of connected gateways which ones cannot be advertised yet.
func addressed(gateways finding, v *engine.View, s engine.Settings) finding {
	var waiting []string
	for _, g := range v.Gateways {
		if address, known := s.Exposed[g.Instance]; g.Connected && known && address == "" && len(s.GatewayAddresses) == 0 {
			waiting = append(waiting, g.Instance)
		}
	}
	if !gateways.ok || len(waiting) == 0 {
		return gateways
	}
	return finding{reason: api.ReasonAddressPending, message: "the Services of " + strings.Join(waiting, ", ") + " have no external address yet: " +
		"wait for the load balancer, choose another way to expose the gateways, or give spec.gateway.addresses"}
}

// ofGateway asks for a look when a gateway's Service changes.
func (c *Controller) ofGateway(ctx context.Context, service client.Object) []reconcile.Request {
	if service.GetNamespace() != c.namespace || service.GetLabels()[api.LabelGatewayInstance] == "" {
		return nil
	}
	return c.all(ctx)
}
