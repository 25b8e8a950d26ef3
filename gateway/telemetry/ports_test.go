package telemetry

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

var checkout = federation.ServicePort{Service: federation.ServiceName{Namespace: "shop", Name: "checkout"}, Port: 80}

type uses = map[federation.ServicePort]routing.PortUse

func (p *Ports) want(t *testing.T, when string, want uses) {
	t.Helper()
	if d := cmp.Diff(want, p.Uses()); d != "" {
		t.Errorf("%s:\n%s", when, d)
	}
}

func TestConnectionsAreCountedFromTheEndpointsAcceptanceToTheEnd(t *testing.T) {
	p := NewPorts(func() time.Duration { return 0 })
	p.want(t, "at first", uses{})
	p.Take(checkout)
	p.Take(checkout)
	p.want(t, "two are open", uses{checkout: {InFlight: 2}})
	p.Give(checkout)
	p.want(t, "one is open", uses{checkout: {InFlight: 1}})
	p.Give(checkout)
	p.want(t, "both have ended", uses{})
}

func TestOutcomesAreForgottenAfterTheWindow(t *testing.T) {
	var now time.Duration
	p := NewPorts(func() time.Duration { return now })
	p.Outcome(checkout, false)
	p.Outcome(checkout, true)
	now = 5 * time.Second
	p.Outcome(checkout, false)
	now = routing.UseWindow - time.Millisecond
	p.want(t, "within the window", uses{checkout: {Ended: 3, Failed: 1}})
	now = routing.UseWindow
	p.want(t, "the first two have left it", uses{checkout: {Ended: 1}})
	now = 3 * routing.UseWindow
	p.want(t, "long after", uses{})
	if len(p.ports) != 0 {
		t.Errorf("%d ports are kept for nothing", len(p.ports))
	}
}

func TestSlotsOfTheLastTurnAreNotCountedAgain(t *testing.T) {
	var now time.Duration
	p := NewPorts(func() time.Duration { return now })
	for range 30 {
		p.Outcome(checkout, true)
		now += slot
	}
	p.want(t, "one each second", uses{checkout: {Ended: 9, Failed: 9}}) // the tenth slot has just begun
}
