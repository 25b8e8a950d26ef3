package tunnel

import "time"

// delayWindow is how long the fastest frame counts as the tunnel's floor. Two
// monotonic clocks drift apart (50 ppm make 180 ms in an hour), so an old floor
// would make punctual frames look late.
const delayWindow = time.Minute

// delayFloor keeps the smallest (received − sent) seen in this window and the one
// before. The two clocks have unrelated zeros; only differences between samples
// mean anything. The zero value has no samples.
type delayFloor struct {
	start     time.Duration // of the current window, on the receiver's clock
	cur, prev time.Duration
	have      uint8 // bit 0: cur is set, bit 1: prev is set
}

// sample takes a frame that was sent at sent (their clock) and received at now (ours).
func (f *delayFloor) sample(now, sent time.Duration) {
	f.roll(now)
	if d := now - sent; f.have&1 == 0 || d < f.cur {
		f.cur = d
		f.have |= 1
	}
}

// late says how much longer a frame took than the fastest one lately; 0 when
// nothing is known (fail static: a frame is never dropped for want of a sample).
func (f *delayFloor) late(now, sent time.Duration) time.Duration {
	f.roll(now)
	var floor time.Duration
	switch f.have {
	case 0:
		return 0
	case 1:
		floor = f.cur
	case 2:
		floor = f.prev
	default:
		floor = min(f.cur, f.prev)
	}
	return max(0, now-sent-floor)
}

func (f *delayFloor) roll(now time.Duration) {
	switch age := now - f.start; {
	case age < delayWindow:
	case age < 2*delayWindow:
		f.prev, f.have, f.start = f.cur, f.have<<1&2, f.start+delayWindow
	default:
		f.have, f.start = 0, now
	}
}
