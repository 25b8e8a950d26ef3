package engine

import (
	"slices"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

const (
	// measureEvery is how often our clients' calls are told to whoever coordinates, while
	// a policy that speaks of them is rolled out.
	measureEvery = 2 * time.Second
	// enoughCalls is how many outcomes within routing.UseWindow a measurement takes: one
	// failure of few says little.
	enoughCalls = 10
)

// measurement is what our clients' calls were last told to be.
type measurement struct {
	at    time.Duration
	calls []federation.ServiceCalls
}

// presence is what the policy store shows of us; the caller holds mu.
func (e *Engine) presence(now time.Duration) federation.Presence {
	rolled := e.rolledOut()
	switch {
	case len(rolled) == 0:
		e.measured = measurement{}
	case e.measured.calls == nil || now-e.measured.at >= measureEvery:
		e.measured = measurement{at: now, calls: e.calls(now, rolled)}
	}
	return federation.Presence{Applied: e.applied(now), Calls: e.measured.calls}
}

// applied is the store's revision that all our gateways act on.
func (e *Engine) applied(now time.Duration) uint64 {
	if e.unheard(now) {
		return e.acted // a gateway that is on its way to us acts on an older table
	}
	for _, g := range e.gateways {
		if g.connected && g.report.Applied != e.table.Version {
			return e.acted
		}
	}
	e.acted = e.tableRevision
	return e.acted
}

// rolledOut are the services whose policies are on their way, by name.
func (e *Engine) rolledOut() []federation.ServiceName {
	var out []federation.ServiceName
	for _, p := range e.state.Policies {
		switch e.state.Rollouts[p.ID].Phase {
		case federation.RolloutProgressing, federation.RolloutPaused:
			out = append(out, p.Targets...)
		}
	}
	slices.SortFunc(out, federation.ServiceName.Compare)
	out = slices.Compact(out)
	return out[:min(len(out), federation.MaxPresenceCalls)]
}

// calls sums up what our gateways count of calls to services. It is never nil. What too
// few have called, or a gateway that should count does not tell, is unknown.
func (e *Engine) calls(now time.Duration, services []federation.ServiceName) []federation.ServiceCalls {
	out := make([]federation.ServiceCalls, 0, len(services))
	type sum struct {
		outcomes, failed uint64
		slowest          time.Duration
	}
	ports := map[federation.ServicePort]sum{}
	for _, g := range e.gateways {
		if !g.connected || now-g.heard > reportMaxAge {
			continue
		}
		for port, c := range g.report.Calls {
			s := ports[port]
			ports[port] = sum{s.outcomes + uint64(c.Outcomes), s.failed + uint64(c.Failed), max(s.slowest, c.Slowest)}
		}
	}
	for _, service := range services {
		one := federation.ServiceCalls{Service: service}
		for port, s := range ports {
			if port.Service != service || s.outcomes < enoughCalls {
				continue
			}
			one.Errors = one.Errors.Worse(share(s.failed, s.outcomes, 1))
			one.Latency = max(one.Latency, s.slowest)
		}
		out = append(out, one)
	}
	return out
}
