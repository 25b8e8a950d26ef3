package policybench

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Cut is a way to one address that can be cut: connections end at once, and new ones
// are closed as they come, until it is mended.
type Cut struct {
	to       string
	listener net.Listener
	running  sync.WaitGroup
	received atomic.Int64

	mu     sync.Mutex // guards all below
	open   map[net.Conn]bool
	cut    bool
	closed bool
	first  time.Time // of the first connection since it was mended
}

// NewCut listens on loopback and passes on to an address.
func NewCut(to string) (*Cut, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &Cut{to: to, listener: l, open: map[net.Conn]bool{}}
	c.running.Go(c.serve)
	return c, nil
}

// Address is where clients dial, "127.0.0.1:port".
func (c *Cut) Address() string { return c.listener.Addr().String() }

// Received is how many bytes have been passed on to clients.
func (c *Cut) Received() int64 { return c.received.Load() }

// Set cuts, or mends.
func (c *Cut) Set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	c.first = time.Time{}
	if cut {
		c.endAll()
	}
}

// First is when the first connection came since it was mended; zero if none has.
func (c *Cut) First() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first
}

// Close ends everything and waits for it.
func (c *Cut) Close() error {
	c.mu.Lock()
	c.closed = true
	c.endAll()
	c.mu.Unlock()
	err := c.listener.Close()
	c.running.Wait()
	return err
}

func (c *Cut) endAll() {
	for conn := range c.open {
		_ = conn.Close()
	}
}

func (c *Cut) serve() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.running.Go(func() { c.pass(conn) })
	}
}

// keep notes a connection, so that a cut ends it; false if there is a cut now.
func (c *Cut) keep(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut || c.closed {
		return false
	}
	if c.first.IsZero() {
		c.first = time.Now()
	}
	c.open[conn] = true
	return true
}

func (c *Cut) drop(conn net.Conn) {
	_ = conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
}

func (c *Cut) pass(from net.Conn) {
	defer c.drop(from)
	if !c.keep(from) {
		return
	}
	to, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer c.drop(to)
	if !c.keep(to) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(to, from); _ = to.Close() })
	_, _ = io.Copy(from, io.TeeReader(to, counter{&c.received}))
	_ = from.Close()
	both.Wait()
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}
