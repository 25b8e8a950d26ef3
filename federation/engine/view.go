package engine

import (
	"reflect"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// View is what the engine knows at one moment. It is immutable.
type View struct {
	// Configured: settings are in force. Leading: this replica leads.
	Configured, Leading bool
	// StoreSynced: the store has been read in full at least once since the process
	// began. Before that nothing may be deleted on account of this View.
	StoreSynced bool
	Epoch       uint64
	Store       StoreStatus
	Gossip      GossipStatus
	// NameConflict is not empty when another cluster holds our name.
	NameConflict string
	// Registration is not empty when registering failed, with the reason.
	Registration string
	Self         federation.ClusterName
	Members      []MemberView // by name
	Exports      map[federation.ServiceName][]federation.Export
	Policies     []HeldPolicy  // by Order
	Gateways     []GatewayView // by instance
	Decisions    map[federation.ServicePort]routing.Decision
	Table        routing.TableVersion
	// Legs are the directed ways between clusters, measured or estimated, by both ends; they
	// were put together LegsAge ago, by which each is older than it says. Read only.
	Legs    []federation.Leg
	LegsAge time.Duration
	// RecordAges are the ages of the oldest health record held of each other cluster.
	RecordAges map[federation.ClusterName]time.Duration
	// Own is what this cluster says of the service ports that it exports.
	Own map[federation.ServicePort]federation.Health
	// APIServerLost: our leader's API server does not answer it.
	APIServerLost bool
}

// StoreStatus says how we stand with the policy store.
type StoreStatus struct {
	Connected bool
	Reason    string // Connected, Unreachable, Untrusted, Forbidden, NotSynced, NotConfigured
	Message   string
	Revision  uint64
	Age       time.Duration // since the store last proved that what we hold is current
}

// GossipStatus says how we stand with the other clusters' operators.
type GossipStatus struct {
	Running bool
	Epoch   uint64
	Reason  string // Running, NoIdentity, NotLeading, NotConfigured, Failed
	Message string
	Alive   int // other members that answer
}

// MemberView is a member with our verdict on it.
type MemberView struct {
	federation.Member
	Self    bool
	Verdict federation.Verdict
}

// GatewayView is one of our own gateway replicas.
type GatewayView struct {
	routing.GatewayReport
	Connected bool
	// Age is the time since its last report, Gone since its stream ended (0 while
	// connected).
	Age, Gone time.Duration
}

// material is the part of a View whose change is worth telling: everything but
// ages and measures, which change at every look.
func (v *View) material() View {
	m := *v
	m.Store.Age = 0
	m.Store.Message = ""
	m.Legs, m.LegsAge, m.RecordAges, m.Own = nil, 0, nil, nil
	m.Members = nil
	for _, one := range v.Members {
		one.Verdict = federation.Verdict{Kind: one.Verdict.Kind}
		m.Members = append(m.Members, one)
	}
	m.Gateways = nil
	for _, g := range v.Gateways {
		g.Age = 0
		if g.Gone > 0 {
			g.Gone = 1
		}
		g.Paths, g.Uses = nil, nil
		m.Gateways = append(m.Gateways, g)
	}
	m.Decisions = make(map[federation.ServicePort]routing.Decision, len(v.Decisions))
	for port, d := range v.Decisions {
		candidates := make([]routing.Candidate, len(d.Candidates))
		for i, c := range d.Candidates {
			c.HealthAge, c.Verdict = 0, federation.Verdict{Kind: c.Verdict.Kind}
			c.Load, c.Errors = federation.Measure{}, federation.Measure{}
			candidates[i] = c
		}
		d.Candidates = candidates
		m.Decisions[port] = d
	}
	return m
}

func sameMaterial(a, b *View) bool {
	return reflect.DeepEqual(a.material(), b.material())
}
