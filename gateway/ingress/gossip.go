package ingress

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// gossipDial bounds connecting to an operator of our own cluster.
const gossipDial = 2 * time.Second

// passGossip passes a stream on, unread, to the operator that holds our seat.
func (g *Ingress) passGossip(ctx context.Context, c net.Conn, name string, source netip.Addr, admitted func()) {
	raw := c.(*replayed).Conn
	cluster, ok := federation.SeatOf(g.cfg.Federation, name)
	if !ok || cluster != g.cfg.Cluster {
		g.refuse(raw, "protocol")
		return
	}
	if !g.gossip.take(source) {
		g.refuse(raw, "gossip_limit")
		return
	}
	defer g.gossip.give(source)
	up, err := g.dialSeat(ctx)
	if err != nil {
		g.deps.Log.Debug("gossip cannot be passed on", "error", err)
		g.refuse(raw, "gossip_seat")
		return
	}
	admitted()
	defer func() { _ = up.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = up.Close(); _ = raw.Close() })
	defer stop()
	g.pass(c, up)
}

var errNoSeat = errors.New("the table names no leading operator")

func (g *Ingress) dialSeat(ctx context.Context) (net.Conn, error) {
	for _, o := range g.deps.Table().Operators {
		if o.Leader && o.GossipAddress != "" {
			return (&net.Dialer{Timeout: gossipDial}).DialContext(ctx, "tcp", o.GossipAddress)
		}
	}
	return nil, errNoSeat
}

// pass copies both ways until both have ended, one has failed or nothing has moved
// for GossipIdle.
func (g *Ingress) pass(a, b net.Conn) {
	var moved atomic.Int64
	idle := time.NewTicker(g.cfg.GossipIdle)
	defer idle.Stop()
	done := make(chan struct{}, 2)
	copyTo := func(dst, src net.Conn) {
		_, err := io.Copy(&counted{dst, &moved}, src)
		if err == nil {
			err = closeWrite(dst)
		}
		if err != nil {
			_, _ = a.Close(), b.Close()
		}
		done <- struct{}{}
	}
	go copyTo(a, b)
	go copyTo(b, a)
	last := int64(0)
	for left := 2; left > 0; {
		select {
		case <-done:
			left--
		case <-idle.C:
			if now := moved.Load(); now != last {
				last = now
				continue
			}
			_, _ = a.Close(), b.Close()
		}
	}
}

// closeWrite half-closes the TCP connection below.
func closeWrite(c net.Conn) error {
	if r, ok := c.(*replayed); ok {
		c = r.Conn
	}
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return c.Close()
}

// counted counts what is written.
type counted struct {
	io.Writer
	n *atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.n.Add(int64(n))
	return n, err
}
