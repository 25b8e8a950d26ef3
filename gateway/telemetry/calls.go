package telemetry

import (
	"math/bits"
	"sync"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// Calls counts what became of the connections that local clients opened to imported
// services lately. Safe for concurrent use.
type Calls struct {
	now func() time.Duration

	mu    sync.Mutex
	ports map[federation.ServicePort]*callCount // only those that have something to say
}

type callCount struct {
	outcomes window
	waits    histogram
}

// NewCalls counts nothing yet; now is a monotonic clock.
func NewCalls(now func() time.Duration) *Calls {
	return &Calls{now: now, ports: map[federation.ServicePort]*callCount{}}
}

// Taken counts a connection that an endpoint has accepted, wait after it was opened.
func (c *Calls) Taken(sp federation.ServicePort, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, now := c.of(sp), c.now()
	n.outcomes.add(now, false)
	n.waits.add(now, wait)
}

// Failed counts a connection that nobody took, or that broke, by no doing of its client.
func (c *Calls) Failed(sp federation.ServicePort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of(sp).outcomes.add(c.now(), true)
}

func (c *Calls) of(sp federation.ServicePort) *callCount { return entry(c.ports, sp) }

// Calls are the counts of this moment, without the ports that nobody called; never nil.
// The map is the caller's.
func (c *Calls) Calls() map[federation.ServicePort]routing.PortCalls {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	out := make(map[federation.ServicePort]routing.PortCalls, len(c.ports))
	for sp, n := range c.ports {
		var calls routing.PortCalls
		calls.Outcomes, calls.Failed = n.outcomes.sum(now)
		calls.Slowest = n.waits.p99(now)
		if calls == (routing.PortCalls{}) {
			delete(c.ports, sp)
			continue
		}
		out[sp] = calls
	}
	return out
}

// buckets of a histogram are eighths of powers of two of a microsecond: a figure is at
// most 1/8 too high. The last one is for all above 67 s.
const buckets = 8 * 24

// histogram counts durations over the last routing.UseWindow. The zero value is empty.
type histogram struct{ ring[map[uint8]uint32] }

func (h *histogram) add(now, d time.Duration) {
	s := h.turn(now)
	if *s == nil {
		*s = map[uint8]uint32{}
	}
	(*s)[bucket(d)]++
}

// p99 is the upper end of the bucket in which the slowest of a hundred lies; 0 if there
// is nothing.
func (h *histogram) p99(now time.Duration) time.Duration {
	h.turn(now)
	var counts [buckets]uint32
	total := uint32(0)
	for _, s := range h.slots {
		for b, n := range s {
			counts[b] += n
			total += n
		}
	}
	above := total / 100 // may be slower
	for b := buckets - 1; b >= 0; b-- {
		if counts[b] > above {
			return upper(uint8(b)) //nolint:gosec // bounded
		}
		above -= counts[b]
	}
	return 0
}

// bucket is that of a duration: the power of two below it, and the next three bits.
func bucket(d time.Duration) uint8 {
	us := uint64(max(8, d.Microseconds())) //nolint:gosec // positive
	power := bits.Len64(us) - 1            // 3 and up
	eighth := us >> (power - 3) & 7
	return uint8(min(uint64(power-3)*8+eighth, buckets-1)) //nolint:gosec // bounded
}

// upper is what all durations of a bucket are below.
func upper(b uint8) time.Duration {
	power, eighth := int(b)/8, uint64(b)%8
	return time.Duration((8+eighth+1)<<power) * time.Microsecond //nolint:gosec // bounded
}
