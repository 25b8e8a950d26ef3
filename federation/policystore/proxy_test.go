package policystore_test

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/causeway-mesh/causeway/federation/policystore"
)

// proxy stands between a client and the store, and can be cut: connections end, and new
// ones are closed at once.
type proxy struct {
	address string
	target  string
	mu      sync.Mutex
	cut     bool
	open    map[net.Conn]bool
}

func (s *store) proxy(t *testing.T) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: l.Addr().String(), target: s.address, open: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); p.setCut(true); wg.Wait() })
	return p
}

func (p *proxy) through(c *policystore.Config) { c.Endpoints = []string{"http://" + p.address} }

func (p *proxy) setCut(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	for c := range p.open {
		if cut {
			_ = c.Close()
		}
	}
}

// keep notes a connection to be cut; false if it is cut already.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[c] = true
	return !p.cut
}

func (p *proxy) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	up, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer func() { _ = up.Close() }()
	if !p.keep(c) || !p.keep(up) {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(up, c)
		_ = up.Close()
	}()
	_, _ = io.Copy(c, up)
	_ = c.Close()
	<-done
}
