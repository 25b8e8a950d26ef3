package gossip

import (
	"sync"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// bucket is a token bucket of one sender: a frame is a token, and so is each tokenBytes of
// it. All connections of a sender share it, and it outlives them: neither more connections
// nor new ones bring more. It reads no clock. Any goroutine may use it.
type bucket struct {
	rate, burst float64 // tokens per second, and at most so many at once

	mu    sync.Mutex
	level float64
	at    time.Duration
}

// tokenBytes of a frame cost as much as another frame: decrypting and hashing them does.
const tokenBytes = 4 << 10

// take pays for a frame of size bytes, its answer's included, and tells how long to wait before going
// on: reading no further holds the sender back, at no cost to us.
func (b *bucket) take(size int, now time.Duration) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now > b.at { // another connection's goroutine may have looked at the clock later
		b.level = min(b.burst, b.level+(now-b.at).Seconds()*b.rate)
		b.at = now
	}
	b.level -= 1 + float64(size/tokenBytes)
	if b.level >= 0 {
		return 0
	}
	return time.Duration(-b.level / b.rate * float64(time.Second))
}

// throttle is the least wait of a sender beyond its budget: a sleep costs as much as a frame.
const throttle = 10 * time.Millisecond

func newBucket(c Config, now time.Duration) *bucket {
	return &bucket{rate: float64(c.FrameRate), burst: float64(c.FrameBurst), level: float64(c.FrameBurst), at: now}
}

// budgets are the buckets of all who dial us.
type budgets struct {
	mu sync.Mutex
	of map[federation.ClusterName]*bucket
}

// budget is that of a peer; it is made full when the peer first comes.
func (g *Gossip) budget(peer federation.ClusterName) *bucket {
	g.budgets.mu.Lock()
	defer g.budgets.mu.Unlock()
	b := g.budgets.of[peer]
	if b == nil {
		b = newBucket(g.cfg, g.now())
		g.budgets.of[peer] = b
	}
	return b
}

// forget drops the budget of who is no peer any more.
func (b *budgets) forget(peer federation.ClusterName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.of, peer)
}
