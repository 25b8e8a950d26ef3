package memnet

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	// backlog is how many connections wait to be accepted; more are refused.
	backlog = 128
	// synRetry is the first retransmission timer of a dial; it doubles.
	synRetry = time.Second
)

// Listener takes connections for a host.
type Listener struct {
	host   *Host
	queue  chan *conn // dials send and never wait, Accept receives
	once   sync.Once
	closed chan struct{}
}

var _ net.Listener = (*Listener)(nil)

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept; later dials are refused.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is the host's site.
func (l *Listener) Addr() net.Addr { return Addr(l.host.site) }

// Dial connects to the host that serves a site. It takes a round trip, or as long as
// the way is cut and ctx allows.
func (h *Host) Dial(ctx context.Context, to Site) (net.Conn, error) {
	for wait := synRetry; ; wait *= 2 {
		rtt, through := h.knock(to)
		if !through {
			if err := pause(ctx, wait); err != nil {
				return nil, &net.OpError{Op: "dial", Net: "memnet", Addr: Addr(to), Err: err}
			}
			continue
		}
		if err := pause(ctx, rtt); err != nil {
			return nil, &net.OpError{Op: "dial", Net: "memnet", Addr: Addr(to), Err: err}
		}
		return h.connect(to)
	}
}

// knock says whether a first segment and its answer get through now, and how long they take.
func (h *Host) knock(to Site) (rtt time.Duration, through bool) {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	through = !h.ended && n.open(h.site, to) && n.open(to, h.site) && !n.lost(n.source(h.site, to), 2)
	return n.delay(h.site, to) + n.delay(to, h.site), through
}

func (h *Host) connect(to Site) (net.Conn, error) {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	door := n.doors[to]
	if h.ended || n.dark[to] {
		return nil, &net.OpError{Op: "dial", Net: "memnet", Addr: Addr(to), Err: errors.New("host is gone")}
	}
	refused := &net.OpError{Op: "dial", Net: "memnet", Addr: Addr(to), Err: syscall.ECONNREFUSED}
	if door == nil || door.dead {
		return nil, refused
	}
	there, back := n.newFlow(h, door), n.newFlow(door, h)
	a, b := &conn{host: h, peer: door, out: there, in: back.in}, &conn{host: door, peer: h, out: back, in: there.in}
	select {
	case <-door.listener.closed:
		return nil, refused
	default:
	}
	select {
	case door.listener.queue <- b:
	default:
		return nil, refused
	}
	h.conns[a], door.conns[b] = struct{}{}, struct{}{}
	return a, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
