package serviceimport

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/causeway-mesh/causeway/federation"
)

// merged is one service as its exports together describe it.
type merged struct {
	clusters []string // sorted
	ports    []federation.ExportedPort
	headless bool
}

// merge unites the ports of all exports; where two differ about a number or a
// name, the lowest order counts (KEP-1645). exports come sorted by order.
func merge(exports []federation.Export) merged {
	var m merged
	for i, x := range exports {
		m.clusters = append(m.clusters, string(x.Cluster))
		if i == 0 {
			m.headless = x.Headless
		}
		for _, p := range x.Ports {
			clash := slices.ContainsFunc(m.ports, func(q federation.ExportedPort) bool {
				return q.Port == p.Port || q.Name == p.Name
			})
			if !clash {
				m.ports = append(m.ports, p)
			}
		}
	}
	slices.Sort(m.clusters)
	m.clusters = slices.Compact(m.clusters)
	slices.SortFunc(m.ports, func(a, b federation.ExportedPort) int { return int(a.Port) - int(b.Port) })
	return m
}

// egress are the ports that need an egress port, with their protocols.
func (m merged) egress() map[uint16]string {
	out := map[uint16]string{}
	if m.headless {
		return out
	}
	for _, p := range m.ports {
		out[p.Port] = p.AppProtocol
	}
	return out
}

func (m merged) importPorts() []mcs.ServicePort {
	out := []mcs.ServicePort{}
	for _, p := range m.ports {
		out = append(out, mcs.ServicePort{Name: p.Name, Protocol: corev1.ProtocolTCP, AppProtocol: pointer(p.AppProtocol), Port: int32(p.Port)})
	}
	return out
}

func pointer(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
