package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// conn is one end of a connection.
type conn struct {
	host, peer *Host
	out        *flow
	in         *inbox
}

var _ net.Conn = (*conn)(nil)

// Addr is a site as net.Addr.
type Addr Site

// Network is "memnet".
func (Addr) Network() string  { return "memnet" }
func (a Addr) String() string { return string(a) }

func (c *conn) LocalAddr() net.Addr  { return Addr(c.host.site) }
func (c *conn) RemoteAddr() net.Addr { return Addr(c.peer.site) }

func (c *conn) Read(p []byte) (int, error) { return c.in.read(p) }

// Write never waits.
func (c *conn) Write(p []byte) (int, error) {
	if c.in.isClosed() {
		return 0, net.ErrClosed
	}
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	c.out.send(append([]byte(nil), p...), nil)
	return len(p), nil
}

// Close says goodbye behind all that was written.
func (c *conn) Close() error {
	if !c.in.close() {
		return nil
	}
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	delete(c.host.conns, c)
	c.out.send(nil, io.EOF)
	return nil
}

func (c *conn) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }
func (c *conn) SetReadDeadline(t time.Time) error  { c.in.until(t); return nil }
func (c *conn) SetWriteDeadline(t time.Time) error { return nil }

// inbox is what has arrived for one reader.
type inbox struct {
	mu       sync.Mutex
	data     []byte
	end      error
	closed   bool
	deadline time.Time
	wake     chan struct{} // whoever changes something pokes, the reader receives; buffer 1
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

func (i *inbox) push(data []byte, end error) {
	i.mu.Lock()
	i.data = append(i.data, data...)
	if end != nil {
		i.end = end
	}
	i.mu.Unlock()
	poke(i.wake)
}

func (i *inbox) until(t time.Time) {
	i.mu.Lock()
	i.deadline = t
	i.mu.Unlock()
	poke(i.wake)
}

func (i *inbox) close() (first bool) {
	i.mu.Lock()
	first, i.closed = !i.closed, true
	i.mu.Unlock()
	poke(i.wake)
	return first
}

func (i *inbox) isClosed() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.closed
}

func (i *inbox) read(p []byte) (int, error) {
	for {
		n, err, wait := i.take(p)
		if n > 0 || err != nil {
			return n, err
		}
		i.await(wait)
	}
}

// take reads what is there; with nothing there it tells for how long to wait, 0 is for ever.
func (i *inbox) take(p []byte) (n int, err error, wait time.Duration) { //nolint:revive // a wait is no error
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.closed:
		return 0, net.ErrClosed, 0
	case !i.deadline.IsZero() && !time.Now().Before(i.deadline):
		return 0, os.ErrDeadlineExceeded, 0
	case len(i.data) > 0:
		n = copy(p, i.data)
		i.data = i.data[n:]
		return n, nil, 0
	case i.end != nil:
		return 0, i.end, 0
	case i.deadline.IsZero():
		return 0, nil, 0
	}
	return 0, nil, time.Until(i.deadline)
}

// await returns when something has changed, or after d.
func (i *inbox) await(d time.Duration) {
	if d == 0 {
		<-i.wake
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-i.wake:
	case <-t.C:
	}
}
