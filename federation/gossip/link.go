package gossip

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// link is the one persistent connection on which we send packets to a peer. The
// peer has its own to us.
type link struct {
	g    *Gossip
	peer federation.ClusterName
	// queue: any goroutine sends and never waits; run receives. Full drops.
	queue chan queued
	// wantFull asks run for our complete statement, encoded when it is written so
	// that it is as young as can be. Buffer 1, coalesced.
	wantFull chan struct{}
	// redial ends a back-off early, as when addresses have changed. Buffer 1, coalesced.
	redial chan struct{}
	// wantSync asks run to tell what the peer lacks of our own words. Buffer 1, coalesced.
	wantSync chan struct{}
	up       atomic.Bool
	// speaks is what the peer on this connection has shown to understand.
	speaks atomic.Int32
	talk   *talk   // of this connection; set anew before speaks is
	holds  holding // what the peer holds of us, as far as we know; under g.mu
	// heard is the own monotonic time of the peer's last answer, in nanoseconds; 0 is never.
	heard atomic.Int64
	// budget bounds the frames of the peer's answers, on this connection and those to come.
	budget *bucket
	// asked is when the oldest ping or beat that has no answer yet was written; 0 is none.
	asked atomic.Int64
}

// What a peer understands: not known yet, version 1 only, or signed batches.
const (
	speaksUnknown int32 = iota
	speaksUnsigned
	speaksSigned
)

type queued struct {
	kind byte
	at   time.Duration // own monotonic time of queueing; waiting counts as travelling
	body []byte
}

func newLink(g *Gossip, peer federation.ClusterName) *link {
	return &link{
		g: g, peer: peer, budget: newBucket(g.cfg, g.now()),
		queue:    make(chan queued, g.cfg.QueueLength),
		wantFull: make(chan struct{}, 1),
		wantSync: make(chan struct{}, 1),
		redial:   make(chan struct{}, 1),
	}
}

// greet prepares the queue of a fresh connection: hello is the first frame, and the
// ping behind it is answered after hello has been, or would have been.
func (l *link) greet() {
	now := l.g.now()
	l.g.mu.Lock()
	l.talk = l.g.newTalk(l.peer, func(kind byte, body []byte) error {
		l.send(kind, body)
		return nil
	})
	l.g.mu.Unlock()
	l.queue <- queued{frameHello, now, encodeHello(holding{})} // drained before, and longer than two
	l.queue <- queued{framePing, now, nil}
	l.up.Store(true)
}

// send queues a frame, or drops it.
func (l *link) send(kind byte, body []byte) {
	if l.g.deps.carry != nil {
		l.g.metrics.bytes.WithLabelValues("out").Add(float64(frameHeader + len(body)))
		if kind == frameBeat || kind == framePing {
			l.owe(l.g.now())
		}
		l.g.deps.carry(l.peer, kind, body)
		return
	}
	if !l.up.Load() {
		l.g.metrics.dropped.WithLabelValues(string(l.peer), dropDisconnected).Inc()
		return
	}
	select {
	case l.queue <- queued{kind, l.g.now(), body}:
	default:
		l.g.metrics.dropped.WithLabelValues(string(l.peer), dropQueueFull).Inc()
	}
}

// answers says whether the peer has spoken lately: pings go out four times a LinkTimeout.
func (l *link) answers(now time.Duration) bool {
	return l.up.Load() && now-time.Duration(l.heard.Load()) < l.g.cfg.LinkTimeout*2/3
}

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// run keeps the link up until ctx ends.
func (l *link) run(ctx context.Context) {
	wait := l.g.cfg.RedialMin
	for ctx.Err() == nil {
		conn, err := l.g.dialPeer(ctx, l.peer, kindLink)
		if err == nil {
			began := l.g.now()
			err = l.serve(ctx, conn)
			if l.g.now()-began > l.g.cfg.LinkTimeout {
				wait = l.g.cfg.RedialMin
			}
		}
		if ctx.Err() != nil {
			return
		}
		l.g.log.Debug("gossip link is down", "cluster", l.peer, "error", err, "retry_in", wait)
		select {
		case <-ctx.Done():
			return
		case <-l.redial:
			wait = l.g.cfg.RedialMin
		case <-time.After(jitter(wait)):
			wait = min(2*wait, l.g.cfg.RedialMax)
		}
	}
}

// jitter spreads d over d/2 … d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) } //nolint:gosec // spreading only

// serve runs both directions of a link until one fails.
func (l *link) serve(ctx context.Context, conn *tls.Conn) error {
	l.drain()
	l.greet()
	l.g.metrics.links.WithLabelValues(string(l.peer)).Set(1)
	l.g.joinNow(l.peer)
	l.answered(l.g.now())
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(ctx, func() { closeNow(conn) })
	var wg sync.WaitGroup
	wg.Go(func() { cancel(l.read(conn)) })
	cancel(l.write(ctx, conn))
	wg.Wait()
	stop()
	closeNow(conn)
	l.up.Store(false)
	l.speaks.Store(speaksUnknown)
	l.g.metrics.links.WithLabelValues(string(l.peer)).Set(0)
	return context.Cause(ctx)
}

// drain forgets what was queued for an earlier connection.
func (l *link) drain() {
	for {
		select {
		case <-l.queue:
		default:
			return
		}
	}
}

func (l *link) write(ctx context.Context, conn net.Conn) error {
	start := l.g.now()
	ping := time.NewTicker(l.g.cfg.LinkTimeout / 4)
	defer ping.Stop()
	var beaten time.Duration
	put := func(kind byte, at time.Duration, body []byte) error {
		if err := conn.SetWriteDeadline(time.Now().Add(l.g.cfg.LinkTimeout)); err != nil {
			return err
		}
		l.g.metrics.frames.WithLabelValues(string(l.peer), "out").Inc()
		l.g.metrics.bytes.WithLabelValues("out").Add(float64(frameHeader + len(body)))
		_, err := conn.Write(appendFrame(nil, kind, max(at-start, 0), body))
		return err
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case q := <-l.queue:
			err = put(q.kind, q.at, q.body)
			if q.kind == frameBeat || q.kind == framePing {
				beaten = l.g.now()
				l.owe(beaten)
			}
		case <-l.wantFull:
			if l.speaks.Load() != speaksUnsigned {
				break
			}
			if body := l.g.fullStatement(); body != nil {
				err = put(frameOwn, l.g.now(), body)
			}
		case <-l.wantSync:
			err = l.sync(put)
		case <-ping.C:
			if l.speaks.Load() != speaksSigned || l.g.now()-beaten > l.g.cfg.LinkTimeout*3/8 {
				l.owe(l.g.now())
				err = put(framePing, l.g.now(), nil)
			}
		}
		if err != nil {
			return fmt.Errorf("writing to %s: %w", l.peer, err)
		}
	}
}

// read takes the peer's answers: pongs, requests, and proof that we are superseded.
func (l *link) read(conn net.Conn) error {
	start, d := l.g.now(), drift{}
	for {
		if err := conn.SetReadDeadline(time.Now().Add(l.g.cfg.LinkTimeout)); err != nil {
			return err
		}
		f, err := readFrame(conn, l.g.cfg.MaxMessageBytes)
		if err != nil {
			if errors.Is(err, errFrame) {
				l.g.metrics.refuse(reasonOf(err))
			}
			return fmt.Errorf("reading from %s: %w", l.peer, err)
		}
		l.g.hold(l.peer, l.budget, len(f.body))
		now := l.g.now()
		l.answered(now)
		held := d.delay(f.sent, now-start)
		switch f.kind {
		case framePong:
			if l.speaks.CompareAndSwap(speaksUnknown, speaksUnsigned) {
				poke(l.wantFull)
			}
		case frameWant:
			poke(l.wantFull)
		case frameRelay:
			l.g.returned(f.body)
		case frameHello:
			if err := l.welcomed(f.body); err != nil {
				return err
			}
		case frameKey, frameBatch, frameBeat, frameDigest, frameLack, frameSilent:
			if err := l.talk.take(f, held); err != nil {
				return err
			}
		default:
			if f.unknown() {
				l.g.metrics.refuse(refuseUnknown)
				continue
			}
			l.g.metrics.refuse(refuseMalformed)
			return fmt.Errorf("%w: type %d as an answer", errFrame, f.kind)
		}
	}
}

// welcomed takes the answer to our hello: what the peer holds of us.
func (l *link) welcomed(body []byte) error {
	h, err := decodeHello(body, l.g.cfg.Cluster)
	if err != nil {
		l.g.metrics.refuse(refuseMalformed)
		return err
	}
	l.g.mu.Lock()
	l.holds = h
	a := l.g.author
	own := holding{Owner: a.name, Epoch: a.epoch, Upto: a.sequence}
	l.g.mu.Unlock()
	l.speaks.Store(speaksSigned)
	poke(l.wantSync)
	l.g.mu.Lock()
	l.tellLegs()
	l.g.mu.Unlock()
	if h.Epoch > own.Epoch || h.Epoch == own.Epoch && h.Upto > own.Upto {
		// It knows more of us than we have said: a newer leader, or our former self.
		l.send(frameLack, encodeHoldings([]holding{own}))
	}
	return nil
}

// sync tells what the peer lacks of our own words, and what we hold of all others: the
// answer repairs both sides.
func (l *link) sync(put func(byte, time.Duration, []byte) error) error {
	if l.speaks.Load() != speaksSigned {
		return nil
	}
	g := l.g
	now := func(kind byte, body []byte) error { return put(kind, g.now(), body) }
	g.mu.Lock()
	h := l.holds
	h.Owner = g.cfg.Cluster
	missing, _ := g.archive.lacking(h, staleTicks, g.now())
	l.holds = g.archive.held(g.cfg.Cluster)
	digest := encodeHoldings(g.archive.digest())
	greeted := g.greeted
	g.greeted++
	t := l.talk
	g.mu.Unlock()
	direct := &talk{g: g, peer: l.peer, put: now, told: map[keyID]bool{}}
	for _, f := range missing {
		if err := direct.tell(f); err != nil {
			return err
		}
	}
	for id := range direct.told {
		t.mu.Lock()
		t.told[id] = true
		t.mu.Unlock()
	}
	if greeted < firstExchanges {
		return now(frameDigest, digest)
	}
	return nil
}

// firstExchanges is with how many peers digests are exchanged at once when we start;
// all would answer with the same.
const firstExchanges = 2

// connectCarried makes a simulated link.
func (l *link) connectCarried() {
	l.talk = l.g.newTalk(l.peer, func(kind byte, body []byte) error {
		l.send(kind, body)
		return nil
	})
	l.speaks.Store(speaksSigned)
	l.up.Store(true)
	l.answered(l.g.now())
}

// closeNow closes without waiting for a goodbye that a black hole would never take.
func closeNow(c *tls.Conn) { _ = c.NetConn().Close() }

// dialPeer tries the peer's addresses in turn and returns the first connection
// that has the right cluster at its end.
func (g *Gossip) dialPeer(ctx context.Context, peer federation.ClusterName, kind byte) (*tls.Conn, error) {
	addresses := g.addressesOf(peer)
	if len(addresses) == 0 {
		return nil, fmt.Errorf("no gateway address is known for cluster %s", peer)
	}
	var errs []error
	for _, a := range addresses {
		conn, err := g.dialAddress(ctx, peer, a, kind)
		if err == nil {
			g.metrics.dials.WithLabelValues(string(peer), "ok").Inc()
			return conn, nil
		}
		g.metrics.dials.WithLabelValues(string(peer), "error").Inc()
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

func (g *Gossip) dialAddress(ctx context.Context, peer federation.ClusterName, address string, kind byte) (_ *tls.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.DialTimeout)
	defer cancel()
	raw, err := g.deps.Dial(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("dialing %s at %s: %w", peer, address, err)
	}
	defer func() {
		if err != nil {
			_ = raw.Close()
		}
	}()
	conn := tls.Client(raw, g.deps.ClientTLS(peer))
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("handshake with %s at %s: %w", peer, address, err)
	}
	got, err := g.deps.PeerCluster(conn.ConnectionState())
	if err != nil {
		return nil, fmt.Errorf("identity of %s at %s: %w", peer, address, err)
	}
	if got != peer {
		g.metrics.refuse(refuseCluster)
		return nil, fmt.Errorf("cluster at %s is %s, want %s", address, got, peer)
	}
	if err := conn.SetWriteDeadline(time.Now().Add(g.cfg.DialTimeout)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(preamble(kind)); err != nil {
		return nil, fmt.Errorf("greeting %s at %s: %w", peer, address, err)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return conn, nil
}
