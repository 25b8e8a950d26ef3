//go:build bench

package gateway_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
	"github.com/causeway-mesh/causeway/federation/routefeed"
	"github.com/causeway-mesh/causeway/federation/routing"
	"github.com/causeway-mesh/causeway/gateway/tunnel"
)

const (
	homeCluster  = federation.ClusterName("home")
	homeInstance = "gw-1"
	// ringGateways is how many each peer cluster has.
	ringGateways = 2
	// liveShare: one cluster in so many is where traffic goes.
	liveShare = 10
	// callers hold a stream each to a live cluster, so that both its gateways have some.
	callers = 6
)

// ring is what stands around the measured gateway: the peers' gateways, as far as it can
// tell, and the operator that feeds it.
type ring struct {
	ca       *identitytest.CA
	ctx      context.Context
	work     *sync.WaitGroup
	start    time.Time
	feed     *routefeed.Server
	operator string
	peers    []*ringPeer
	clusters int
	ports    []uint16 // of the live clusters' routes
	taken    atomic.Int64
}

// ringPeer is one gateway of a peer cluster.
type ringPeer struct {
	cluster  federation.ClusterName
	instance string
	address  string
	source   *identity.Source
	paths    *tunnel.Set
}

func newRing(t *testing.T, clusters int) *ring {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &ring{ca: identitytest.NewCA(t, domain), ctx: ctx, work: &sync.WaitGroup{}, start: time.Now(), clusters: clusters}
	t.Cleanup(func() { cancel(); r.work.Wait() })
	l := listen(t)
	r.operator = l.Addr().String()
	r.feed = routefeed.NewServer(routefeed.ServerDeps{
		TLS: r.ca.Source(id(homeCluster, identity.RoleOperator)).ServerConfig(identity.Exactly(id(homeCluster, identity.RoleGateway))),
		Log: slog.New(slog.DiscardHandler), OnReport: func(routing.GatewayReport) {}, OnGone: func(string) {},
	})
	r.work.Go(func() { _ = r.feed.Serve(ctx, l) })
	for c := range clusters {
		name := federation.ClusterName(fmt.Sprintf("peer-%03d", c))
		source := r.ca.Source(id(name, identity.RoleGateway))
		for g := range ringGateways {
			r.add(t, &ringPeer{cluster: name, instance: fmt.Sprintf("gw-%d", g), source: source}, fmt.Sprintf("127.%d.%d.%d", 1+g, 1+c/200, 1+c%200))
		}
	}
	for range max(1, clusters/liveShare) {
		free := listen(t)
		r.ports = append(r.ports, uint16(free.Addr().(*net.TCPAddr).Port)) //nolint:gosec // a port
		_ = free.Close()
	}
	return r
}

func ofHome(c federation.ClusterName, _ federation.TrustDomain) bool { return c == homeCluster }

// add starts a peer gateway at an address of its own, from which it dials too.
func (r *ring) add(t *testing.T, p *ringPeer, ip string) {
	t.Helper()
	members := identity.Members(fed, identity.RoleGateway, ofHome)
	l, err := tls.Listen("tcp", ip+":0", p.source.ServerConfig(members, federation.ALPNTunnel))
	if err != nil {
		t.Fatal(err)
	}
	p.address = l.Addr().String()
	cfg := tunnel.DefaultPathConfig()
	cfg.Instance, cfg.Cluster = p.instance, p.cluster
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	p.paths, err = tunnel.NewSet(cfg, tunnel.PathDeps{
		Dial: func(ctx context.Context, k tunnel.Key) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, "tcp", k.Address)
			if err != nil {
				return nil, err
			}
			c := tls.Client(conn, p.source.ClientConfig(members, federation.GatewayServerName(fed, homeCluster), federation.ALPNTunnel))
			if err := c.HandshakeContext(ctx); err != nil {
				_ = conn.Close()
				return nil, err
			}
			return c, nil
		},
		OnOpen: func(in *tunnel.Incoming) { _ = in.Nack(tunnel.Refused) }, Now: r.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.peers = append(r.peers, p)
	r.work.Go(func() { _ = p.paths.Run(r.ctx) })
	r.work.Go(func() { r.accept(p, l) })
	context.AfterFunc(r.ctx, func() { _ = l.Close() })
}

func (r *ring) now() time.Duration { return time.Since(r.start) + time.Second }

func (r *ring) accept(p *ringPeer, l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		r.work.Go(func() {
			back := p.paths.Find(homeCluster, homeInstance)
			far := tunnel.New(conn, tunnel.Config{Instance: p.instance, Cluster: p.cluster, Peer: homeCluster}, tunnel.Hooks{
				OnHello: func(t *tunnel.Tunnel, h tunnel.Hello) {
					if h.Purpose == tunnel.ForBeats {
						back.PeerBeats(t)
					}
				},
				OnOpen: r.hold,
			}, r.now)
			_ = far.Run(r.ctx)
			back.PeerBeatsEnd(far)
		})
	}
}

// hold takes a stream on which nothing is said.
func (r *ring) hold(in *tunnel.Incoming) {
	if in.Accept() != nil {
		return
	}
	near, far := net.Pipe()
	stop := context.AfterFunc(r.ctx, func() { _ = far.Close() })
	defer stop()
	r.taken.Add(1)
	_, _ = in.Relay(mute{near})
	_ = far.Close()
}

// mute is a local end without half-close.
type mute struct{ net.Conn }

func (mute) CloseWrite() error { return nil }

// publish tells the measured gateway of its peers and routes, and the peers of it.
func (r *ring) publish(address string) {
	t := routing.Table{
		Version: routing.TableVersion{Epoch: 1, Feeder: "op", Sequence: 1}, Self: homeCluster, Federation: fed,
		Peers: map[federation.ClusterName]routing.Peer{}, Routes: map[federation.ServicePort]routing.Route{},
	}
	for _, p := range r.peers {
		x := t.Peers[p.cluster]
		x.Cluster, x.Region, x.TrustDomain = p.cluster, "region", domain
		x.Gateways = append(x.Gateways, federation.GatewayAddress{Instance: p.instance, Address: p.address})
		t.Peers[p.cluster] = x
		p.paths.Heat(nil) // no traffic of theirs goes there
		p.paths.Sync([]tunnel.Key{{Cluster: homeCluster, Instance: homeInstance, Address: address}})
	}
	for i, egress := range r.ports {
		port := federation.ServicePort{Service: federation.ServiceName{Namespace: "shop", Name: fmt.Sprintf("s-%d", i)}, Port: 80}
		target := routing.Target{Cluster: r.peers[ringGateways*liveShare*i%len(r.peers)].cluster, Weight: 1}
		t.Routes[port] = routing.Route{Port: port, EgressPort: egress, Tiers: []routing.Tier{{Region: "region", Targets: []routing.Target{target}}}}
	}
	r.feed.Publish(t)
}

// call holds streams through the measured gateway to every live cluster.
func (r *ring) call(t *testing.T) {
	t.Helper()
	for _, port := range r.ports {
		for range callers {
			c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			_, _ = io.WriteString(c, "hello")
		}
	}
	await(t, "the streams to be taken", func() bool { return r.taken.Load() >= int64(callers*len(r.ports)) }) // more where a busy machine was late, and tried again
}

// warm is how many warm tunnels the peers have to the measured gateway, all together.
func (r *ring) warm() (n int) {
	for _, p := range r.peers {
		for _, v := range p.paths.Views() {
			n += v.Idle
		}
	}
	return n
}

// connections is how many the peers have dialled.
func (r *ring) connections() (n int) {
	for _, p := range r.peers {
		for _, v := range p.paths.Views() {
			n += v.Tunnels
		}
	}
	return n
}
