package egress

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
	"github.com/causeway-mesh/causeway/gateway/balance"
	"github.com/causeway-mesh/causeway/gateway/telemetry"
	"github.com/causeway-mesh/causeway/gateway/tunnel"
)

var (
	errNoRoute   = errors.New("no route for the service")
	errNoTarget  = errors.New("no target has accepted")
	errSilence   = errors.New("no answer to OPEN in time")
	errBudget    = errors.New("connect budget is used up")
	errNoTarget0 = errors.New("the route has no target")
)

// upstream is what has accepted the client: a stream or an endpoint of our own.
type upstream struct {
	stream    *tunnel.Stream
	endpoint  *net.TCPConn
	earlySent int
}

// serve carries one client from its acceptance to its end.
func (e *Egress) serve(ctx context.Context, c *net.TCPConn, sp federation.ServicePort) {
	began := time.Now()
	rec := telemetry.Access{Side: telemetry.Egress, Service: sp, Client: c.RemoteAddr().String()}
	e.deps.Recorder.Began(telemetry.Egress)
	defer func() {
		rec.Duration = time.Since(began)
		e.deps.Recorder.Ended(rec)
	}()
	table := e.deps.Table()
	route, ok := table.Routes[sp]
	if !ok {
		rec.Outcome, rec.Err = "no_route", errNoRoute
		tunnel.Reset(c)
		return
	}
	var first *early
	if route.EarlyData && e.cfg.MaxEarly > 0 {
		first = readEarly(c, e.cfg.MaxEarly)
	}
	up, err := e.connect(ctx, table, route, first, &rec)
	if first != nil {
		first.stop()
	}
	calls := e.deps.Recorder.Calls()
	if err != nil {
		rec.Outcome, rec.Err = "unreachable", err
		tunnel.Reset(c)
		if gone := (*clientGone)(nil); !errors.As(err, &gone) && ctx.Err() == nil {
			calls.Failed(sp)
		}
		return
	}
	rec.Connect = time.Since(began)
	rec.Outcome = "ok"
	calls.Taken(sp, rec.Connect)
	if up.endpoint != nil { // it uses our own capacity; a stream uses its ingress's
		e.deps.Recorder.Ports().Take(sp)
		defer e.deps.Recorder.Ports().Give(sp)
	}
	var ours bool
	rec.Sent, rec.Received, ours, rec.Err = e.relay(ctx, c, up, first)
	if rec.Err != nil {
		rec.Outcome = "reset"
	}
	if rec.Err != nil && !ours && ctx.Err() == nil {
		calls.Failed(sp)
	}
}

// cut ends what has accepted the client, however long that would go on by itself.
func (up upstream) cut() {
	if up.endpoint != nil {
		tunnel.Reset(up.endpoint)
		return
	}
	up.stream.Abort()
}

// relay sends what is kept of the early bytes, then carries both directions, until ctx
// ends at the latest: a client that has said all it has to say is not read any more, so
// that its reset alone would leave an upstream that never ends. ours says that the
// client's end failed first, or that who did is not known.
func (e *Egress) relay(ctx context.Context, c *net.TCPConn, up upstream, first *early) (sent, received int64, ours bool, err error) {
	stop := context.AfterFunc(ctx, up.cut)
	defer stop()
	var rest []byte
	if first != nil {
		rest, _ = first.from(up.earlySent)
	}
	if up.endpoint != nil {
		sent, received, err = splice(c, up.endpoint, rest)
		return sent, received, true, err
	}
	if len(rest) > 0 {
		if err := up.stream.Early(rest); err != nil {
			up.stream.Abort()
			tunnel.Reset(c)
			return 0, 0, false, err
		}
	}
	res, err := up.stream.Relay(c)
	return res.Sent, res.Received, res.LocalFailed, err
}

// connect tries the candidates in order until one accepts. Where a peer whose path
// lives was merely late, so is this machine or that one, and all are tried again with
// twice the patience: a reset would be the worse answer to a client that can still wait.
func (e *Egress) connect(ctx context.Context, table *routing.Table, route routing.Route, first *early, rec *telemetry.Access) (upstream, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, e.cfg.ConnectBudget, errBudget)
	defer cancel()
	for times := time.Duration(1); ; times *= 2 {
		up, late, err := e.round(ctx, table, route, first, rec, times)
		if err == nil || !late || ctx.Err() != nil {
			return up, err
		}
	}
}

// round tries each candidate once, with times the patience of an attempt. late says
// that one with a living path did not answer in time.
func (e *Egress) round(ctx context.Context, table *routing.Table, route routing.Route, first *early, rec *telemetry.Access, times time.Duration) (up upstream, late bool, err error) {
	last := errNoTarget0
	for _, cand := range balance.Order(e.input(table, route)) {
		if ctx.Err() != nil {
			return upstream{}, late, fmt.Errorf("%w: %w; the last attempt: %w", errNoTarget, context.Cause(ctx), last)
		}
		rec.Attempts++
		rec.Cluster, rec.Gateway = cand.Cluster, cand.Gateway.Instance
		up, err := e.try(ctx, table, route, cand, first, times)
		e.deps.Recorder.Attempt(cand.Cluster, outcome(err))
		if err == nil {
			return up, late, nil
		}
		last = fmt.Errorf("%s %s: %w", cand.Cluster, cand.Gateway.Instance, err)
		var gone *clientGone
		if errors.As(err, &gone) {
			return upstream{}, false, fmt.Errorf("%w: %w", errNoTarget, last)
		}
		late = late || errors.Is(err, errSilence) && e.lives(cand)
	}
	return upstream{}, late, fmt.Errorf("%w: %w", errNoTarget, last)
}

// lives says whether beats go through to a candidate.
func (e *Egress) lives(cand balance.Candidate) bool {
	p := e.deps.Paths.Path(tunnel.KeyOf(cand.Cluster, cand.Gateway))
	return p != nil && p.View().State == routing.PathUp
}

func (e *Egress) input(table *routing.Table, route routing.Route) balance.Input {
	return balance.Input{
		Self: table.Self, Route: route, Peers: table.Peers, Random: rand.Uint64N,
		Path: func(c federation.ClusterName, g federation.GatewayAddress) balance.Path {
			p := e.deps.Paths.Path(tunnel.KeyOf(c, g))
			if p == nil {
				return balance.Path{State: routing.PathUnknown}
			}
			v := p.View()
			if v.NoDial && v.Idle == 0 {
				v.State = routing.PathDown // it lives, but has nothing for a new client
			}
			return balance.Path{State: v.State, Draining: v.Draining, InFlight: v.InUse}
		},
	}
}

func outcome(err error) string {
	var nack *tunnel.NackError
	switch {
	case err == nil:
		return "accepted"
	case errors.As(err, &nack):
		return nack.Reason.String()
	case errors.Is(err, errSilence):
		return "silent"
	case errors.Is(err, tunnel.ErrPathDown):
		return "path_down"
	default:
		return "failed"
	}
}

func (e *Egress) try(ctx context.Context, table *routing.Table, route routing.Route, cand balance.Candidate, first *early, times time.Duration) (upstream, error) {
	if cand.Local {
		c, err := e.dialEndpoint(ctx, table.Served[route.Port].Endpoints)
		return upstream{endpoint: c}, err
	}
	path := e.deps.Paths.Path(tunnel.KeyOf(cand.Cluster, cand.Gateway))
	if path == nil {
		return upstream{}, tunnel.ErrPathDown
	}
	patience := times * e.patience(path.RTT())
	s, _, err := path.Open(ctx, tunnel.Open{Port: route.Port, Budget: patience, EarlyData: first != nil})
	if err != nil {
		return upstream{}, err
	}
	sent, err := e.await(ctx, s, patience, first)
	if err != nil {
		s.Abort() // no effect after a NACK
		return upstream{}, err
	}
	return upstream{stream: s, earlySent: sent}, nil
}

func (e *Egress) patience(rtt time.Duration) time.Duration {
	if rtt == 0 {
		return e.cfg.FirstContact
	}
	return max(2*rtt+e.cfg.AttemptSlack, e.cfg.AttemptMin)
}

// clientGone ends the attempts: there is nobody left to serve.
type clientGone struct{ cause error }

func (c *clientGone) Error() string { return "client is gone: " + c.cause.Error() }
func (c *clientGone) Unwrap() error { return c.cause }

// await waits for the answer to OPEN, and meanwhile sends the client's first bytes
// if they may go early. It returns how many it has sent.
func (e *Egress) await(ctx context.Context, s *tunnel.Stream, patience time.Duration, first *early) (int, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	sent := 0
	var more <-chan struct{}
	if first != nil {
		more = first.more
		n, err := sendEarly(s, first, 0) // what an earlier candidate has been sent too
		if err != nil {
			return 0, err
		}
		sent = n
	}
	for {
		select {
		case <-s.Opened():
			return sent, nil
		case <-s.Done():
			return sent, s.Refusal()
		case <-more:
			n, err := sendEarly(s, first, sent)
			if err != nil {
				return sent, err
			}
			sent = n
		case <-timer.C:
			select {
			case <-s.Opened(): // both were ready, and Go selects at random
				return sent, nil
			default:
				return sent, fmt.Errorf("%w: waited %s", errSilence, patience)
			}
		case <-ctx.Done():
			return sent, context.Cause(ctx)
		}
	}
}

// sendEarly sends what has come since. It fails only where the peer has not accepted.
func sendEarly(s *tunnel.Stream, first *early, sent int) (int, error) {
	p, err := first.from(sent)
	if err != nil {
		return sent, &clientGone{err}
	}
	if len(p) == 0 {
		return sent, nil
	}
	select {
	case <-s.Done():
		return sent, s.Refusal()
	default:
	}
	if err := s.Early(p); err != nil {
		select {
		case <-s.Opened():
			return sent, nil
		case <-s.Done():
			return sent, s.Refusal()
		default:
			return sent, err
		}
	}
	return sent + len(p), nil
}
