package gossip

import "time"

// bucket is a token bucket of one sender: a frame is a token. It reads no clock.
type bucket struct {
	rate, burst float64 // tokens per second, and at most so many at once
	level       float64
	at          time.Duration
}

// take spends a token and tells how long to wait before going on: reading no further
// holds the sender back, at no cost to us.
func (b *bucket) take(now time.Duration) time.Duration {
	b.level = min(b.burst, b.level+(now-b.at).Seconds()*b.rate)
	b.at = now
	b.level--
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
