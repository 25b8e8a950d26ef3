package engine

import (
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/explain"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// Status is the view as a person is told it.
func (v *View) Status() explain.Status {
	s := explain.Status{
		Leading: v.Leading, Epoch: v.Epoch, Cluster: string(v.Self), NameConflict: v.NameConflict, Registration: v.Registration,
		Store: explain.Store{
			Connected: v.Store.Connected, Reason: v.Store.Reason, Message: v.Store.Message,
			Revision: v.Store.Revision, AgeMS: v.Store.Age.Milliseconds(),
		},
		Gossip:   explain.Gossip{Running: v.Gossip.Running, Reason: v.Gossip.Reason, Message: v.Gossip.Message, Alive: v.Gossip.Alive},
		Members:  []explain.Member{},
		Gateways: []explain.Gateway{},
		Services: explain.Services(v.Decisions, nil),
		Matrix:   v.matrix(), APIServerLost: v.APIServerLost,
	}
	for _, m := range v.Members {
		s.Members = append(s.Members, member(m))
	}
	for _, g := range v.Gateways {
		s.Gateways = append(s.Gateways, v.gateway(g))
	}
	return s
}

func member(m MemberView) explain.Member {
	out := explain.Member{
		Name: string(m.Name), Region: string(m.Region), Zone: string(m.Zone), Self: m.Self,
		Verdict: string(m.Verdict.Kind), Reason: m.Verdict.Reason, Cause: m.Verdict.Cause, AgeMS: m.Verdict.Age.Milliseconds(),
		ProofMS: m.Verdict.ProofAge.Milliseconds(), RTTMS: explain.Millis(m.Verdict.RTT), JitterMS: explain.Millis(m.Verdict.Jitter), Loss: m.Verdict.Loss, Gateways: []string{},
	}
	for _, g := range m.Gateways {
		out.Gateways = append(out.Gateways, g.Address)
	}
	return out
}

func (v *View) matrix() []explain.Leg {
	out := []explain.Leg{}
	regions := map[federation.ClusterName]string{}
	for _, m := range v.Members {
		regions[m.Name] = string(m.Region)
	}
	for _, l := range v.Legs {
		state := routing.PathUnknown
		switch {
		case l.Up:
			state = routing.PathUp
		case l.Down:
			state = routing.PathDown
		}
		out = append(out, explain.Leg{
			From: string(l.From), FromRegion: regions[l.From], To: string(l.To), ToRegion: regions[l.To], State: string(state),
			RTTMS: explain.Millis(l.RTT), JitterMS: explain.Millis(l.Jitter), Loss: l.Loss, AgeMS: (l.Age + v.LegsAge).Milliseconds(), Estimated: l.Estimated,
		})
	}
	return out
}

func (v *View) gateway(g GatewayView) explain.Gateway {
	out := explain.Gateway{
		Instance: g.Instance, Connected: g.Connected, Advertise: g.Advertise, Draining: g.Draining,
		TableEpoch: g.Applied.Epoch, Table: g.Applied.Sequence, Behind: g.Applied != v.Table,
	}
	for port, reason := range g.FailedPorts {
		if out.FailedPorts == nil {
			out.FailedPorts = map[string]string{}
		}
		out.FailedPorts[port.String()] = reason
	}
	for cluster, reason := range g.TrustErrors {
		if out.Untrusted == nil {
			out.Untrusted = map[string]string{}
		}
		out.Untrusted[string(cluster)] = reason
	}
	return out
}
