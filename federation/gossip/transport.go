package gossip

import (
	"context"
	"errors"
	"hash/fnv"
	"net"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/causeway-mesh/causeway/federation"
)

// nodeAddr is a peer as memberlist sees it in net.Addr.
type nodeAddr federation.ClusterName

func (nodeAddr) Network() string  { return "causeway-gossip" }
func (a nodeAddr) String() string { return string(a) }

// transport is what memberlist talks through. It goes by node names only: the
// addresses that memberlist carries around are made up from the names, so that a
// cluster may move its gateways, or its leader, without looking like a conflict.
type transport struct {
	g   *Gossip
	ctx context.Context //nolint:containedctx // memberlist's interface has no context
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

var errNoName = errors.New("gossip goes by node names only")

// madeUpPort is never dialled.
const madeUpPort = 1

func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return madeUpIP(t.g.cfg.Cluster), madeUpPort, nil
}

func madeUpIP(c federation.ClusterName) net.IP {
	h := fnv.New32a()
	_, _ = h.Write([]byte(c))
	s := h.Sum32()
	return net.IPv4(10, byte(s>>16), byte(s>>8), byte(s)).To4()
}

func (t *transport) WriteTo([]byte, string) (time.Time, error) { return time.Time{}, errNoName }

func (t *transport) DialTimeout(string, time.Duration) (net.Conn, error) { return nil, errNoName }

// WriteToAddress queues a packet and never waits. A drop is no error, as on UDP.
func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if l := t.g.linkTo(federation.ClusterName(a.Name)); l != nil {
		l.send(framePacket, append([]byte(nil), b...))
	} else {
		t.g.metrics.dropped.WithLabelValues("", dropNoPeer).Inc()
	}
	return time.Now(), nil
}

func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if t.g.deps.stream != nil {
		return t.g.deps.stream(federation.ClusterName(a.Name))
	}
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	conn, err := t.g.dialPeer(ctx, federation.ClusterName(a.Name), kindStream)
	if err != nil {
		return nil, err
	}
	// A stream must not outlive Run, whatever memberlist waits for on it.
	stop := context.AfterFunc(t.ctx, func() { closeNow(conn) })
	return &stream{Conn: conn, done: func() { stop(); closeNow(conn) }}, nil
}

func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.g.packets }
func (t *transport) StreamCh() <-chan net.Conn           { return t.g.streams }

// Shutdown does nothing: Run closes what it opened.
func (t *transport) Shutdown() error { return nil }
