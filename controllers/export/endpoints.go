package export

import (
	"context"
	"maps"
	"net"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
)

// endpoints tells the engine what stands behind an exported service.
func (c *Controller) endpoints(ctx context.Context, name federation.ServiceName, service *corev1.Service, one capacity) error {
	if reason, _ := invalid(name, service); reason != "" {
		c.engine.RemoveEndpoints(name)
		return nil
	}
	var slices discoveryv1.EndpointSliceList
	err := c.client.List(ctx, &slices, client.InNamespace(name.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: name.Name})
	if err != nil {
		return err
	}
	ports := collect(service, slices.Items)
	for number, p := range ports {
		p.Weight, p.Connections = one.weight, one.connections
		ports[number] = p
	}
	c.engine.SetEndpoints(name, ports)
	return nil
}

// collect counts endpoints by service port. A slice speaks of ports by the name
// that they have in the Service; its numbers are the containers'.
func collect(service *corev1.Service, list []discoveryv1.EndpointSlice) map[uint16]engine.PortEndpoints {
	byName := map[string]uint16{}
	out := map[uint16]engine.PortEndpoints{}
	for _, p := range service.Spec.Ports {
		if p.Protocol == corev1.ProtocolTCP || p.Protocol == "" {
			byName[p.Name] = uint16(p.Port)
			out[uint16(p.Port)] = engine.PortEndpoints{Ready: []string{}}
		}
	}
	seen := map[uint16]map[string]endpoint{} // by address: dual-stack and moving slices repeat themselves
	for i := range list {
		for _, p := range list[i].Ports {
			number, ok := servicePort(byName, p)
			if !ok {
				continue
			}
			if seen[number] == nil {
				seen[number] = map[string]endpoint{}
			}
			addAll(seen[number], list[i].Endpoints, *p.Port)
		}
	}
	for number, addresses := range seen {
		out[number] = count(addresses)
	}
	return out
}

// endpoint is one of a port's.
type endpoint struct {
	ready bool
	zone  federation.Zone // empty if the slices do not say
}

func count(addresses map[string]endpoint) engine.PortEndpoints {
	out := engine.PortEndpoints{Ready: []string{}, Total: len(addresses)}
	zones := map[federation.Zone]federation.ZoneCount{}
	for address, e := range addresses {
		z := zones[e.zone]
		z.Zone = e.zone
		z.Total++
		if e.ready {
			z.Ready++
			out.Ready = append(out.Ready, address)
		}
		zones[e.zone] = z
	}
	delete(zones, "")
	slices.Sort(out.Ready)
	for _, name := range slices.Sorted(maps.Keys(zones)) {
		out.Zones = append(out.Zones, zones[name])
	}
	out.Zones = out.Zones[:min(len(out.Zones), federation.MaxZones)]
	return out
}

func servicePort(byName map[string]uint16, p discoveryv1.EndpointPort) (uint16, bool) {
	if p.Port == nil || (p.Protocol != nil && *p.Protocol != corev1.ProtocolTCP) {
		return 0, false
	}
	name := ""
	if p.Name != nil {
		name = *p.Name
	}
	number, ok := byName[name]
	return number, ok
}

func addAll(addresses map[string]endpoint, endpoints []discoveryv1.Endpoint, port int32) {
	for _, e := range endpoints {
		if len(e.Addresses) == 0 {
			continue
		}
		// The API says: an endpoint's addresses are interchangeable, use the first.
		address := net.JoinHostPort(e.Addresses[0], strconv.Itoa(int(port)))
		one := addresses[address]
		one.ready = one.ready || serving(e.Conditions)
		if e.Zone != nil && len(*e.Zone) <= maxZone {
			one.zone = federation.Zone(*e.Zone)
		}
		addresses[address] = one
	}
}

// maxZone is the length of a label's value, which the name of a zone is. A longer one
// is no zone of a node, and is counted in none.
const maxZone = 63

// serving reads absent conditions as the API says: ready is true, terminating false.
func serving(c discoveryv1.EndpointConditions) bool {
	return (c.Ready == nil || *c.Ready) && (c.Terminating == nil || !*c.Terminating)
}
