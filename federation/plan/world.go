package plan

import (
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// World is what one operator knows, from which it predicts for all members.
type World struct {
	// Inputs are those of its own cluster's last decision; Policies in them are not read.
	// Egress nil is unknown: it is taken to import every exported port, as the others are.
	Inputs routing.Inputs
	// State and Now are what Compute was given with them.
	State routing.State
	Now   time.Duration
	// Published are the newest policies of the store, by Order.
	Published []federation.Policy
	// InForce are the policies that hold in a member now, by Order.
	InForce func(federation.Member) []federation.Policy
	// Legs are the ways between the clusters, as far as they are known.
	Legs []federation.Leg
}

// pair is a directed way.
type pair struct{ from, to federation.ClusterName }

// lane is one from region to region.
type lane struct{ from, to federation.Region }

// atlas is a World with its legs sorted.
type atlas struct {
	World
	legs map[pair]federation.Leg
	// nearest is the least round trip that any cluster of one region has to any of another.
	nearest map[lane]time.Duration
	// exported are all ports that gateways could carry.
	exported map[federation.ServicePort]routing.EgressPort
	// carried are the services with such a port.
	carried map[federation.ServiceName]bool
}

func survey(w World) atlas {
	a := atlas{World: w, legs: map[pair]federation.Leg{}, nearest: map[lane]time.Duration{}, exported: exported(w), carried: map[federation.ServiceName]bool{}}
	for port := range a.exported {
		a.carried[port.Service] = true
	}
	for _, l := range w.Legs {
		a.legs[pair{l.From, l.To}] = l
		at := lane{w.Inputs.Members[l.From].Region, w.Inputs.Members[l.To].Region}
		if had, ok := a.nearest[at]; l.RTT > 0 && (!ok || l.RTT < had) {
			a.nearest[at] = l.RTT
		}
	}
	return a
}

func exported(w World) map[federation.ServicePort]routing.EgressPort {
	out := map[federation.ServicePort]routing.EgressPort{}
	for svc, exports := range w.Inputs.Exports {
		for _, e := range exports {
			for _, p := range e.Ports {
				if p.Protocol == federation.TCP {
					out[federation.ServicePort{Service: svc, Port: p.Port}] = routing.EgressPort{AppProtocol: p.AppProtocol}
				}
			}
		}
	}
	return out
}

// inputs are what consumer would decide by, as far as we can know, for the given
// services: our own inputs for ourselves.
func (a atlas) inputs(consumer federation.ClusterName, policies []federation.Policy, services map[federation.ServiceName]bool) routing.Inputs {
	in := a.Inputs
	in.Policies = policies
	in.Egress = map[federation.ServicePort]routing.EgressPort{}
	imported := a.exported
	if consumer == a.Inputs.Self && a.Inputs.Egress != nil {
		imported = a.Inputs.Egress
	}
	for port, egress := range imported {
		if services[port.Service] {
			in.Egress[port] = egress
		}
	}
	if consumer == a.Inputs.Self {
		return in
	}
	in.Self = consumer
	in.Verdicts = make(map[federation.ClusterName]federation.Verdict, len(in.Members))
	for to := range in.Members {
		if to != consumer {
			in.Verdicts[to] = a.verdict(consumer, to)
		}
	}
	return in
}

// verdict is what one cluster concludes of another: ours, but for the way between the
// two, of which its own gateways' word counts.
func (a atlas) verdict(from, to federation.ClusterName) federation.Verdict {
	v := a.Inputs.Verdicts[to] // none of ourselves, which takes no target out
	l := a.legs[pair{from, to}]
	switch {
	case l.Up && v.Kind.Dead():
		v.Kind, v.Cause = federation.Reachable, "its gateways answer those of "+string(from)
	case l.Down && !v.Kind.Dead():
		v.Kind, v.Cause = federation.LinkDown, "no gateway of it answers those of "+string(from)
	}
	v.RTT = l.RTT
	if v.RTT == 0 {
		v.RTT = a.nearest[lane{a.Inputs.Members[from].Region, a.Inputs.Members[to].Region}]
	}
	return v
}
