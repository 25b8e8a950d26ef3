package engine

import (
	"math"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// PortEndpoints are the endpoints of one port of a local service.
type PortEndpoints struct {
	Ready []string // "ip:port", sorted
	Total int
	// Zones splits the counts by zone, by name; endpoints without a zone are in none.
	Zones []federation.ZoneCount
	// Weight is the capacity of one endpoint; 0 is read as 1.
	Weight uint32
	// Connections is how many one endpoint bears at a time; 0 is not stated.
	Connections uint32
}

// health is what we say of one port. use is what goes on at it; counted says whether
// that is known.
func (p PortEndpoints) health(use routing.PortUse, counted bool) federation.Health {
	h := federation.Health{Ready: uint32(len(p.Ready)), Total: uint32(p.Total), Zones: p.Zones} //nolint:gosec // counts
	h.Capacity = uint32(min(uint64(h.Ready)*uint64(max(1, p.Weight)), math.MaxUint32))          //nolint:gosec // bounded
	if counted {
		h.Load = share(uint64(use.InFlight), uint64(h.Ready)*uint64(p.Connections), loadStep)
		h.Errors = share(uint64(use.Failed), uint64(use.Ended), 1)
	}
	return h
}

// loadStep coarsens the load that is told, in thousandths: a connection more or less of
// many is no news.
const loadStep = 10

// share is n of all in thousandths, a multiple of step, and never 0 unless n is; not
// known if all is 0.
func share(n, all, step uint64) federation.Measure {
	if all == 0 {
		return federation.Measure{}
	}
	m := (n*1000/step + all/2) / all * step
	if n > 0 {
		m = max(m, step)
	}
	return federation.Measure{Known: true, PerMille: uint16(min(m, math.MaxUint16))} //nolint:gosec // bounded
}

// health is that of each port that we serve to others; the caller holds mu.
func (e *Engine) health(now time.Duration) map[federation.ServicePort]federation.Health {
	uses, counted := e.uses(now)
	out := map[federation.ServicePort]federation.Health{}
	for port := range e.served() {
		out[port] = e.local[port.Service][port.Port].health(uses[port], counted)
	}
	return out
}

// ownHealth is our own part of the health book, always current.
func ownHealth(self federation.ClusterName, own map[federation.ServicePort]federation.Health) map[federation.ServicePort]federation.HeldRecord {
	out := make(map[federation.ServicePort]federation.HeldRecord, len(own))
	for port, h := range own {
		out[port] = federation.HeldRecord{HealthRecord: h.Record(self, port, federation.Version{})}
	}
	return out
}

// uses sums up what our gateways count, by service port. It is known only if every one
// of them that may be carrying has said it lately: a sum that lacks one looks like room
// that is not there.
func (e *Engine) uses(now time.Duration) (sum map[federation.ServicePort]routing.PortUse, counted bool) {
	if e.unheard(now) {
		return nil, false
	}
	sum = map[federation.ServicePort]routing.PortUse{}
	for _, g := range e.gateways {
		switch {
		case !g.connected && (g.report.Draining || now-g.gone > e.cfg.GatewayGrace):
			continue // it has gone
		case !g.connected || g.report.Uses == nil || now-g.heard > reportMaxAge:
			return nil, false
		}
		counted = true
		for port, u := range g.report.Uses {
			s := sum[port]
			sum[port] = routing.PortUse{InFlight: s.InFlight + u.InFlight, Ended: s.Ended + u.Ended, Failed: s.Failed + u.Failed}
		}
	}
	return sum, counted
}

// unheard says whether a gateway that is registered may still be on its way to us: a
// new leader hears them one by one.
func (e *Engine) unheard(now time.Duration) bool {
	if e.settings == nil || now-e.since > e.cfg.GatewayGrace {
		return false
	}
	for _, a := range e.state.Members[e.settings.Cluster].Gateways {
		if e.gateways[a.Instance] == nil {
			return true
		}
	}
	return false
}
