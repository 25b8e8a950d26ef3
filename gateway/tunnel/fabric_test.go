package tunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/causeway-mesh/causeway/federation/routing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fabric is a peer gateway in memory, inside a synctest bubble: time is virtual, and
// each connection to it can be stalled by itself, as a lost flow is.
type fabric struct {
	t       *testing.T
	path    *Path
	start   time.Time
	local   func() Local // what the peer serves streams with
	changes []string     // only read when the bubble is still

	mu      sync.Mutex
	refuse  error
	dials   int
	conns   []*pipe // from the peer's side, in the order of their dials
	working sync.WaitGroup
}

// pipe is one connection; a stalled one swallows what is written, both ways.
type pipe struct {
	purpose Purpose
	near    net.Conn
	far     *Tunnel
	stalled chan struct{}
	stall   func()
}

// end is one end of a pipe.
type end struct {
	net.Conn
	stalled chan struct{}
}

func (e end) Write(p []byte) (int, error) {
	select {
	case <-e.stalled:
		return len(p), nil
	default:
		return e.Conn.Write(p)
	}
}

// inBubble runs f with a path that is up.
func inBubble(t *testing.T, f func(*fabric)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		x := &fabric{t: t, start: time.Now(), local: func() Local { return newSink() }}
		cfg := DefaultPathConfig()
		cfg.Instance, cfg.Cluster = "gw", "us"
		x.path = NewPath(Key{Cluster: "peer", Instance: "gw"}, cfg, PathDeps{
			Dial: x.dial, OnOpen: func(in *Incoming) { _ = in.Nack(Refused) }, Now: x.now,
			OnChange: func(_ Key, s routing.PathState, cause string) { x.changes = append(x.changes, string(s)+" "+cause) },
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { _ = x.path.Run(ctx); close(done) }()
		time.Sleep(time.Second)
		synctest.Wait()
		if v := x.path.View(); v.State != routing.PathUp || v.Idle != 2 {
			t.Fatalf("the path is %s with %d warm tunnels", v.State, v.Idle)
		}
		f(x)
		cancel()
		<-done
		x.mu.Lock()
		conns := x.conns
		x.mu.Unlock()
		for _, c := range conns {
			c.far.Close(ErrClosed)
		}
		x.working.Wait()
	})
}

func (x *fabric) now() time.Duration { return time.Since(x.start) + time.Second }

const oneWay = 10 * time.Millisecond

func (x *fabric) dial(ctx context.Context, _ Key) (net.Conn, error) {
	x.mu.Lock()
	x.dials++
	refuse := x.refuse
	x.mu.Unlock()
	if !wait(ctx, 2*oneWay) {
		return nil, ctx.Err()
	}
	if refuse != nil {
		return nil, refuse
	}
	near, far := net.Pipe()
	c := &pipe{near: near, stalled: make(chan struct{})}
	c.stall = sync.OnceFunc(func() { close(c.stalled) })
	c.far = New(end{far, c.stalled}, Config{Instance: "gw", Cluster: "peer", Peer: "us"}, Hooks{
		OnHello: func(_ *Tunnel, h Hello) { x.mu.Lock(); c.purpose = h.Purpose; x.mu.Unlock() },
		OnOpen: func(in *Incoming) {
			if in.Accept() == nil {
				_, _ = in.Relay(x.local())
			}
		},
	}, x.now)
	x.mu.Lock()
	x.conns = append(x.conns, c)
	x.mu.Unlock()
	x.working.Go(func() { _ = c.far.Run(context.Background()) })
	return end{near, c.stalled}, nil
}

// live lists the connections of one purpose that stand.
func (x *fabric) live(p Purpose) []*pipe {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []*pipe
	for _, c := range x.conns {
		select {
		case <-c.stalled:
			continue
		default:
		}
		if c.purpose == p && c.far.Err() == nil {
			out = append(out, c)
		}
	}
	return out
}

// stallAll stalls all that stands or is being dialled: the way is dead.
func (x *fabric) stallAll() {
	x.setRefuse(errRefused)
	time.Sleep(3 * oneWay)
	synctest.Wait()
	for _, c := range slices.Concat(x.live(ForBeats), x.live(ForData)) {
		c.stall()
	}
}

func (x *fabric) setRefuse(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.refuse = err
}

var errRefused = errors.New("connection refused")

// open opens a stream with local at our end, and returns its connection.
func (x *fabric) open(local Local) (*Stream, *pipe) {
	x.t.Helper()
	s, _, err := x.path.Open(x.t.Context(), Open{Port: sampleOpen.Port, Budget: time.Second})
	if err != nil {
		x.t.Fatal(err)
	}
	if err := s.Await(x.t.Context()); err != nil {
		x.t.Fatal(err)
	}
	x.working.Go(func() { _, _ = s.Relay(local) })
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range x.conns {
		if e, ok := s.t.conn.(end); ok && e.Conn == c.near {
			return s, c
		}
	}
	x.t.Fatal("the stream's connection is not known")
	return nil, nil
}

// sink is a local end that says nothing and takes everything, or, once it is shut,
// nothing.
type sink struct {
	closed chan struct{}
	once   sync.Once
	shut   chan struct{} // closed: takes nothing more; nil never
	feed   chan []byte   // what it says; nil is nothing
}

func newSink() *sink { return &sink{closed: make(chan struct{})} }

func (s *sink) Read(p []byte) (int, error) {
	select {
	case b := <-s.feed:
		return copy(p, b), nil
	case <-s.closed:
		return 0, io.ErrClosedPipe
	}
}

func (s *sink) Write(p []byte) (int, error) {
	if s.shut != nil {
		select {
		case <-s.shut:
		case <-s.closed:
			return 0, io.ErrClosedPipe
		}
	}
	return len(p), nil
}

func (s *sink) CloseWrite() error { return nil }
func (s *sink) Close() error      { s.once.Do(func() { close(s.closed) }); return nil }
