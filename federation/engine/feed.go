package engine

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// gateway is one of our own gateway replicas, as its feed shows it.
type gateway struct {
	report    routing.GatewayReport
	heard     time.Duration // when the last report came
	connected bool
	gone      time.Duration // when the stream ended
}

// forgetAfter is how long a gateway that went away is remembered.
const forgetAfter = 10 * time.Minute

// OnReport takes a gateway's evidence; the route feed calls it.
func (e *Engine) OnReport(r routing.GatewayReport) {
	e.mu.Lock()
	defer e.mu.Unlock()
	g := e.gateways[r.Instance]
	if g == nil {
		g = &gateway{}
		e.gateways[r.Instance] = g
	}
	changed := !g.connected || !sameReport(g.report, r)
	g.report, g.heard, g.connected = r, e.now(), true
	if changed {
		e.touch()
	}
}

// OnGone is called by the route feed when a gateway's stream has ended.
func (e *Engine) OnGone(instance string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if g := e.gateways[instance]; g != nil {
		g.connected, g.gone = false, e.now()
		e.touch()
	}
}

// sameReport compares what leads to a decision; ages, round trips and uses wait for the
// next tick.
func sameReport(a, b routing.GatewayReport) bool {
	state := func(p, q routing.PathReport) bool {
		return p.Address == q.Address && p.State == q.State && p.Refused == q.Refused && p.Hung == q.Hung &&
			p.Unheard == q.Unheard && p.Draining == q.Draining
	}
	return a.Advertise == b.Advertise && a.Local == b.Local && a.Draining == b.Draining &&
		slices.EqualFunc(a.Paths, b.Paths, state) && maps.Equal(a.FailedPorts, b.FailedPorts) &&
		maps.Equal(a.TrustErrors, b.TrustErrors)
}

// gatewayViews lists our gateways; the caller holds mu.
func (e *Engine) gatewayViews(now time.Duration) []GatewayView {
	var out []GatewayView
	for name, g := range e.gateways {
		if !g.connected && now-g.gone > forgetAfter {
			delete(e.gateways, name)
			continue
		}
		v := GatewayView{GatewayReport: g.report, Connected: g.connected, Age: now - g.heard}
		v.Advertise = e.address(g.report)
		if !g.connected {
			v.Gone = max(1, now-g.gone)
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b GatewayView) int { return cmp.Compare(a.Instance, b.Instance) })
	return out
}

// advertised is the list of gateway addresses to register. A replica that is
// registered but not connected stays for the grace: its successor at the same
// name may be on its way, and a new leader hears its gateways one by one.
func (e *Engine) advertised(now time.Duration) []federation.GatewayAddress {
	if len(e.settings.GatewayAddresses) > 0 {
		return e.settings.GatewayAddresses
	}
	byName := map[string]federation.GatewayAddress{}
	for _, a := range e.state.Members[e.settings.Cluster].Gateways {
		last := e.since
		if g := e.gateways[a.Instance]; g != nil {
			last = max(last, g.gone)
		}
		if now-last <= e.cfg.GatewayGrace {
			byName[a.Instance] = a
		}
	}
	for name, g := range e.gateways {
		if address := e.address(g.report); address != "" && g.connected && !g.report.Draining {
			byName[name] = federation.GatewayAddress{Instance: name, Address: address}
		}
	}
	if len(byName) == 0 {
		return e.state.Members[e.settings.Cluster].Gateways // never the last one
	}
	out := slices.SortedFunc(maps.Values(byName), func(a, b federation.GatewayAddress) int {
		return cmp.Compare(a.Instance, b.Instance)
	})
	return out[:min(len(out), federation.MaxGatewaysPerCluster)]
}

// address is where peers reach one of our gateways; empty while that is not known.
func (e *Engine) address(r routing.GatewayReport) string {
	if e.settings != nil {
		if exposed, known := e.settings.Exposed[r.Instance]; known {
			return exposed
		}
	}
	return r.Advertise
}
