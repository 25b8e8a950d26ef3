package ingress

import (
	"errors"
	"fmt"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// Config bounds and times the ingress.
type Config struct {
	Federation string
	Cluster    federation.ClusterName
	Instance   string
	// HelloTimeout bounds the ClientHello, HandshakeTimeout the rest of the handshake.
	HelloTimeout, HandshakeTimeout time.Duration
	// MaxHandshakes bounds connections that are not authenticated yet, in all and
	// per source address. More are closed at once.
	MaxHandshakes, MaxHandshakesPerSource int
	// MaxGossip bounds gossip streams being passed through, in all and per source.
	MaxGossip, MaxGossipPerSource int
	// GossipIdle ends a gossip stream on which nothing moves.
	GossipIdle time.Duration
	// MaxTunnels bounds tunnels per peer cluster.
	MaxTunnels int
	// MaxStreams bounds streams being served, MaxStreamsPerPeer those of one cluster;
	// more get NACK(Overloaded).
	MaxStreams, MaxStreamsPerPeer int
	// EndpointTimeout bounds dialling one endpoint.
	EndpointTimeout time.Duration
	// Keepalive is the interval at which tunnels are asked for a sign of life; one that
	// gives none within Silence is closed at the next. Silence is the shorter one.
	Keepalive, Silence time.Duration
	// Drain is how long streams may go on after Run's context has ended.
	Drain time.Duration
}

// DefaultConfig has no names; the caller sets them.
func DefaultConfig() Config {
	return Config{
		HelloTimeout: 5 * time.Second, HandshakeTimeout: 5 * time.Second,
		MaxHandshakes: 4096, MaxHandshakesPerSource: 512,
		MaxGossip: 1024, MaxGossipPerSource: 64, GossipIdle: 2 * time.Minute,
		MaxTunnels: 16384, MaxStreams: 65536, MaxStreamsPerPeer: 16384,
		EndpointTimeout: time.Second, Keepalive: 3 * time.Second, Silence: 2 * time.Second, Drain: 30 * time.Second,
	}
}

// Validate joins all faults.
func (c Config) Validate() error {
	var errs []error
	if c.Federation == "" || c.Cluster == "" || c.Instance == "" {
		errs = append(errs, fmt.Errorf("federation %q, cluster %q and instance %q must be named", c.Federation, c.Cluster, c.Instance))
	}
	if c.HelloTimeout <= 0 || c.HandshakeTimeout <= 0 || c.GossipIdle <= 0 || c.EndpointTimeout <= 0 || c.Silence <= 0 || c.Keepalive < c.Silence || c.Drain < 0 {
		errs = append(errs, errors.New("ingress times must be positive"))
	}
	if min(c.MaxHandshakes, c.MaxHandshakesPerSource, c.MaxGossip, c.MaxGossipPerSource, c.MaxTunnels, c.MaxStreams, c.MaxStreamsPerPeer) < 1 {
		errs = append(errs, errors.New("ingress limits must be at least 1"))
	}
	return errors.Join(errs...)
}
