package egress

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"

	"github.com/causeway-mesh/causeway/gateway/tunnel"
)

var errNoEndpoint = errors.New("no ready endpoint in our own cluster")

// dialEndpoint tries our own cluster's endpoints from a random one on, the next one
// on refusal.
func (e *Egress) dialEndpoint(ctx context.Context, endpoints []string) (*net.TCPConn, error) {
	if len(endpoints) == 0 {
		return nil, errNoEndpoint
	}
	d := net.Dialer{Timeout: e.cfg.EndpointTimeout}
	start := rand.IntN(len(endpoints)) //nolint:gosec // spreads load
	var last error
	for i := range endpoints {
		c, err := d.DialContext(ctx, "tcp", endpoints[(start+i)%len(endpoints)])
		if err == nil {
			return c.(*net.TCPConn), nil
		}
		last = err
		if ctx.Err() != nil {
			break
		}
	}
	return nil, last
}

// splice carries bytes between a client and an endpoint of our own cluster, first
// those that were read early. A failure resets both.
func splice(client, endpoint *net.TCPConn, first []byte) (sent, received int64, err error) {
	var wg sync.WaitGroup
	var outErr, inErr error
	wg.Go(func() {
		n, err := endpoint.Write(first)
		sent = int64(n)
		if err == nil {
			var more int64
			more, err = io.Copy(endpoint, client)
			sent += more
		}
		outErr = halfClose(endpoint, client, err)
	})
	received, err = io.Copy(client, endpoint)
	inErr = halfClose(client, endpoint, err)
	wg.Wait()
	_ = client.Close()
	_ = endpoint.Close()
	return sent, received, errors.Join(outErr, inErr)
}

// halfClose passes on the end of src to dst, or resets both after a failure.
func halfClose(dst, src *net.TCPConn, err error) error {
	if err == nil {
		_ = dst.CloseWrite() // fails only when dst is gone, which its reader sees
		return nil
	}
	tunnel.Reset(dst)
	tunnel.Reset(src)
	return err
}
