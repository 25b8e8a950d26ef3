package sim

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/gossip"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/liveness"
	"github.com/causeway-mesh/causeway/federation/routing"
	"github.com/causeway-mesh/causeway/federation/sim/memnet"
)

const (
	fedName     = "sim"
	trustDomain = federation.TrustDomain("sim.example.org")
	// thinkEvery is how often an operator judges and computes although nothing is new.
	thinkEvery = 250 * time.Millisecond
)

// seat is one reign of one cluster's operator: the real gossip, and the pure cores fed
// as the engine feeds them.
type seat struct {
	w       *World
	cluster int
	epoch   uint64
	born    time.Duration
	gossip  *gossip.Gossip
	host    *memnet.Host
	cancel  context.CancelFunc
	done    chan struct{} // closed when Run and thinking have ended
	doomed  atomic.Bool   // its host is about to die, and its listener with it

	mu      sync.Mutex
	held    map[federation.ClusterName]liveness.Held
	state   routing.State
	thought thought
}

// thought is what one round of an operator came to, and what it knew.
type thought struct {
	at       time.Duration
	records  map[federation.ClusterName]map[federation.ServicePort]federation.HeldRecord
	members  map[federation.ClusterName]gossip.MemberState
	verdicts map[federation.ClusterName]federation.Verdict
	result   routing.Result
}

// newSeat makes a reign; nothing is said before publish.
func (w *World) newSeat(c int, epoch uint64) (*seat, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &seat{
		w: w, cluster: c, epoch: epoch, born: w.now(), host: w.net.NewHost(siteOf(c)), cancel: cancel, done: make(chan struct{}),
	}
	id := w.identities[c]
	cfg := gossip.DefaultConfig()
	cfg.Federation, cfg.Cluster, cfg.Epoch = fedName, clusterName(c), epoch
	config := id.ClientConfig(nil, "")
	g, err := gossip.New(cfg, gossip.Deps{
		Listener:    s.host.Listener(),
		ServerTLS:   id.ServerConfig(operators(nil), federation.ALPNGossip),
		ClientTLS:   func(peer federation.ClusterName) *tls.Config { return clientTLS(id, peer) },
		Certificate: func() (*tls.Certificate, error) { return config.GetClientCertificate(nil) },
		VerifyChain: verifyChain(id),
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			return s.host.Dial(ctx, memnet.Site(address))
		},
		PeerCluster: peerCluster,
		Superseded:  func(uint64) { cancel() },
	})
	if err != nil {
		cancel()
		return nil, err
	}
	s.gossip = g
	g.SetPeers(w.addresses(c))
	go s.run(ctx)
	return s, nil
}

func operators(allowed func(federation.ClusterName) bool) identity.Authorizer {
	return identity.Members(fedName, identity.RoleOperator, func(c federation.ClusterName, _ federation.TrustDomain) bool {
		return allowed == nil || allowed(c)
	})
}

func clientTLS(id *identity.Source, peer federation.ClusterName) *tls.Config {
	only := operators(func(c federation.ClusterName) bool { return c == peer })
	return id.ClientConfig(only, federation.SeatServerName(fedName, peer), federation.ALPNGossip)
}

func verifyChain(id *identity.Source) func([]*x509.Certificate) (federation.ClusterName, error) {
	auth := operators(nil)
	return func(chain []*x509.Certificate) (federation.ClusterName, error) {
		who, err := id.Verify(tls.ConnectionState{PeerCertificates: chain})
		if err == nil {
			err = auth(who)
		}
		return who.Cluster, err
	}
}

func peerCluster(cs tls.ConnectionState) (federation.ClusterName, error) {
	id, err := identity.PeerID(cs)
	return id.Cluster, err
}

func (s *seat) run(ctx context.Context) {
	defer close(s.done)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.gossip.Run(ctx); !s.doomed.Load() {
			s.w.note(err)
		}
	})
	s.think()
	tick := time.NewTicker(thinkEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			s.think()
		case <-s.gossip.Changed():
			s.think()
		}
	}
	wg.Wait()
	s.host.Kill()
}

// alive says whether the reign goes on.
func (s *seat) alive() bool {
	if s == nil {
		return false
	}
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// last is the newest round.
func (s *seat) last() thought {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.thought
}

// think is a round of the engine: judge, compute, and tell others of our ways.
func (s *seat) think() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.w.now()
	s.gossip.PublishLegs(s.legs(now))
	t := thought{at: now, records: s.gossip.Records(), members: s.gossip.Members(), verdicts: map[federation.ClusterName]federation.Verdict{}}
	s.held = liveness.Judge(s.evidence(t, now), s.held, now)
	for c, h := range s.held {
		t.verdicts[c] = h.Verdict(now)
	}
	health := maps.Clone(t.records)
	health[clusterName(s.cluster)] = s.w.ownHealth(s.cluster)
	t.result, s.state = routing.Compute(routing.Inputs{
		Self: clusterName(s.cluster), Federation: fedName, Members: s.w.members, Exports: s.w.plan.Exports,
		Policies: s.w.plan.Policies, Health: health, Verdicts: t.verdicts, Egress: s.w.egress,
	}, s.state, now)
	s.thought = t
}

func (s *seat) evidence(t thought, now time.Duration) map[federation.ClusterName]liveness.Evidence {
	out := map[federation.ClusterName]liveness.Evidence{}
	legs, spoken := s.gossip.Legs(), s.gossip.Spoken()
	for c := range s.w.plan.Clusters {
		if c == s.cluster {
			continue
		}
		name := clusterName(c)
		out[name] = liveness.Evidence{
			Self: clusterName(s.cluster), Others: s.w.plan.Clusters - 1, Paths: s.w.tunnels.report(s.cluster, c, now),
			Member: liveness.Membership(t.members[name].Status), Owner: liveness.Owner{Age: word(spoken, name)},
			Legs: about(legs, name, clusterName(s.cluster)),
		}
	}
	return out
}

// word is the age of a cluster's newest statement; negative without one.
func word(spoken map[federation.ClusterName]time.Duration, c federation.ClusterName) time.Duration {
	if age, heard := spoken[c]; heard {
		return age
	}
	return -1
}

// about picks what bears on a peer: others' ways to it, and its own way to us.
func about(legs []federation.Leg, peer, self federation.ClusterName) []federation.Leg {
	var out []federation.Leg
	for _, l := range legs {
		if l.To == peer && l.From != self || l.From == peer && l.To == self {
			out = append(out, l)
		}
	}
	return out
}

func (s *seat) legs(now time.Duration) []federation.Leg {
	var out []federation.Leg
	for c := range s.w.plan.Clusters {
		for _, p := range s.w.tunnels.report(s.cluster, c, now) { // one at most
			out = append(out, federation.Leg{
				To: clusterName(c), Up: p.State == routing.PathUp, Down: p.State == routing.PathDown,
				Unheard: p.Unheard, RTT: p.RTT,
			})
		}
	}
	return out
}

// bornOr is when the reign began, or else without one.
func (s *seat) bornOr(without time.Duration) time.Duration {
	if s == nil {
		return without
	}
	return s.born
}
