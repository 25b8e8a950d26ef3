package ingress

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/routing"
	"github.com/causeway-mesh/causeway/gateway/telemetry"
	"github.com/causeway-mesh/causeway/gateway/tunnel"
)

// Deps are what the ingress works with.
type Deps struct {
	// Table is the table in force; never nil.
	Table    func() *routing.Table
	Identity *identity.Source
	// Paths learn of the tunnels that peers have dialled, for streams of ours.
	Paths    *tunnel.Set
	Recorder *telemetry.Recorder
	Metrics  func(tunnel.Type) // counts unknown frames; may be nil
	Log      *slog.Logger
	// Now is a monotonic clock.
	Now func() time.Duration
}

// Ingress serves the one port.
type Ingress struct {
	cfg  Config
	deps Deps
	tls  *tls.Config

	handshakes *limit[netip.Addr]
	gossip     *limit[netip.Addr]
	tunnels    *limit[federation.ClusterName]
	streams    *limit[federation.ClusterName]

	mu       sync.Mutex
	draining bool
	conns    map[net.Conn]struct{}
	live     map[*tunnel.Tunnel]identity.ID
	work     sync.WaitGroup // connections
	serving  sync.WaitGroup // streams, and gossip being passed through
}

// New checks cfg.
func New(cfg Config, deps Deps) (*Ingress, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	g := &Ingress{
		cfg: cfg, deps: deps,
		handshakes: newLimit[netip.Addr](cfg.MaxHandshakes, cfg.MaxHandshakesPerSource),
		gossip:     newLimit[netip.Addr](cfg.MaxGossip, cfg.MaxGossipPerSource),
		tunnels:    newLimit[federation.ClusterName](1<<30, cfg.MaxTunnels),
		streams:    newLimit[federation.ClusterName](cfg.MaxStreams, cfg.MaxStreamsPerPeer),
		conns:      map[net.Conn]struct{}{},
		live:       map[*tunnel.Tunnel]identity.ID{},
	}
	g.tls = deps.Identity.ServerConfig(identity.Members(cfg.Federation, identity.RoleGateway, g.member), federation.ALPNTunnel)
	g.tls.DynamicRecordSizingDisabled = true
	return g, nil
}

// member says whether a cluster is in the table in force.
func (g *Ingress) member(c federation.ClusterName, td federation.TrustDomain) bool {
	p, ok := g.deps.Table().Peers[c]
	return ok && p.TrustDomain == td && c != g.cfg.Cluster
}

// acceptPause is the wait after an accept that failed for want of descriptors.
const acceptPause = 50 * time.Millisecond

// Run serves l until ctx ends, then says DRAIN to the peers and waits for the
// streams, at most Drain.
func (g *Ingress) Run(ctx context.Context, l net.Listener) error {
	life, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var probes sync.WaitGroup
	probes.Go(func() { g.probe(life) })
	defer probes.Wait()
	defer cut()
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			break
		}
		if err != nil {
			g.deps.Log.Warn("accepting peers", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		g.admit(life, c)
	}
	g.drain(cut)
	return nil
}

func (g *Ingress) admit(ctx context.Context, c net.Conn) {
	source := sourceOf(c)
	if !g.handshakes.take(source) {
		g.deps.Recorder.Refused("handshake_limit")
		tunnel.Reset(c)
		return
	}
	g.track(c, true)
	g.work.Go(func() {
		defer g.track(c, false)
		g.handle(ctx, c, source, sync.OnceFunc(func() { g.handshakes.give(source) }))
	})
}

func (g *Ingress) track(c net.Conn, on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if on {
		g.conns[c] = struct{}{}
	} else {
		delete(g.conns, c)
	}
}

func sourceOf(c net.Conn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// Announce asks the peers to open nothing more on the tunnels that they have, and
// goes on serving: what they open all the same, on new tunnels if need be, is taken.
func (g *Ingress) Announce() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for t := range g.live {
		t.Drain()
	}
}

// drain asks the peers to open nothing more, waits for what they have, then ends
// all connections.
func (g *Ingress) drain(cut context.CancelFunc) {
	g.mu.Lock()
	g.draining = true
	for t := range g.live {
		t.Drain()
	}
	g.mu.Unlock()
	idle := make(chan struct{})
	go func() { g.serving.Wait(); close(idle) }()
	timer := time.NewTimer(g.cfg.Drain)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	}
	cut()
	g.mu.Lock()
	for c := range g.conns {
		_ = c.Close()
	}
	g.mu.Unlock()
	g.work.Wait() // streams on tunnels that we dialled end with those, later
}

// probe finds tunnels on which a peer is silent, so that their endpoints do not wait
// for it for ever.
func (g *Ingress) probe(ctx context.Context) {
	ticker := time.NewTicker(g.cfg.Keepalive)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, t := range g.tunnelsNow() {
			t.Probe(g.cfg.Silence)
		}
	}
}

func (g *Ingress) tunnelsNow() []*tunnel.Tunnel {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Keys(g.live))
}

// Review ends the tunnels that judge has an error for, with that error, and returns
// how many those were.
func (g *Ingress) Review(judge func(*tunnel.Tunnel) error) int {
	return tunnel.Review(g.tunnelsNow(), judge)
}

// Drop ends the tunnels that one peer gateway has dialled: the path to it is down.
func (g *Ingress) Drop(c federation.ClusterName, instance string) {
	g.mu.Lock()
	var gone []*tunnel.Tunnel
	for t, id := range g.live {
		if h, ok := t.Peer(); ok && id.Cluster == c && h.Instance == instance {
			gone = append(gone, t)
		}
	}
	g.mu.Unlock()
	for _, t := range gone {
		t.Close(tunnel.ErrPathDown)
	}
}
