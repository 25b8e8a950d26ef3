package serviceimport

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
)

// grace is how long a gateway that vanished stays in the slices, if another one is
// left: shorter would flap on a reconnect, longer would cost clients more refusals.
const grace = 3 * time.Second

// sightings remembers when each gateway address was last usable. Safe for
// concurrent use.
type sightings struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// see notes which addresses are usable now, and gives the time that each of the
// known ones was last usable. An address that it has never seen (written before
// this process began) counts as seen now, once.
func (s *sightings) see(now time.Time, usable, existing []string) map[string]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = map[string]time.Time{}
	}
	for _, address := range usable {
		s.last[address] = now
	}
	out := map[string]time.Time{}
	for _, address := range existing {
		if _, known := s.last[address]; !known {
			s.last[address] = now
		}
		out[address] = s.last[address]
	}
	for address, at := range s.last { // forget what no slice can still hold
		if now.Sub(at) > 10*time.Minute {
			delete(s.last, address)
		}
	}
	return out
}

// candidates splits the local gateways, as far as one import is concerned, into
// those that take new clients and those that say of themselves that they do not:
// draining, or without a listener on one of the import's ports.
func candidates(gateways []engine.GatewayView, ports []federation.ServicePort) (usable, declined []string) {
	for _, g := range gateways {
		address, err := netip.ParseAddr(g.Local)
		if err != nil || !g.Connected {
			continue
		}
		if g.Draining || failsAny(g, ports) {
			declined = append(declined, address.Unmap().String())
			continue
		}
		usable = append(usable, address.Unmap().String())
	}
	slices.Sort(usable)
	return slices.Compact(usable), declined
}

func failsAny(g engine.GatewayView, ports []federation.ServicePort) bool {
	for _, port := range ports {
		if _, failed := g.FailedPorts[port]; failed {
			return true
		}
	}
	return false
}

// next decides which addresses the slices hold. It never goes from some to none.
// wait is when to look again because a vanished gateway is still in, 0 if none is.
func next(now time.Time, existing, usable, declined []string, last map[string]time.Time) (out []string, wait time.Duration) {
	if len(usable) == 0 {
		return existing, 0
	}
	out = slices.Clone(usable)
	for _, address := range existing {
		if slices.Contains(out, address) || slices.Contains(declined, address) {
			continue
		}
		left := grace - now.Sub(last[address])
		if left <= 0 {
			continue
		}
		out = append(out, address)
		if wait == 0 || left < wait {
			wait = left
		}
	}
	slices.Sort(out)
	return out, wait
}
