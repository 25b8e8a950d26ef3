package wan

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/causeway-mesh/causeway/e2e/wan/link"
)

// Site is the name of one end of the wide-area network.
type Site string

// Direction is one way between two sites.
type Direction struct{ From, To Site }

func (d Direction) String() string { return string(d.From) + "->" + string(d.To) }

// Matrix holds the round trip between pairs of sites; the order of a pair does not
// matter when it is read.
type Matrix map[Direction]time.Duration

// DefaultMatrix has the round trips of the demo, after public measurements between
// cloud regions: us-east–us-west 66 ms, us-east–eu-west 64 ms, us-west–eu-west
// 146 ms. The policy store is a fourth site near us-east with links of its own, so
// that a region's loss is not the store's.
func DefaultMatrix() Matrix {
	return Matrix{
		{"us-east", "us-west"}: 66 * time.Millisecond,
		{"us-east", "eu-west"}: 64 * time.Millisecond,
		{"us-west", "eu-west"}: 146 * time.Millisecond,
		{"store", "us-east"}:   10 * time.Millisecond,
		{"store", "us-west"}:   66 * time.Millisecond,
		{"store", "eu-west"}:   64 * time.Millisecond,
	}
}

// RoundTrip is the pair's round trip; zero when the matrix does not know it.
func (m Matrix) RoundTrip(a, b Site) time.Duration {
	if d, ok := m[Direction{a, b}]; ok {
		return d
	}
	return m[Direction{b, a}]
}

// Config describes the network.
type Config struct {
	// Sites maps each site to the prefix of its addresses. Prefixes must be IPv4 and
	// must not overlap.
	Sites map[Site]netip.Prefix
	// Matrix is the round trips; half of one is the delay each way.
	Matrix Matrix
	// QueueBytes bounds what is under way in one direction; what comes beyond is
	// dropped and counted, as a full router does. Default 64 MiB: 1 Gbit/s at 500 ms.
	QueueBytes int
	// Seed of the dice: the same seed makes the same decisions on the same packets at the
	// same times. Each direction has dice of its own.
	Seed uint64
	// MTU of the sites' devices, in bytes. Default 1500.
	MTU int
}

// DefaultConfig has no sites.
func DefaultConfig() Config {
	return Config{Matrix: DefaultMatrix(), QueueBytes: 64 << 20, MTU: 1500}
}

// Validate joins everything that is wrong.
func (c Config) Validate() error {
	var errs []error
	if len(c.Sites) < 2 {
		errs = append(errs, errors.New("a network needs at least two sites"))
	}
	for s, p := range c.Sites {
		if !p.IsValid() || !p.Addr().Is4() {
			errs = append(errs, fmt.Errorf("site %s: prefix %s is not IPv4", s, p))
		}
		for other, q := range c.Sites {
			if s < other && p.IsValid() && q.IsValid() && p.Overlaps(q) {
				errs = append(errs, fmt.Errorf("sites %s and %s: prefixes %s and %s overlap", s, other, p, q))
			}
		}
	}
	for d, rtt := range c.Matrix {
		if rtt < 0 || rtt > 2*link.MaxDelay {
			errs = append(errs, fmt.Errorf("%s: round trip %s is not within 0 and %s", d, rtt, 2*link.MaxDelay))
		}
	}
	if c.QueueBytes <= 0 {
		errs = append(errs, fmt.Errorf("queue of %d bytes: must be positive", c.QueueBytes))
	}
	if c.MTU < 576 || c.MTU > 65535 {
		errs = append(errs, fmt.Errorf("mtu %d is not within 576 and 65535", c.MTU))
	}
	return errors.Join(errs...)
}
