package gossip

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testDomain = "mesh.example.org"
	testFed    = "prod"
)

// seat is one cluster's member of a small federation on loopback, with real mTLS.
type seat struct {
	*Gossip
	cluster federation.ClusterName
	address string
	metrics *prometheus.Registry
	plug    *plug
	source  *identity.Source
	stop    context.CancelFunc
	done    chan struct{}
}

// plug is a seat's network: once pulled, nothing goes in or out and nobody is told.
type plug struct {
	net.Listener
	barred []string // addresses that cannot be dialled from here

	mu     sync.Mutex
	pulled bool
	conns  []net.Conn
}

var errPulled = errors.New("the plug is pulled")

func (p *plug) keep(c net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pulled {
		_ = c.Close()
		return nil, errPulled
	}
	p.conns = append(p.conns, c)
	return c, nil
}

func (p *plug) Accept() (net.Conn, error) { return p.keep(p.Listener.Accept()) }

func (p *plug) dial(ctx context.Context, address string) (net.Conn, error) {
	p.mu.Lock()
	barred := p.pulled || slices.Contains(p.barred, address)
	p.mu.Unlock()
	if barred {
		return nil, errPulled
	}
	return p.keep((&net.Dialer{}).DialContext(ctx, "tcp", address))
}

func (p *plug) pull() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pulled = true
	for _, c := range p.conns {
		_ = c.Close()
	}
}

func testID(c federation.ClusterName, r identity.Role) identity.ID {
	return identity.ID{TrustDomain: testDomain, Federation: testFed, Cluster: c, Role: r}
}

func operators(allowed func(federation.ClusterName) bool) identity.Authorizer {
	return identity.Members(testFed, identity.RoleOperator, func(c federation.ClusterName, _ federation.TrustDomain) bool { return allowed(c) })
}

func clientTLS(s *identity.Source, peer federation.ClusterName) *tls.Config {
	return s.ClientConfig(operators(func(c federation.ClusterName) bool { return c == peer }), federation.SeatServerName(testFed, peer), federation.ALPNGossip)
}

// certificate and verifyChain do as the engine does.
func certificate(s *identity.Source) func() (*tls.Certificate, error) {
	config := s.ClientConfig(nil, "")
	return func() (*tls.Certificate, error) { return config.GetClientCertificate(nil) }
}

func verifyChain(s *identity.Source) func([]*x509.Certificate) (federation.ClusterName, error) {
	auth := operators(func(federation.ClusterName) bool { return true })
	return func(chain []*x509.Certificate) (federation.ClusterName, error) {
		id, err := s.Verify(tls.ConnectionState{PeerCertificates: chain})
		if err == nil {
			err = auth(id)
		}
		return id.Cluster, err
	}
}

// newSeat makes a seat that is quicker than the defaults; start runs it.
func newSeat(t *testing.T, ca *identitytest.CA, c federation.ClusterName) *seat {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &seat{cluster: c, address: l.Addr().String(), plug: &plug{Listener: l}, metrics: prometheus.NewRegistry(), done: make(chan struct{})}
	source := ca.Source(testID(c, identity.RoleOperator))
	s.source = source
	cfg := DefaultConfig()
	cfg.Federation, cfg.Cluster, cfg.Epoch = testFed, c, 1
	cfg.ProbeInterval, cfg.ProbeTimeout = 200*time.Millisecond, 150*time.Millisecond
	cfg.HeartbeatInterval, cfg.LinkTimeout = 200*time.Millisecond, time.Second
	cfg.ExchangeInterval = 500 * time.Millisecond
	s.Gossip, err = New(cfg, seatDeps(source, s.plug, s.metrics))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// seatDeps are what the engine gives a seat.
func seatDeps(source *identity.Source, p *plug, metrics *prometheus.Registry) Deps {
	return Deps{
		Listener: p, Metrics: metrics, Dial: p.dial,
		Certificate: certificate(source), VerifyChain: verifyChain(source),
		ServerTLS: source.ServerConfig(operators(func(federation.ClusterName) bool { return true }), federation.ALPNGossip),
		ClientTLS: func(peer federation.ClusterName) *tls.Config { return clientTLS(source, peer) },
		PeerCluster: func(cs tls.ConnectionState) (federation.ClusterName, error) {
			id, err := identity.PeerID(cs)
			return id.Cluster, err
		},
	}
}

// federate makes all seats each other's peers and runs them.
func federate(t *testing.T, seats ...*seat) {
	t.Helper()
	for _, s := range seats {
		peers := map[federation.ClusterName][]string{}
		for _, o := range seats {
			peers[o.cluster] = []string{o.address}
		}
		s.SetPeers(peers)
		ctx, cancel := context.WithCancel(context.Background())
		s.stop = cancel
		go func() { _ = s.Run(ctx); close(s.done) }()
		t.Cleanup(func() { cancel(); <-s.done })
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waiting for %s", what)
		case <-tick.C:
		}
	}
}

func (s *seat) say(ready, total uint32) {
	s.Publish(map[federation.ServicePort]federation.Health{wirePort: {Ready: ready, Total: total}})
}

// hears waits until a seat holds a count of another one.
func (s *seat) hears(t *testing.T, of federation.ClusterName, ready uint32) {
	t.Helper()
	await(t, string(s.cluster)+" to hold "+string(of)+"'s count", func() bool {
		r, ok := s.Records()[of][wirePort]
		return ok && r.Ready == ready
	})
}

func (s *seat) refusals(t *testing.T, reason string) float64 {
	t.Helper()
	return s.counted(t, "causeway_gossip_refused_total", reason)
}

// counted is a counter's value for its first label.
func (s *seat) counted(t *testing.T, name, label string) float64 {
	t.Helper()
	families, err := s.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}
