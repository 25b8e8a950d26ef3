package telemetry

import (
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// slot is the grain of a ring, which covers one slot less than routing.UseWindow at least.
const slot = time.Second

// ring keeps something for each slot of the last routing.UseWindow. The zero value is
// empty.
type ring[T any] struct {
	at    int64 // the newest slot's number
	slots [routing.UseWindow / slot]T
}

// turn empties the slots whose time has come round again, and returns the newest.
func (r *ring[T]) turn(now time.Duration) *T {
	at := max(r.at, int64(now/slot))
	n := int64(len(r.slots))
	for i := max(r.at+1, at-n+1); i <= at; i++ {
		var empty T
		r.slots[i%n] = empty
	}
	r.at = at
	return &r.slots[at%n]
}

// entry is what a map holds for a port, made empty if it holds nothing.
func entry[T any](ports map[federation.ServicePort]*T, sp federation.ServicePort) *T {
	e := ports[sp]
	if e == nil {
		e = new(T)
		ports[sp] = e
	}
	return e
}
