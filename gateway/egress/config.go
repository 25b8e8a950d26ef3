package egress

import (
	"errors"
	"net/netip"
	"time"
)

// Config bounds and times the egress.
type Config struct {
	// Local is the address on which the egress ports listen.
	Local netip.Addr
	// ConnectBudget bounds all attempts for one client together.
	ConnectBudget time.Duration
	// AttemptMin and AttemptSlack make the patience of one attempt:
	// max(2 RTT + AttemptSlack, AttemptMin) from OPEN to its answer.
	AttemptMin, AttemptSlack time.Duration
	// FirstContact is that patience while no round-trip time is known.
	FirstContact time.Duration
	// EndpointTimeout bounds dialling one endpoint of our own cluster.
	EndpointTimeout time.Duration
	// MaxEarly is how many bytes of a client are kept until an endpoint accepts.
	MaxEarly int
	// RetryPorts is the interval at which ports that could not be opened are tried.
	RetryPorts time.Duration
	// Drain is how long connections may go on after Run's context has ended.
	Drain time.Duration
}

// DefaultConfig has no Local address; the caller sets it.
func DefaultConfig() Config {
	return Config{ConnectBudget: 5 * time.Second, AttemptMin: 150 * time.Millisecond, AttemptSlack: 100 * time.Millisecond,
		FirstContact: time.Second, EndpointTimeout: time.Second, MaxEarly: 16 << 10,
		RetryPorts: 3 * time.Second, Drain: 30 * time.Second}
}

// Validate joins all faults.
func (c Config) Validate() error {
	var errs []error
	if !c.Local.IsValid() {
		errs = append(errs, errors.New("local address for egress ports is missing"))
	}
	if c.ConnectBudget <= 0 || c.AttemptMin <= 0 || c.AttemptSlack < 0 || c.FirstContact <= 0 || c.EndpointTimeout <= 0 || c.RetryPorts <= 0 {
		errs = append(errs, errors.New("egress times must be positive"))
	}
	if c.MaxEarly < 0 || c.MaxEarly > 16<<10 {
		errs = append(errs, errors.New("early data must be at most 16 KiB"))
	}
	if c.Drain < 0 {
		errs = append(errs, errors.New("drain time must not be negative"))
	}
	return errors.Join(errs...)
}
