package sim

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net"
	"slices"
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
	tick := time.NewTicker(s.w.thinkEvery())
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
	reports := s.w.tunnels.reports(s.cluster, now)
	s.gossip.PublishLegs(legs(reports))
	t := thought{at: now, members: s.gossip.Members(), verdicts: map[federation.ClusterName]federation.Verdict{}}
	s.held = liveness.Judge(s.evidence(t, reports), s.held, now)
	for c, h := range s.held {
		t.verdicts[c] = h.Verdict(now)
	}
	if s.w.vigil != nil {
		s.w.vigil.judged(s, t)
		return
	}
	s.compute(&t)
	s.thought = t
}

// compute makes the round's table.
func (s *seat) compute(t *thought) {
	t.records = s.gossip.Records()
	health := maps.Clone(t.records)
	health[clusterName(s.cluster)] = s.w.ownHealth(s.cluster)
	t.result, s.state = routing.Compute(routing.Inputs{
		Self: clusterName(s.cluster), Federation: fedName, Members: s.w.members, Exports: s.w.plan.Exports,
		Policies: s.w.plan.Policies, Health: health, Verdicts: t.verdicts, Egress: s.w.egress,
	}, s.state, t.at)
}

func (s *seat) evidence(t thought, reports map[int]routing.PathReport) map[federation.ClusterName]liveness.Evidence {
	out := make(map[federation.ClusterName]liveness.Evidence, s.w.plan.Clusters-1)
	spoken := s.gossip.Spoken()
	var hints map[federation.ClusterName][]federation.Leg
	if anyNotUp(reports, s.w.plan.Clusters-1) {
		hints = byPeer(s.gossip.Legs(), clusterName(s.cluster))
	}
	for c := range s.w.plan.Clusters {
		if c == s.cluster {
			continue
		}
		name := clusterName(c)
		e := liveness.Evidence{
			Self: clusterName(s.cluster), Others: s.w.plan.Clusters - 1,
			Member: liveness.Membership(t.members[name].Status), Owner: liveness.Owner{Age: word(spoken, name)}, Legs: hints[name],
		}
		if r, ok := reports[c]; ok {
			e.Paths = []routing.PathReport{r}
		}
		out[name] = e
	}
	return out
}

// anyNotUp says whether hints can matter: liveness asks others only about paths that do
// not answer, and all the ways between 250 clusters are many.
func anyNotUp(reports map[int]routing.PathReport, peers int) bool {
	for _, r := range reports {
		if r.State != routing.PathUp || r.Silence > liveness.ProofMaxAge {
			return true
		}
	}
	return len(reports) < peers
}

// word is the age of a cluster's newest statement; negative without one.
func word(spoken map[federation.ClusterName]time.Duration, c federation.ClusterName) time.Duration {
	if age, heard := spoken[c]; heard {
		return age
	}
	return -1
}

// byPeer sorts hints by the peer that they bear on: others' ways to it, and its own way to us.
func byPeer(all []federation.Leg, self federation.ClusterName) map[federation.ClusterName][]federation.Leg {
	out := map[federation.ClusterName][]federation.Leg{}
	for _, l := range all {
		switch self {
		case l.From:
		case l.To:
			out[l.From] = append(out[l.From], l)
		default:
			out[l.To] = append(out[l.To], l)
		}
	}
	return out
}

// legs are a cluster's own ways, by the peer's number.
func legs(reports map[int]routing.PathReport) []federation.Leg {
	out := make([]federation.Leg, 0, len(reports))
	for _, c := range slices.Sorted(maps.Keys(reports)) {
		p := reports[c]
		out = append(out, federation.Leg{
			To: p.Cluster, Up: p.State == routing.PathUp, Down: p.State == routing.PathDown,
			Unheard: p.Unheard, RTT: p.RTT,
		})
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
