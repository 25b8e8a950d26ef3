package egress

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
	"github.com/causeway-mesh/causeway/gateway/telemetry"
	"github.com/causeway-mesh/causeway/gateway/tunnel"
)

// Deps are what the egress works with.
type Deps struct {
	// Table is the table in force; never nil.
	Table func() *routing.Table
	Paths *tunnel.Set
	// OnPorts is told when FailedPorts has changed; it must not block.
	OnPorts  func()
	Recorder *telemetry.Recorder
	Log      *slog.Logger
}

// Egress is the listeners and their clients.
type Egress struct {
	cfg  Config
	deps Deps
	sync chan struct{} // from Sync to Run; buffer 1, full = already told

	mu      sync.Mutex
	failed  map[federation.ServicePort]string
	clients map[net.Conn]struct{}
	work    sync.WaitGroup
}

// New checks cfg.
func New(cfg Config, deps Deps) (*Egress, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Egress{cfg: cfg, deps: deps, sync: make(chan struct{}, 1), clients: map[net.Conn]struct{}{}}, nil
}

// Sync makes Run open and close ports as the table in force says.
func (e *Egress) Sync() {
	select {
	case e.sync <- struct{}{}:
	default:
	}
}

// FailedPorts are the service ports whose egress port could not be opened, and why.
func (e *Egress) FailedPorts() map[federation.ServicePort]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.failed)
}

// listener is an open egress port.
type listener struct {
	*net.TCPListener
	port federation.ServicePort
}

// Run serves until ctx ends, then closes the ports and waits for the clients, at
// most Drain.
func (e *Egress) Run(ctx context.Context) error {
	open := map[uint16]listener{}
	retry := time.NewTicker(e.cfg.RetryPorts)
	defer retry.Stop()
	life, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	e.Sync()
	for done := false; !done; {
		select {
		case <-ctx.Done():
			done = true
		case <-e.sync:
			e.apply(life, open)
		case <-retry.C:
			if len(e.FailedPorts()) > 0 {
				e.apply(life, open)
			}
		}
	}
	for _, l := range open {
		_ = l.Close()
	}
	e.drain(cut)
	return nil
}

// drain waits for the clients, and resets those that stay too long.
func (e *Egress) drain(cut context.CancelFunc) {
	late := time.AfterFunc(e.cfg.Drain, func() {
		cut()
		e.mu.Lock()
		defer e.mu.Unlock()
		for c := range e.clients {
			tunnel.Reset(c)
		}
	})
	defer late.Stop()
	e.work.Wait()
}

// apply opens and closes ports; connections that came through a port stay.
func (e *Egress) apply(ctx context.Context, open map[uint16]listener) {
	want := map[uint16]federation.ServicePort{}
	failed := map[federation.ServicePort]string{}
	routes := e.deps.Table().Routes
	ports := slices.SortedFunc(maps.Keys(routes), federation.ServicePort.Compare)
	for _, sp := range ports {
		r := routes[sp]
		if r.EgressPort == 0 {
			continue
		}
		if other, taken := want[r.EgressPort]; taken {
			failed[sp] = fmt.Sprintf("egress port %d is already given to %s", r.EgressPort, other)
			continue
		}
		want[r.EgressPort] = sp
	}
	for n, l := range open {
		if want[n] != l.port {
			_ = l.Close()
			delete(open, n)
		}
	}
	for n, sp := range want {
		if _, ok := open[n]; ok {
			continue
		}
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(e.cfg.Local, n)))
		if err != nil {
			failed[sp] = err.Error()
			continue
		}
		open[n] = listener{l, sp}
		e.work.Go(func() { e.accept(ctx, listener{l, sp}) })
	}
	e.setFailed(failed)
}

func (e *Egress) setFailed(failed map[federation.ServicePort]string) {
	e.mu.Lock()
	changed := !maps.Equal(failed, e.failed)
	e.failed = failed
	e.mu.Unlock()
	if !changed {
		return
	}
	for sp, why := range failed {
		e.deps.Log.Warn("egress port cannot be opened, trying again", "service", sp.String(), "error", why)
	}
	if e.deps.OnPorts != nil {
		e.deps.OnPorts()
	}
}

// acceptPause is the wait after an accept that failed for want of descriptors.
const acceptPause = 50 * time.Millisecond

func (e *Egress) accept(ctx context.Context, l listener) {
	for {
		c, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			e.deps.Log.Warn("accepting clients", "service", l.port.String(), "error", err)
			pause(ctx, acceptPause)
			continue
		}
		e.mu.Lock()
		e.clients[c] = struct{}{}
		e.mu.Unlock()
		e.work.Go(func() {
			e.serve(ctx, c, l.port)
			e.mu.Lock()
			delete(e.clients, c)
			e.mu.Unlock()
		})
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
