package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/routefeed"
	"github.com/causeway-mesh/causeway/federation/routing"
	"github.com/causeway-mesh/causeway/gateway/egress"
	"github.com/causeway-mesh/causeway/gateway/ingress"
	"github.com/causeway-mesh/causeway/gateway/telemetry"
	"github.com/causeway-mesh/causeway/gateway/tunnel"
)

// Gateway is one replica. See the package comment.
type Gateway struct {
	cfg      Config
	deps     Deps
	start    time.Time
	table    atomic.Pointer[routing.Table] // never nil
	applying sync.Mutex                    // feeds of several operators take turns
	heating  sync.Mutex                    // held by heat
	proofs   proofs
	moved    chan struct{} // from onPath to follow; buffer 1, full = already told
	obeyed   feeder
	tunnels  *tunnel.Metrics
	paths    *tunnel.Set
	egress   *egress.Egress
	ingress  *ingress.Ingress
	feed     *routefeed.Client
	recorder *telemetry.Recorder
	draining atomic.Bool
}

// New joins the parts and starts nothing.
func New(cfg Config, deps Deps) (*Gateway, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	g := &Gateway{cfg: cfg, deps: deps, start: time.Now(), moved: make(chan struct{}, 1), recorder: telemetry.New(deps.Metrics, deps.Log)}
	g.table.Store(&routing.Table{Self: cfg.Cluster, Federation: cfg.Federation})
	g.obeyed.silence = cfg.FeederSilence
	if err := errors.Join(g.makePaths(), g.makeEgress(), g.makeIngress(), g.makeFeed()); err != nil {
		return nil, err
	}
	return g, nil
}

func (g *Gateway) now() time.Duration { return time.Since(g.start) }

func (g *Gateway) makePaths() (err error) {
	cfg := tunnel.DefaultPathConfig()
	cfg.Instance, cfg.Cluster = g.cfg.Instance, g.cfg.Cluster
	g.tunnels = tunnel.NewMetrics(g.deps.Metrics)
	g.paths, err = tunnel.NewSet(cfg, tunnel.PathDeps{
		Dial: g.dial, OnOpen: g.onOpen, OnChange: g.onPath, Now: g.now, Metrics: g.tunnels,
		Untrusted: untrusted,
	})
	return err
}

func (g *Gateway) makeEgress() (err error) {
	cfg := egress.DefaultConfig()
	cfg.Local, cfg.Drain, cfg.AttemptMin = g.cfg.Local, g.cfg.Drain, g.cfg.AttemptMin
	cfg.ConnectBudget = max(cfg.ConnectBudget, cfg.AttemptMin)
	g.egress, err = egress.New(cfg, egress.Deps{
		Table: g.Table, Paths: g.paths, Recorder: g.recorder, Log: g.deps.Log.With("room", "egress"),
		OnPorts: func() { g.feed.Poke() },
	})
	return err
}

func (g *Gateway) makeIngress() (err error) {
	cfg := ingress.DefaultConfig()
	cfg.Federation, cfg.Cluster, cfg.Instance, cfg.Drain = g.cfg.Federation, g.cfg.Cluster, g.cfg.Instance, g.cfg.Drain
	g.ingress, err = ingress.New(cfg, ingress.Deps{
		Table: g.Table, Identity: g.deps.Identity, Paths: g.paths, Recorder: g.recorder, Metrics: g.tunnels.UnknownFrame,
		Log: g.deps.Log.With("room", "ingress"), Now: g.now,
	})
	return err
}

func (g *Gateway) makeFeed() (err error) {
	g.feed, err = routefeed.NewClient(routefeed.ClientConfig{Operators: g.cfg.Operators}, routefeed.ClientDeps{
		TLS:    g.deps.Identity.ClientConfig(g.ownOperator, ""),
		Report: g.Report, Apply: g.apply, OnUnknown: func() { g.recorder.Table("unknown") }, Log: g.deps.Log.With("room", "routefeed"),
	})
	return err
}

// ownOperator is who may feed us: an operator of our own cluster.
func (g *Gateway) ownOperator(peer identity.ID) error {
	own, _, ok := g.deps.Identity.Own()
	if !ok {
		return identity.ErrNoIdentity
	}
	own.Role = identity.RoleOperator
	return identity.Exactly(own)(peer)
}

// Run forwards until ctx ends; then it takes new connections for ShutdownDelay
// more, while Ready, the report and DRAIN to the peers say that it is going; then it
// drains: no new clients, at most Config.Drain for what is under way.
func (g *Gateway) Run(ctx context.Context) error {
	// The paths and the feed outlive the drain: clients under way need the former,
	// and the operator has to learn of it through the latter.
	background, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var rest errgroup.Group
	rest.Go(func() error { return g.paths.Run(background) })
	rest.Go(func() error { return g.feed.Run(background) })
	rest.Go(func() error { g.reviews(background); return nil })
	rest.Go(func() error { g.follow(background); return nil })

	front, frontCtx := errgroup.WithContext(background)
	frontCtx, stop := context.WithCancel(frontCtx)
	defer stop()
	defer context.AfterFunc(ctx, func() { g.leave(stop) })()
	front.Go(func() error { return g.egress.Run(frontCtx) })
	front.Go(func() error { return g.ingress.Run(frontCtx, g.deps.Listener) })
	err := front.Wait()
	end()
	return errors.Join(err, rest.Wait())
}

// leave tells everybody that we are going, and stops the front after ShutdownDelay.
func (g *Gateway) leave(stop context.CancelFunc) {
	g.draining.Store(true)
	g.feed.Poke()
	g.ingress.Announce()
	time.AfterFunc(g.cfg.ShutdownDelay, stop)
}

// dial connects to a peer gateway and proves both ends.
func (g *Gateway) dial(ctx context.Context, k tunnel.Key) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", k.Address)
	if err != nil {
		return nil, err
	}
	only := func(c federation.ClusterName, td federation.TrustDomain) bool {
		return c == k.Cluster && g.peer(c, td)
	}
	config := g.deps.Identity.ClientConfig(
		identity.Members(g.cfg.Federation, identity.RoleGateway, only),
		federation.GatewayServerName(g.cfg.Federation, k.Cluster), federation.ALPNTunnel)
	client := tls.Client(conn, config)
	if err := client.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", tunnel.ErrHung, err)
		}
		return nil, err
	}
	return client, nil
}

// untrusted tells identity errors, ours and the peer's alert, from network errors.
func untrusted(err error) bool {
	if errors.Is(err, identity.ErrUntrusted) || errors.Is(err, identity.ErrForbidden) {
		return true
	}
	var op *net.OpError // crypto/tls wraps a received alert so
	return errors.As(err, &op) && op.Op == "remote error"
}

// onOpen serves a stream that a peer opens on a tunnel that we dialled.
func (g *Gateway) onOpen(in *tunnel.Incoming) {
	conn, ok := in.Tunnel().Conn().(*tls.Conn)
	if !ok {
		_ = in.Nack(tunnel.Refused)
		return
	}
	id, err := identity.PeerID(conn.ConnectionState()) // what the handshake proved, whatever the table says now
	if err != nil {
		_ = in.Nack(tunnel.Refused)
		return
	}
	g.ingress.Serve(context.Background(), in, id)
}

func (g *Gateway) onPath(k tunnel.Key, state routing.PathState, cause string) {
	g.deps.Log.Info("path to peer gateway", "cluster", string(k.Cluster), "gateway", k.Instance, "address", k.Address, "state", string(state), "cause", cause)
	if state == routing.PathDown {
		g.ingress.Drop(k.Cluster, k.Instance)
	}
	select {
	case g.moved <- struct{}{}:
	default:
	}
	g.feed.Poke()
}

// follow draws the conclusions from paths that have changed: once for all that change at
// the same moment, of which there are hundreds at the start.
func (g *Gateway) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.moved:
			g.heat()
			g.recorder.Suspect(g.alone())
		}
	}
}
