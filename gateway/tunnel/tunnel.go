package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// maxPending bounds control frames that wait for the wire: far more than a peer
// that keeps to the protocol can cause (a PONG per PING, one NACK).
const maxPending = 4 << 10

// helloTimeout bounds how long the peer's HELLO may take after the handshake.
const helloTimeout = 5 * time.Second

// The reasons why a tunnel ends that callers may want to tell apart.
var (
	ErrClosed  = errors.New("tunnel is closed")
	ErrReset   = errors.New("stream was reset by the peer")
	ErrAborted = errors.New("stream was reset by us")
	ErrHello   = errors.New("peer's HELLO does not fit its certificate")
	errFlooded = errors.New("peer asks faster than it reads")
)

// Config says what a tunnel is.
type Config struct {
	// Dialer is true at the end that dialled: its stream ids are odd, and it wins
	// when both ends open at once.
	Dialer bool
	// Instance and Cluster are ours, for HELLO.
	Instance string
	Cluster  federation.ClusterName
	Purpose  Purpose
	// Peer is the cluster that the peer's certificate names; its HELLO must agree.
	Peer federation.ClusterName
}

// Hooks are what a tunnel tells its owner. Any may be nil. None may block, except
// OnOpen, which has a goroutine of its own.
type Hooks struct {
	OnHello func(*Tunnel, Hello)
	// OnOpen serves a stream that the peer opens; it must Accept or Nack it, and the
	// stream ends no later than when it returns. Without it streams are refused.
	OnOpen func(*Incoming)
	// OnIdle is told when the tunnel can take the next stream.
	OnIdle func(*Tunnel)
	// OnPong is told the round-trip time of each answered PING.
	OnPong  func(*Tunnel, time.Duration)
	OnDrain func(*Tunnel)
	// OnUnknown counts frames of a type that this version does not know.
	OnUnknown func(Type)
}

// Tunnel is one end of a connection between two gateways. Run reads it.
type Tunnel struct {
	cfg   Config
	hooks Hooks
	conn  net.Conn
	now   func() time.Duration

	done     chan struct{} // closed when the tunnel has ended; err says why
	work     sync.WaitGroup
	peer     atomic.Pointer[Hello]
	lastPong atomic.Int64 // our clock, 0 = never
	lastUsed atomic.Int64 // our clock, when a stream last ended
	heard    atomic.Int64 // our clock, when the last byte came

	delivering atomic.Bool // the reader waits for our local end

	// wmu orders frames on the wire; it is taken before mu and may be held while a
	// write blocks. The reader never takes it.
	wmu sync.Mutex

	mu       sync.Mutex
	slot     slot
	stream   *Stream // that holds the slot
	pending  []byte  // control frames for the next write, at most maxPending
	flushing bool
	floor    delayFloor
	probe    probe
	err      error
}

// New returns a tunnel over an authenticated connection; it sends HELLO with its
// first write. now is a monotonic clock that never runs backwards.
func New(conn net.Conn, cfg Config, hooks Hooks, now func() time.Duration) *Tunnel {
	t := &Tunnel{cfg: cfg, hooks: hooks, conn: conn, now: now, done: make(chan struct{})}
	t.slot.dialer = cfg.Dialer
	hello := Hello{Version: Version, Purpose: cfg.Purpose, Sent: now(), Instance: cfg.Instance, Cluster: cfg.Cluster}
	t.pending = AppendFrame(nil, TypeHello, 0, hello.Append(nil))
	return t
}

// Conn is the connection under the tunnel, for those who ask whom it proved; it
// must not be read or written.
func (t *Tunnel) Conn() net.Conn { return t.conn }

// Run reads the tunnel until it ends, and returns why; io.EOF is a clean end.
func (t *Tunnel) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { t.Close(context.Cause(ctx)) })
	defer stop()
	t.kick()
	t.Close(t.read())
	t.work.Wait()
	return t.Err()
}

// Done is closed when the tunnel has ended.
func (t *Tunnel) Done() <-chan struct{} { return t.done }

// Err says why the tunnel has ended; nil while it lives.
func (t *Tunnel) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// Peer is the peer's HELLO; false until it has come.
func (t *Tunnel) Peer() (Hello, bool) {
	if h := t.peer.Load(); h != nil {
		return *h, true
	}
	return Hello{}, false
}

// Close ends the tunnel at once, without waiting for the peer; a stream on it is
// reset at both ends. The first cause is kept.
func (t *Tunnel) Close(cause error) { t.close(cause, false) }

// closeFree is Close unless a stream holds the tunnel.
func (t *Tunnel) closeFree(cause error) { t.close(cause, true) }

func (t *Tunnel) close(cause error, onlyFree bool) {
	t.mu.Lock()
	if t.err != nil || onlyFree && t.slot.phase != idle {
		t.mu.Unlock()
		return
	}
	if cause == nil {
		cause = ErrClosed
	}
	t.err = cause
	t.slot.phase = broken
	s := t.stream
	t.stream = nil
	t.mu.Unlock()
	close(t.done)
	_ = rawConn(t.conn).Close()
	if s != nil {
		s.end(cause)
	}
}

// rawConn is the connection below TLS: closing that one never waits to say goodbye
// to a peer that does not read.
func rawConn(c net.Conn) net.Conn {
	if u, ok := c.(interface{ NetConn() net.Conn }); ok {
		return u.NetConn()
	}
	return c
}

// Idle says whether a stream could be opened now.
func (t *Tunnel) Idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.slot.phase == idle && !t.slot.draining
}

// Ping asks for a sign of life; OnPong tells the answer.
func (t *Tunnel) Ping() { t.queue(AppendFrame(nil, TypePing, 0, appendClock(nil, t.now()))) }

// Drain asks the peer to open no more streams here.
func (t *Tunnel) Drain() { t.queue(AppendFrame(nil, TypeDrain, 0, nil)) }

// LastPong is when the last PONG came, on the clock given to New; 0 is never.
func (t *Tunnel) LastPong() time.Duration { return time.Duration(t.lastPong.Load()) }

// queue adds a control frame to what the next write takes along, and sees to it
// that there is one. It never blocks.
func (t *Tunnel) queue(frame []byte) {
	t.mu.Lock()
	over := len(t.pending)+len(frame) > maxPending
	if !over && t.err == nil {
		t.pending = append(t.pending, frame...)
	}
	t.mu.Unlock()
	if over {
		t.Close(errFlooded)
		return
	}
	t.kick()
}

// kick starts one writer for the pending control frames, unless one is on its way.
func (t *Tunnel) kick() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.flushing || t.err != nil || len(t.pending) == 0 {
		return
	}
	t.flushing = true
	t.work.Go(t.flush) // under the lock: Close comes before or after, so Wait sees it
}

func (t *Tunnel) flush() {
	for {
		t.wmu.Lock()
		t.mu.Lock()
		p := t.pending
		t.pending = nil
		t.flushing = len(p) > 0
		t.mu.Unlock()
		if len(p) == 0 {
			t.wmu.Unlock()
			return
		}
		_, err := t.conn.Write(p)
		t.wmu.Unlock()
		if err != nil {
			t.Close(fmt.Errorf("writing to the tunnel: %w", err))
		}
	}
}

// send writes a frame behind what is pending, if step allows it. step runs under
// the lock of the state, so that state and wire keep one order.
func (t *Tunnel) send(frame []byte, step func() error) error {
	t.wmu.Lock()
	defer t.wmu.Unlock()
	t.mu.Lock()
	err := t.err
	if err == nil {
		err = step()
	}
	if err != nil {
		t.mu.Unlock()
		return err
	}
	if p := t.pending; len(p) > 0 && len(frame) <= MaxControl {
		frame, t.pending = append(p, frame...), nil
	}
	t.mu.Unlock()
	if _, err := t.conn.Write(frame); err != nil {
		t.Close(fmt.Errorf("writing to the tunnel: %w", err))
		return err
	}
	return nil
}

// Open asks the peer for a stream. It returns as soon as OPEN is on the wire;
// Stream.Await waits for the answer.
func (t *Tunnel) Open(o Open) (*Stream, error) { return t.open(o, nil) }

func (t *Tunnel) open(o Open, onEnd func()) (*Stream, error) {
	s := newStream(t)
	s.onEnd = onEnd
	if err := t.sendOpen(o, s); err != nil {
		return nil, err
	}
	return s, nil
}

func (t *Tunnel) sendOpen(o Open, s *Stream) error {
	t.wmu.Lock()
	defer t.wmu.Unlock()
	t.mu.Lock()
	if t.err != nil {
		defer t.mu.Unlock()
		return t.err
	}
	id, err := t.slot.begin()
	if err != nil {
		t.mu.Unlock()
		return err
	}
	s.id, t.stream = id, s
	o.Sent = t.now()
	frame := AppendFrame(t.pending, TypeOpen, id, o.Append(nil))
	t.pending = nil
	t.mu.Unlock()
	if _, err := t.conn.Write(frame); err != nil {
		// The stream is registered: its end tells the caller.
		t.Close(fmt.Errorf("writing to the tunnel: %w", err))
	}
	return nil
}

func (t *Tunnel) read() error {
	first := true
	_ = t.conn.SetReadDeadline(time.Now().Add(helloTimeout))
	var head [HeaderLen]byte
	for {
		if _, err := io.ReadFull(listening{t}, head[:]); err != nil {
			if errors.Is(err, io.EOF) && t.Idle() {
				return io.EOF
			}
			return fmt.Errorf("reading from the tunnel: %w", err)
		}
		h, err := ParseHeader(head)
		if err != nil {
			return err
		}
		if first != (h.Type == TypeHello) {
			return fmt.Errorf("%w: HELLO comes first and once", errProtocol)
		}
		if h.Type == TypeData {
			err = t.readData(h)
		} else {
			err = t.readControl(h)
		}
		if err != nil {
			return err
		}
		if first {
			first = false
			_ = t.conn.SetReadDeadline(time.Time{})
		}
	}
}
