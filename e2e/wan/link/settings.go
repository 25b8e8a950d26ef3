package link

import (
	"errors"
	"fmt"
	"time"
)

// Bounds of settings: what is beyond is a mistake in units.
const (
	MaxDelay = 10 * time.Second
	MaxRate  = int64(1e12)
	MinRate  = int64(1e3)
	MaxQueue = 1 << 30
)

// Settings say how one direction treats its packets. The zero value lets everything
// through at once. Shares are between 0 and 1, of wire packets of at most the MTU, also
// where the host hands over many of them as one frame.
type Settings struct {
	// Delay is one way, at most MaxDelay.
	Delay time.Duration
	// Jitter is added to Delay: uniform between 0 and Jitter, one draw for each frame,
	// since a queue on the way delays a burst as a whole. Order is kept, so a packet
	// never arrives before the one ahead of it. At most MaxDelay.
	Jitter time.Duration
	// Exponential makes Jitter the mean of an exponential distribution instead, cut at
	// ten times that: the long tail of busy routers.
	Exponential bool
	// Loss is the share of packets that is lost.
	Loss float64
	// Burst is the mean number of packets that are lost in a row (Gilbert's model). 0
	// makes losses independent of each other; otherwise at least 1, and large enough
	// for Loss: Loss/(1-Loss).
	Burst float64
	// Duplicate is the share of packets that arrive twice, the copy right behind.
	Duplicate float64
	// Reorder is the share of packets that are held back by ReorderBy while later ones
	// overtake them.
	Reorder   float64
	ReorderBy time.Duration
	// Rate is the bandwidth in bit/s of IP packets, 0 is unlimited: a token bucket of
	// BucketBytes.
	Rate int64
	// Queue bounds what waits for the bandwidth, in bytes; more is refused (tail drop).
	// Default 0: what Rate sends in 100 ms, at least 64 KiB.
	Queue int
	// Down makes it a black hole: nothing arrives, nobody is told.
	Down bool
}

// BucketBytes may be sent at once after a pause, whatever the rate.
const BucketBytes = 16 << 10

// Validate joins everything that is wrong.
func (s Settings) Validate() error {
	var errs []error
	for name, d := range map[string]time.Duration{"delay": s.Delay, "jitter": s.Jitter, "reorder by": s.ReorderBy} {
		if d < 0 || d > MaxDelay {
			errs = append(errs, fmt.Errorf("%s %s is not within 0 and %s", name, d, MaxDelay))
		}
	}
	for name, p := range map[string]float64{"loss": s.Loss, "duplicate": s.Duplicate, "reorder": s.Reorder} {
		if !(p >= 0 && p <= 1) { // not a number either
			errs = append(errs, fmt.Errorf("%s %v is not a share between 0 and 1", name, p))
		}
	}
	if s.Reorder > 0 && s.ReorderBy == 0 {
		errs = append(errs, errors.New("reorder needs the time that packets are held back"))
	}
	if err := s.validateBurst(); err != nil {
		errs = append(errs, err)
	}
	if s.Rate != 0 && (s.Rate < MinRate || s.Rate > MaxRate) {
		errs = append(errs, fmt.Errorf("rate %d bit/s is not within %d and %d", s.Rate, MinRate, MaxRate))
	}
	if s.Queue < 0 || s.Queue > MaxQueue {
		errs = append(errs, fmt.Errorf("queue of %d bytes is not within 0 and %d", s.Queue, MaxQueue))
	}
	return errors.Join(errs...)
}

const maxBurst = 1e6

func (s Settings) validateBurst() error {
	switch {
	case s.Burst == 0:
		return nil
	case !(s.Burst >= 1 && s.Burst <= maxBurst):
		return fmt.Errorf("burst %v is not within 1 and %v packets", s.Burst, maxBurst)
	case s.Loss < 1 && s.Burst < s.Loss/(1-s.Loss):
		return fmt.Errorf("a loss of %v in bursts of %v packets would need less than one good packet between them", s.Loss, s.Burst)
	}
	return nil
}

// picky says whether packets of one frame may fare differently.
func (s Settings) picky() bool { return s.Loss > 0 || s.Duplicate > 0 || s.Reorder > 0 }

// queue is Queue or its default.
func (s Settings) queue() int {
	if s.Queue > 0 {
		return s.Queue
	}
	return max(64<<10, int(min(s.Rate/80, MaxQueue)))
}
