package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
)

// Config says who this gateway is and where it listens.
type Config struct {
	// Instance is the replica's name (its pod's), at most 255 bytes.
	Instance   string
	Cluster    federation.ClusterName
	Federation string
	// Advertise is where peers reach the one port: "host:port"; the host is an IP
	// address or a name that every peer can look up, an IPv6 address in brackets.
	Advertise string
	// Local is the address on which egress ports listen.
	Local netip.Addr
	// Operators are the feeds of this cluster's operators, "host:port".
	Operators []string
	// ShutdownDelay is how long new connections are still taken after the end was
	// asked for, so that whoever sends clients here can learn of it first. Default 0.
	ShutdownDelay time.Duration
	// Drain is how long connections may go on after that. Default 30 s.
	Drain time.Duration
	// AttemptMin is how long an attempt waits for an endpoint's acceptance at least,
	// however short the round trip. Default 150 ms.
	AttemptMin time.Duration
	// FeederSilence is how long the obeyed feeder may say nothing before another one
	// of the same epoch is obeyed. Default 10 s.
	FeederSilence time.Duration
}

// DefaultConfig has every default; the names and addresses are the caller's.
func DefaultConfig() Config {
	return Config{Drain: 30 * time.Second, AttemptMin: 150 * time.Millisecond, FeederSilence: 10 * time.Second}
}

// Validate joins all faults.
func (c Config) Validate() error {
	var errs []error
	if c.Instance == "" || len(c.Instance) > 255 {
		errs = append(errs, fmt.Errorf("instance %q: want 1 to 255 bytes", c.Instance))
	}
	if c.Cluster == "" || len(c.Cluster) > 63 {
		errs = append(errs, fmt.Errorf("cluster %q: want 1 to 63 bytes", c.Cluster))
	}
	if c.Federation == "" {
		errs = append(errs, errors.New("the federation's name is empty"))
	}
	if err := checkAddress(c.Advertise); err != nil {
		errs = append(errs, fmt.Errorf("advertised address %q: %w", c.Advertise, err))
	}
	if !c.Local.IsValid() {
		errs = append(errs, errors.New("the local address of the egress ports is not set"))
	}
	if c.AttemptMin <= 0 {
		errs = append(errs, errors.New("the patience of an attempt must be positive"))
	}
	if c.Drain < 0 || c.ShutdownDelay < 0 || c.FeederSilence <= 0 {
		errs = append(errs, errors.New("drain and shutdown delay must not be negative, and the feeder's silence must be positive"))
	}
	return errors.Join(errs...)
}

// checkAddress refuses what no peer could dial.
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return errors.New("want host:port, an IPv6 address in brackets")
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		return fmt.Errorf("%q is no host that a peer can reach", host)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q is no port from 1 to 65535", port)
	}
	return nil
}

// Deps is what a gateway works with.
type Deps struct {
	Identity *identity.Source
	// Listener is the one port; Run closes it.
	Listener net.Listener
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}
