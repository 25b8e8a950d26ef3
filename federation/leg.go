package federation

import "time"

// Leg is the way from one cluster to another as From's gateways measure it. The other
// direction is a leg of its own, measured by the other end.
type Leg struct {
	From, To ClusterName
	// Up: a gateway of To answers From. Down: none does. Neither: not known.
	Up, Down bool
	// Unheard: To's own beats went on reaching From after it had stopped answering, so To
	// does not hear From.
	Unheard bool
	// RTT and Jitter are smoothed; Loss is the part of segments that had to be sent again,
	// 0 to 1. An RTT of 0 is unmeasured, and the others mean nothing then.
	RTT, Jitter time.Duration
	Loss        float64
	// Estimated: nobody has measured or told the RTT; it follows from network coordinates.
	Estimated bool
	// Age is how long ago From measured it, at least.
	Age time.Duration
}
