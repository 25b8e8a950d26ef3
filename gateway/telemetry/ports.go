package telemetry

import (
	"sync"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// Ports counts what goes on at the endpoints of our own cluster, per service port: how
// many connections they hold through this gateway, and how many of those that peers
// asked for have failed lately. Safe for concurrent use.
type Ports struct {
	now func() time.Duration

	mu    sync.Mutex
	ports map[federation.ServicePort]*portCount // only those that have something to say
}

type portCount struct {
	held   uint32
	recent window
}

// NewPorts counts nothing yet; now is a monotonic clock.
func NewPorts(now func() time.Duration) *Ports {
	return &Ports{now: now, ports: map[federation.ServicePort]*portCount{}}
}

// Take counts a connection that an endpoint has accepted; Give takes it back at its end.
func (p *Ports) Take(sp federation.ServicePort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of(sp).held++
}

// Give is for each Take, once.
func (p *Ports) Give(sp federation.ServicePort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of(sp).held--
}

// Outcome counts a peer's stream at its end. failed means that our side of it did: no
// endpoint took it, or the endpoint reset it. Streams that the client or the way between
// the gateways has ended are outcomes, and no failures; those that never asked an
// endpoint (refused, overloaded, draining) are none.
func (p *Ports) Outcome(sp federation.ServicePort, failed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of(sp).recent.add(p.now(), failed)
}

func (p *Ports) of(sp federation.ServicePort) *portCount { return entry(p.ports, sp) }

// Uses is the count of this moment, without the ports at which nothing goes on; never
// nil. The map is the caller's.
func (p *Ports) Uses() map[federation.ServicePort]routing.PortUse {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	out := make(map[federation.ServicePort]routing.PortUse, len(p.ports))
	for sp, c := range p.ports {
		use := routing.PortUse{InFlight: c.held}
		use.Ended, use.Failed = c.recent.sum(now)
		if use == (routing.PortUse{}) {
			delete(p.ports, sp)
			continue
		}
		out[sp] = use
	}
	return out
}

// outcomes are those of one slot.
type outcomes struct{ ended, failed uint32 }

// window counts outcomes over the last routing.UseWindow. The zero value is empty.
type window struct{ ring[outcomes] }

func (w *window) add(now time.Duration, failed bool) {
	s := w.turn(now)
	s.ended++
	if failed {
		s.failed++
	}
}

func (w *window) sum(now time.Duration) (ended, failed uint32) {
	w.turn(now)
	for _, s := range w.slots {
		ended, failed = ended+s.ended, failed+s.failed
	}
	return ended, failed
}
