package ingress

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/gateway/tunnel"
)

// refusal is the one answer to all that is not for us: a fatal handshake_failure.
var refusal = [...]byte{21, 3, 3, 0, 2, 2, 40}

// refusePatience bounds how long saying so may take.
const refusePatience = time.Second

func (g *Ingress) refuse(c net.Conn, reason string) {
	g.deps.Recorder.Refused(reason)
	_ = c.SetWriteDeadline(time.Now().Add(refusePatience))
	_, _ = c.Write(refusal[:])
	_ = c.Close()
}

// handle tells what a connection is and serves it to its end. admitted is called
// when the connection no longer counts as a handshake.
func (g *Ingress) handle(ctx context.Context, c net.Conn, source netip.Addr, admitted func()) {
	defer admitted()
	defer func() { _ = c.Close() }()
	h, head, err := g.peek(c)
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			g.refuse(c, "slow_hello")
			return
		}
		g.refuse(c, "bad_hello")
		return
	}
	conn := &replayed{Conn: c, head: head}
	switch {
	case len(h.protocols) != 1:
		g.refuse(c, "protocol")
	case h.protocols[0] == federation.ALPNTunnel && h.serverName == federation.GatewayServerName(g.cfg.Federation, g.cfg.Cluster):
		g.tunnel(ctx, conn, admitted)
	case h.protocols[0] == federation.ALPNGossip:
		g.passGossip(ctx, conn, h.serverName, source, admitted)
	default:
		g.refuse(c, "protocol")
	}
}

// peek reads a ClientHello, and returns it with all that was read for it.
func (g *Ingress) peek(c net.Conn) (hello, []byte, error) {
	_ = c.SetReadDeadline(time.Now().Add(g.cfg.HelloTimeout))
	defer func() { _ = c.SetReadDeadline(time.Time{}) }()
	buf := make([]byte, 0, 2<<10)
	for {
		if len(buf) == cap(buf) {
			if len(buf) >= maxHello {
				return hello{}, nil, errMalformed
			}
			buf = append(make([]byte, 0, min(2*cap(buf), maxHello)), buf...)
		}
		n, err := c.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if n > 0 {
			h, perr := parseHello(buf)
			if !errors.Is(perr, errNeedMore) {
				return h, buf, perr
			}
		}
		if err != nil {
			return hello{}, nil, err
		}
	}
}

// replayed gives the bytes that were peeked at once more.
type replayed struct {
	net.Conn
	head []byte
}

func (r *replayed) Read(p []byte) (int, error) {
	if len(r.head) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.head)
	if r.head = r.head[n:]; len(r.head) == 0 {
		r.head = nil
	}
	return n, nil
}

// tunnel authenticates a peer gateway and serves its tunnel.
func (g *Ingress) tunnel(ctx context.Context, c net.Conn, admitted func()) {
	hctx, cancel := context.WithTimeout(ctx, g.cfg.HandshakeTimeout)
	conn := tls.Server(c, g.tls)
	err := conn.HandshakeContext(hctx)
	cancel()
	if err != nil {
		g.deps.Recorder.Refused("handshake")
		g.deps.Log.Debug("peer refused", "remote", c.RemoteAddr().String(), "error", err)
		return
	}
	id, err := identity.PeerID(conn.ConnectionState())
	if err != nil || !g.tunnels.take(id.Cluster) {
		g.deps.Recorder.Refused("tunnel_limit")
		return
	}
	defer g.tunnels.give(id.Cluster)
	admitted()
	g.runTunnel(ctx, conn, id)
}

func (g *Ingress) runTunnel(ctx context.Context, conn *tls.Conn, id identity.ID) {
	adopted := func(t *tunnel.Tunnel) *tunnel.Path {
		h, ok := t.Peer()
		if !ok || h.Purpose != tunnel.ForData {
			return nil
		}
		return g.deps.Paths.Find(id.Cluster, h.Instance)
	}
	var beats *tunnel.Path // only the tunnel's reader uses it
	hello := func(t *tunnel.Tunnel, h tunnel.Hello) {
		if h.Purpose != tunnel.ForBeats {
			return
		}
		if beats = g.deps.Paths.Find(id.Cluster, h.Instance); beats != nil {
			beats.PeerBeats(t)
		}
	}
	offer := func(t *tunnel.Tunnel) {
		if p := adopted(t); p != nil {
			p.Adopt(t)
		}
	}
	t := tunnel.New(conn, tunnel.Config{Instance: g.cfg.Instance, Cluster: g.cfg.Cluster, Peer: id.Cluster}, tunnel.Hooks{
		OnHello:   func(t *tunnel.Tunnel, h tunnel.Hello) { hello(t, h); offer(t) },
		OnOpen:    func(in *tunnel.Incoming) { g.serve(ctx, in, id) },
		OnIdle:    offer,
		OnUnknown: g.deps.Metrics,
	}, g.deps.Now)
	g.mu.Lock()
	g.live[t] = id
	if g.draining {
		t.Drain()
	}
	g.mu.Unlock()
	err := t.Run(ctx)
	if beats != nil {
		beats.PeerBeatsEnd(t)
	}
	g.mu.Lock()
	delete(g.live, t)
	g.mu.Unlock()
	if p := adopted(t); p != nil {
		p.Release(t)
	}
	g.deps.Log.Debug("tunnel ended", "cluster", string(id.Cluster), "cause", err)
}
