package engine

import (
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/gossip"
	"github.com/causeway-mesh/causeway/federation/liveness"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// reportMaxAge is how old a connected gateway's report may be to be evidence. Reports
// come every second; a gateway that hangs keeps its stream for some seconds more.
const reportMaxAge = 5 * time.Second

// evidence gathers what each witness says of each other member.
func (e *Engine) evidence(know knowledge) map[federation.ClusterName]liveness.Evidence {
	out := map[federation.ClusterName]liveness.Evidence{}
	if e.settings == nil {
		return out
	}
	self := e.settings.Cluster
	hints := byPeer(know.legs, self)
	for name, m := range e.state.Members {
		if name == self {
			continue
		}
		out[name] = liveness.Evidence{
			Self: self, Others: len(e.state.Members) - 1, Paths: know.paths[name], Member: membership(know.members, name),
			Owner:        liveness.Owner{Age: know.silent(name), APIServerLost: m.APIServerLost},
			Unregistered: len(m.Gateways) == 0, Legs: hints[name],
		}
	}
	return out
}

// pathsByPeer are what our gateways say of each peer's, their reports' age added to
// silence.
func (e *Engine) pathsByPeer(now time.Duration) map[federation.ClusterName][]routing.PathReport {
	out := map[federation.ClusterName][]routing.PathReport{}
	for _, g := range e.gateways {
		if !g.connected || now-g.heard > reportMaxAge {
			continue
		}
		for _, p := range g.report.Paths {
			p.Silence += now - g.heard
			out[p.Cluster] = append(out[p.Cluster], p)
		}
	}
	return out
}

// silent is how long ago a peer's leader last spoke; negative if it was never heard. A
// cluster that exports nothing beats all the same; one of version 1 has only its records.
func (k knowledge) silent(name federation.ClusterName) time.Duration {
	age, heard := k.spoken[name]
	if !heard {
		age = -1
	}
	for _, r := range k.records[name] {
		if age < 0 || r.Age < age {
			age = r.Age
		}
	}
	return age
}

func membership(members map[federation.ClusterName]gossip.MemberState, name federation.ClusterName) liveness.Membership {
	m, ok := members[name]
	if !ok {
		return liveness.MemberUnknown
	}
	return liveness.Membership(m.Status)
}

// byPeer sorts what is told by the peer that it bears on: others' ways to it, and its own
// way to us.
func byPeer(legs []federation.Leg, self federation.ClusterName) map[federation.ClusterName][]federation.Leg {
	out := map[federation.ClusterName][]federation.Leg{}
	for _, l := range legs {
		switch {
		case l.From == self:
		case l.To == self:
			out[l.From] = append(out[l.From], l)
		default:
			out[l.To] = append(out[l.To], l)
		}
	}
	return out
}

// recordAges are the ages of the oldest record that is held of each other cluster.
func recordAges(records map[federation.ClusterName]map[federation.ServicePort]federation.HeldRecord) map[federation.ClusterName]time.Duration {
	out := map[federation.ClusterName]time.Duration{}
	for name, held := range records {
		for _, r := range held {
			if !r.Withdrawn {
				out[name] = max(out[name], r.Age)
			}
		}
	}
	return out
}
