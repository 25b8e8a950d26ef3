package gossip

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/causeway-mesh/causeway/federation"
)

// maxConnsPerCluster bounds a peer's connections: its link, the link of the
// leader that it is replacing, and memberlist's short streams.
const maxConnsPerCluster = 16

// maxHandshakes bounds connections that have not yet said who they are.
const maxHandshakes = 64

// acceptor is the listening side.
type acceptor struct {
	g         *Gossip
	handshake chan struct{} // semaphore
	mu        sync.Mutex
	perPeer   map[federation.ClusterName]int
	conns     map[net.Conn]struct{}
}

func newAcceptor(g *Gossip) *acceptor {
	return &acceptor{
		g: g, handshake: make(chan struct{}, maxHandshakes),
		perPeer: map[federation.ClusterName]int{}, conns: map[net.Conn]struct{}{},
	}
}

// run accepts until ctx ends; then it closes everything and waits.
func (a *acceptor) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() {
		_ = a.g.deps.Listener.Close()
		a.closeAll()
	})
	defer stop()
	for {
		raw, err := a.g.deps.Listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = raw.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("gossip listener %s: %w", a.g.deps.Listener.Addr(), err)
		case err != nil:
			// Out of descriptors, most likely: wait for some to be free.
			a.g.log.Warn("accepting gossip connection", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(a.g.cfg.RedialMin):
			}
			continue
		}
		select {
		case a.handshake <- struct{}{}:
		default:
			a.g.metrics.refuse(refuseConns)
			_ = raw.Close()
			continue
		}
		if !a.track(ctx, raw) {
			continue
		}
		wg.Go(func() { a.handle(ctx, raw) })
	}
}

func (a *acceptor) track(ctx context.Context, c net.Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ctx.Err() != nil {
		_ = c.Close()
		return false
	}
	a.conns[c] = struct{}{}
	return true
}

func (a *acceptor) closeAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for c := range a.conns {
		_ = c.Close()
	}
}

func (a *acceptor) forget(c net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.conns, c)
	_ = c.Close()
}

// enter counts a peer's connection in, or refuses it.
func (a *acceptor) enter(peer federation.ClusterName) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.perPeer[peer] >= maxConnsPerCluster {
		return false
	}
	a.perPeer[peer]++
	return true
}

func (a *acceptor) leave(peer federation.ClusterName) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.perPeer[peer]--; a.perPeer[peer] == 0 {
		delete(a.perPeer, peer)
	}
}

func (a *acceptor) handle(ctx context.Context, raw net.Conn) {
	handedOn := false
	defer func() {
		if !handedOn {
			a.forget(raw)
		}
	}()
	conn, peer, kind, err := a.greet(ctx, raw)
	<-a.handshake
	if err != nil {
		a.g.log.Debug("refusing gossip connection", "remote", raw.RemoteAddr(), "error", err)
		return
	}
	if !a.enter(peer) {
		a.g.metrics.refuse(refuseConns)
		return
	}
	if kind == kindStream {
		s := &stream{Conn: conn, done: func() { a.leave(peer); a.forget(raw) }}
		handedOn = true
		select {
		case a.g.streams <- s:
		case <-ctx.Done():
			_ = s.Close()
		}
		return
	}
	defer a.leave(peer)
	err = a.serve(conn, peer, kind)
	a.g.log.Debug("gossip link from peer ended", "cluster", peer, "error", err)
}

// stream is a connection that memberlist closes.
type stream struct {
	net.Conn
	once sync.Once
	done func()
}

func (s *stream) Close() error {
	s.once.Do(s.done)
	return nil
}

func (a *acceptor) greet(ctx context.Context, raw net.Conn) (*tls.Conn, federation.ClusterName, byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*a.g.cfg.DialTimeout)
	defer cancel()
	conn := tls.Server(raw, a.g.deps.ServerTLS)
	if err := conn.HandshakeContext(ctx); err != nil {
		a.g.metrics.refuse(refuseHandshake)
		return nil, "", 0, fmt.Errorf("handshake: %w", err)
	}
	peer, err := a.g.deps.PeerCluster(conn.ConnectionState())
	if err != nil {
		a.g.metrics.refuse(refuseHandshake)
		return nil, "", 0, fmt.Errorf("identity: %w", err)
	}
	if peer != a.g.cfg.Cluster && !a.g.knows(peer) {
		a.g.metrics.refuse(refuseCluster)
		return nil, "", 0, fmt.Errorf("cluster %s is not a known peer", peer)
	}
	if err := conn.SetReadDeadline(time.Now().Add(a.g.cfg.DialTimeout)); err != nil {
		return nil, "", 0, err
	}
	kind, err := readPreamble(conn)
	if err != nil {
		a.g.metrics.refuse(refuseMalformed)
		return nil, "", 0, err
	}
	if (peer == a.g.cfg.Cluster) != (kind == kindFollow) { // our own standbys follow, and nobody else
		a.g.metrics.refuse(refuseCluster)
		return nil, "", 0, fmt.Errorf("cluster %s asks for a connection of kind %q", peer, kind)
	}
	return conn, peer, kind, conn.SetReadDeadline(time.Time{})
}

// serve reads a peer's link, or a standby's questions, and answers.
func (a *acceptor) serve(conn net.Conn, peer federation.ClusterName, kind byte) error {
	start, d := a.g.now(), drift{}
	budget := a.g.budget(peer)
	answered := 0 // bytes, since the budget was last charged
	put := func(kind byte, body []byte) error {
		answered += len(body)
		if err := conn.SetWriteDeadline(time.Now().Add(a.g.cfg.LinkTimeout)); err != nil {
			return err
		}
		a.g.metrics.bytes.WithLabelValues("out").Add(float64(frameHeader + len(body)))
		_, err := conn.Write(appendFrame(nil, kind, a.g.now()-start, body))
		return err
	}
	take := (&incoming{g: a.g, peer: peer, put: put}).take
	if kind == kindFollow {
		take = newBriefing(a.g, put).take
	}
	for {
		if err := conn.SetReadDeadline(time.Now().Add(a.g.cfg.LinkTimeout)); err != nil {
			return err
		}
		f, err := readFrame(conn, a.g.cfg.MaxMessageBytes)
		if err != nil {
			if errors.Is(err, errFrame) {
				a.g.metrics.refuse(reasonOf(err))
			}
			return err
		}
		if kind != kindFollow && !a.g.knows(peer) {
			a.g.metrics.refuse(refuseCluster)
			return fmt.Errorf("cluster %s is no longer a peer", peer)
		}
		a.g.metrics.frames.WithLabelValues(string(peer), "in").Inc()
		a.g.metrics.bytes.WithLabelValues("in").Add(float64(frameHeader + len(f.body)))
		held := d.delay(f.sent, a.g.now()-start)
		if err := take(f, held); err != nil {
			return err
		}
		a.g.hold(peer, budget, len(f.body)+answered)
		answered = 0
	}
}

// hold pays for a frame, its bytes and those of its answer, and waits while its peer is
// beyond the budget, and so reads no further.
func (g *Gossip) hold(peer federation.ClusterName, budget *bucket, size int) {
	if wait := budget.take(size, g.now()); wait > 0 {
		g.metrics.throttled.WithLabelValues(string(peer)).Inc()
		time.Sleep(max(wait, throttle))
	}
}

// incoming is the link that a peer has dialled.
type incoming struct {
	g    *Gossip
	peer federation.ClusterName
	put  func(kind byte, body []byte) error
	talk *talk     // once it has said hello; nil is a peer of version 1
	told *toldLegs // what it has said of its ways on this connection; nil is nothing
}

// take handles one frame of the link. An error ends it.
func (in *incoming) take(f frame, held time.Duration) error {
	g := in.g
	in.heard(held)
	switch f.kind {
	case framePing:
		return in.put(framePong, nil)
	case framePacket:
		g.packet(in.peer, f.body, held)
	case frameHello:
		return in.hello(f.body)
	case frameOwn:
		return in.unsigned(f.body, held)
	case frameRelay:
		g.metrics.refuse(refuseUnsigned)
	case frameLegs:
		return in.legs(f.body, held)
	case frameKey, frameBatch, frameBeat, frameDigest, frameLack, frameSilent:
		return in.signed(f, held)
	default:
		if f.unknown() {
			g.metrics.refuse(refuseUnknown)
			return nil
		}
		g.metrics.refuse(refuseMalformed)
		return fmt.Errorf("%w: type %d on a link", errFrame, f.kind)
	}
	return nil
}

// hello answers with what we hold of the peer, so that it need not say that again.
func (in *incoming) hello(body []byte) error {
	if _, err := decodeHello(body, in.peer); err != nil {
		in.g.metrics.refuse(refuseMalformed)
		return err
	}
	in.talk = in.g.newTalk(in.peer, in.put)
	in.g.mu.Lock()
	h := in.g.archive.held(in.peer)
	in.g.mu.Unlock()
	return in.put(frameHello, encodeHello(h))
}

func (in *incoming) unsigned(body []byte, held time.Duration) error {
	if in.talk != nil { // it can sign
		in.g.metrics.refuse(refuseUnsigned)
		return nil
	}
	kind, answer := in.g.receiveUnsigned(body, in.peer, held)
	if kind == 0 {
		return nil
	}
	return in.put(kind, answer)
}

func (in *incoming) signed(f frame, held time.Duration) error {
	if in.talk == nil {
		in.g.metrics.refuse(refuseMalformed)
		return fmt.Errorf("%w: type %d before hello", errFrame, f.kind)
	}
	if err := in.talk.take(f, held); err != nil {
		return err
	}
	if f.kind == frameBeat { // a beat is a ping, too
		return in.put(framePong, nil)
	}
	return nil
}

// packet hands one to memberlist, or drops it.
func (g *Gossip) packet(from federation.ClusterName, body []byte, held time.Duration) {
	if held > lateness {
		g.metrics.dropped.WithLabelValues(string(from), dropLate).Inc()
		return
	}
	select {
	case g.packets <- &memberlist.Packet{Buf: body, From: nodeAddr(from), Timestamp: time.Now()}:
	default:
		g.metrics.dropped.WithLabelValues(string(from), dropQueueFull).Inc()
	}
}
