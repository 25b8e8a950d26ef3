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
	go proxy(l, s.dialer(addr))
	return localhost(l), nil
}

// dialer makes a connection's other half.
type dialer func(context.Context) (net.Conn, error)

func (s *Site) dialer(addr string) dialer {
	return func(ctx context.Context) (net.Conn, error) { return s.Dial(ctx, "tcp", addr) }
}

// proxy ends when the listener is closed.
func proxy(l net.Listener, dial dialer) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			out, err := dial(context.Background())
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
