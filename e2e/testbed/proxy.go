package testbed

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
)

// Expose answers on a listener that was given to Enter, by its name, for an address
// inside a site, until the world ends. It returns the address on the host.
func (w *World) Expose(name string, s *Site, addr string) (string, error) {
	l, ok := w.host.Listeners[name]
	if !ok {
		return "", fmt.Errorf("no listener %q was given to Enter", name)
	}
	go w.proxy(l, s, addr)
	return localhost(l), nil
}

// proxy ends when the listener is closed.
func (w *World) proxy(l net.Listener, s *Site, addr string) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			out, err := s.Dial(context.Background(), "tcp", addr)
			if err != nil {
				return // the client sees its connection closed
			}
			defer out.Close()
			splice(in, out)
		}()
	}
}

// splice copies both ways and passes the end of each way on.
func splice(a, b net.Conn) {
	var wg sync.WaitGroup
	way := func(dst, src net.Conn) {
		_, _ = io.Copy(dst, src)
		if c, ok := dst.(*net.TCPConn); ok {
			_ = c.CloseWrite()
		}
	}
	wg.Go(func() { way(a, b) })
	wg.Go(func() { way(b, a) })
	wg.Wait()
}
