package ingress

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"time"

	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/gateway/telemetry"
	"github.com/causeway-mesh/causeway/gateway/tunnel"
)

// Serve answers a stream that a peer opens on a tunnel of either direction; id is
// whom the tunnel's certificate names.
func (g *Ingress) Serve(ctx context.Context, in *tunnel.Incoming, id identity.ID) {
	g.serve(ctx, in, id)
}

func (g *Ingress) serve(ctx context.Context, in *tunnel.Incoming, id identity.ID) {
	nack := func(r tunnel.Reason) {
		g.deps.Recorder.Refused(r.String())
		_ = in.Nack(r)
	}
	g.mu.Lock()
	draining := g.draining
	if !draining {
		g.serving.Add(1)
	}
	g.mu.Unlock()
	if draining {
		nack(tunnel.Draining)
		return
	}
	defer g.serving.Done()
	served, ok := g.deps.Table().Served[in.Request.Port]
	switch {
	case !g.member(id.Cluster, id.TrustDomain), !ok:
		nack(tunnel.Refused)
		return
	case in.Expired():
		nack(tunnel.Expired)
		return
	case !g.streams.take(id.Cluster):
		nack(tunnel.Overloaded)
		return
	}
	defer g.streams.give(id.Cluster)
	g.carry(ctx, in, id, served.Endpoints, nack)
}

// carry dials an endpoint, says OPENED, and relays.
func (g *Ingress) carry(ctx context.Context, in *tunnel.Incoming, id identity.ID, endpoints []string, nack func(tunnel.Reason)) {
	began, ports := time.Now(), g.deps.Recorder.Ports()
	endpoint, err := g.dial(ctx, in, endpoints)
	if err != nil {
		if blames(ctx, in, time.Since(began)) {
			ports.Outcome(in.Request.Port, true)
		}
		g.deps.Log.Debug("no endpoint", "service", in.Request.Port.String(), "error", err)
		nack(tunnel.NoEndpoint)
		return
	}
	if in.Expired() {
		tunnel.Reset(endpoint)
		nack(tunnel.Expired)
		return
	}
	if err := in.Accept(); err != nil {
		tunnel.Reset(endpoint)
		return
	}
	g.deps.Recorder.Began(telemetry.Ingress)
	rec := telemetry.Access{Side: telemetry.Ingress, Service: in.Request.Port, Cluster: id.Cluster,
		Client: endpoint.RemoteAddr().String(), Attempts: 1, Connect: time.Since(began), Outcome: "ok"}
	if h, ok := in.Tunnel().Peer(); ok {
		rec.Gateway = h.Instance
	}
	ports.Take(in.Request.Port)
	res, err := in.Relay(endpoint)
	ports.Give(in.Request.Port)
	ports.Outcome(in.Request.Port, res.LocalFailed)
	rec.Sent, rec.Received, rec.Duration, rec.Err = res.Received, res.Sent, time.Since(began), err
	if err != nil {
		rec.Outcome = "reset"
	}
	g.deps.Recorder.Ended(rec)
}

// blames says whether a dial without success is the endpoints' fault. An opener that
// gave up in the middle of it is not served; that is theirs only if they have used up
// half of its patience, which in one cluster a healthy endpoint never does.
func blames(ctx context.Context, in *tunnel.Incoming, waited time.Duration) bool {
	if ctx.Err() != nil {
		return false // we are going
	}
	gone := in.Expired()
	select {
	case <-in.Done():
		gone = true
	default:
	}
	return !gone || waited >= in.Request.Budget/2
}

var errNoEndpoint = errors.New("no ready endpoint")

// dial tries the endpoints from a random one on, the next one on refusal, until one
// accepts, the opener has given up or its deadline has passed.
func (g *Ingress) dial(ctx context.Context, in *tunnel.Incoming, endpoints []string) (*net.TCPConn, error) {
	if len(endpoints) == 0 {
		return nil, errNoEndpoint
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	finished := make(chan struct{})
	defer close(finished)
	go func() {
		select {
		case <-in.Done():
			cancel()
		case <-finished:
		}
	}()
	d := net.Dialer{Timeout: g.cfg.EndpointTimeout}
	start := rand.IntN(len(endpoints)) //nolint:gosec // spreads load
	var last error
	for i := range endpoints {
		c, err := d.DialContext(ctx, "tcp", endpoints[(start+i)%len(endpoints)])
		if err == nil {
			return c.(*net.TCPConn), nil
		}
		last = err
		if ctx.Err() != nil || in.Expired() {
			break
		}
	}
	return nil, last
}
