package tunnel

import (
	"errors"
	"fmt"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// PathConfig bounds and times the tunnels to one peer gateway.
type PathConfig struct {
	// Instance and Cluster are ours.
	Instance string
	Cluster  federation.ClusterName
	// Warm is how many idle tunnels are kept at least, and demand raises it up to MaxIdle;
	// on a path that is Cold, and that no stream has taken for ActiveFor, it is 0.
	Warm, MaxIdle int
	// MaxTunnels bounds the data tunnels to one peer gateway, busy ones included.
	MaxTunnels int
	// Beat is the interval of PINGs on each of the two beat connections.
	Beat time.Duration
	// IdleBeat is that interval on paths that no traffic takes or would take next, or
	// has taken for ActiveFor.
	IdleBeat, ActiveFor time.Duration
	// Silence is how long a connection may say nothing, beyond the round-trip time,
	// before it counts as silent; at least three beats.
	Silence time.Duration
	// JitterMax bounds what the deviation of the round-trip times, four times over as
	// in RFC 6298, adds to that.
	JitterMax time.Duration
	// DialTimeout bounds TCP connect and TLS handshake together.
	DialTimeout time.Duration
	// BackoffMin and BackoffMax bound the jittered wait between failed dials.
	BackoffMin, BackoffMax time.Duration
	// Keepalive is the interval of PINGs on data tunnels that carry a stream, which
	// find the dead ones within two intervals, and keep the delay floor young. Idle ones
	// are asked every 15 s at most.
	Keepalive time.Duration
	// IdleDecay is the interval at which a number of warm tunnels that is no longer wanted
	// sinks by one.
	IdleDecay time.Duration
}

// DefaultPathConfig is right for wide-area links of up to about 300 ms.
func DefaultPathConfig() PathConfig {
	return PathConfig{
		Warm: 2, MaxIdle: 64, MaxTunnels: 8192,
		Beat: 200 * time.Millisecond, IdleBeat: time.Second, ActiveFor: 30 * time.Second, Silence: 600 * time.Millisecond, JitterMax: 300 * time.Millisecond,
		DialTimeout: time.Second, BackoffMin: 50 * time.Millisecond, BackoffMax: 2 * time.Second,
		Keepalive: 3 * time.Second, IdleDecay: 5 * time.Second,
	}
}

// Validate joins all faults.
func (c PathConfig) Validate() error {
	var errs []error
	if c.Instance == "" || len(c.Instance) > 255 {
		errs = append(errs, fmt.Errorf("instance %q: want 1 to 255 bytes", c.Instance))
	}
	if c.Cluster == "" || len(c.Cluster) > 63 {
		errs = append(errs, fmt.Errorf("cluster %q: want 1 to 63 bytes", c.Cluster))
	}
	if c.Warm < 0 || c.MaxIdle < c.Warm || c.MaxTunnels < max(1, c.MaxIdle) {
		errs = append(errs, fmt.Errorf("want 0 <= warm (%d) <= max idle (%d) <= max tunnels (%d)", c.Warm, c.MaxIdle, c.MaxTunnels))
	}
	if c.Beat <= 0 || c.Silence < 3*c.Beat {
		errs = append(errs, fmt.Errorf("silence %s: want at least three beats of %s", c.Silence, c.Beat))
	}
	if c.IdleBeat < c.Beat || c.ActiveFor < 0 {
		errs = append(errs, fmt.Errorf("idle beat %s: want at least the beat, %s, and active for (%s) not negative", c.IdleBeat, c.Beat, c.ActiveFor))
	}
	if c.JitterMax < 0 {
		errs = append(errs, fmt.Errorf("jitter bound %s: must not be negative", c.JitterMax))
	}
	if c.DialTimeout <= 0 || c.BackoffMin <= 0 || c.BackoffMax < c.BackoffMin || c.Keepalive <= 0 || c.IdleDecay <= 0 {
		errs = append(errs, errors.New("dial timeout, back-off, keepalive and idle decay must be positive"))
	}
	return errors.Join(errs...)
}
