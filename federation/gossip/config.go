package gossip

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/federation"
)

// Config says who we are and how patient to be. The defaults suit links of up
// to 150 ms round trip.
type Config struct {
	Federation string
	Cluster    federation.ClusterName
	// Epoch is the fencing counter of our leadership, at least 1.
	Epoch uint64
	// Advertise is one own gateway's "host:port", told to peers as a last resort
	// when the policy store's addresses don't answer. May be empty.
	Advertise string

	// ProbeInterval is SWIM's beat: one member is probed each time.
	ProbeInterval time.Duration
	// ProbeTimeout must exceed the longest round trip.
	ProbeTimeout time.Duration
	// SuspicionMult × ProbeInterval is the least time from suspect to dead.
	SuspicionMult int
	// SuspicionMaxMult × that is the most.
	SuspicionMaxMult int
	// SilenceAfter is how long a beat may go unanswered before others are asked whether
	// they hear the member: the longest round trip and one retransmission.
	SilenceAfter time.Duration
	// GossipInterval paces the epidemic broadcasts.
	GossipInterval time.Duration
	// ExchangeInterval paces the exchange of digests with one peer by chance.
	ExchangeInterval time.Duration
	// HeartbeatInterval is how often our own statements are renewed.
	HeartbeatInterval time.Duration

	// DialTimeout bounds one address' dial, handshake included.
	DialTimeout time.Duration
	// LinkTimeout is the silence after which a connection is given up.
	LinkTimeout time.Duration
	// RedialMin and RedialMax bound the jittered back-off.
	RedialMin, RedialMax time.Duration
	// LeaveTimeout bounds the polite goodbye when Run ends.
	LeaveTimeout time.Duration
	// TombstoneTTL is how long a withdrawal is remembered.
	TombstoneTTL time.Duration

	// KeyRecheck is how long a peer's signing key counts before its certificate chain is
	// verified again.
	KeyRecheck time.Duration
	// FrameRate bounds the frames that a peer may send per second on all its connections to
	// us together, and once more in answer to ours, after FrameBurst at once. Each 4 KiB of a
	// frame and of the answer to it count as one more. What is faster is read later.
	FrameRate, FrameBurst int

	// MaxClusters bounds the book and the number of peers.
	MaxClusters int
	// MaxServices bounds the service ports held for one cluster.
	MaxServices int
	// MaxMessageBytes bounds one frame.
	MaxMessageBytes int
	// QueueLength bounds the packets waiting for one peer.
	QueueLength int
}

// DefaultConfig returns the defaults; Federation, Cluster and Epoch are the caller's.
func DefaultConfig() Config {
	return Config{
		ProbeInterval:     500 * time.Millisecond,
		ProbeTimeout:      300 * time.Millisecond,
		SuspicionMult:     3,
		SuspicionMaxMult:  2,
		SilenceAfter:      450 * time.Millisecond,
		GossipInterval:    100 * time.Millisecond,
		ExchangeInterval:  2 * time.Second,
		HeartbeatInterval: time.Second,
		DialTimeout:       2 * time.Second,
		LinkTimeout:       3 * time.Second,
		RedialMin:         100 * time.Millisecond,
		RedialMax:         2 * time.Second,
		LeaveTimeout:      500 * time.Millisecond,
		TombstoneTTL:      10 * time.Minute,
		KeyRecheck:        5 * time.Second,
		FrameRate:         1000,
		FrameBurst:        4000,
		MaxClusters:       256,
		MaxServices:       1000,
		MaxMessageBytes:   1 << 20,
		QueueLength:       512,
	}
}

// Validate joins all faults.
func (c Config) Validate() error {
	var errs []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("gossip: "+format, args...))
		}
	}
	must(validName(c.Cluster), "cluster name %q is not a DNS label", c.Cluster)
	must(c.Federation != "", "the federation's name is missing")
	must(c.Epoch > 0, "the epoch must be at least 1")
	if c.Advertise != "" {
		_, _, err := net.SplitHostPort(c.Advertise)
		must(err == nil && len(c.Advertise) <= maxAdvertise, "advertised address %q: want host:port", c.Advertise)
	}
	for name, d := range map[string]time.Duration{
		"ProbeInterval": c.ProbeInterval, "ProbeTimeout": c.ProbeTimeout, "GossipInterval": c.GossipInterval,
		"ExchangeInterval": c.ExchangeInterval, "HeartbeatInterval": c.HeartbeatInterval, "DialTimeout": c.DialTimeout,
		"LinkTimeout": c.LinkTimeout, "RedialMin": c.RedialMin, "RedialMax": c.RedialMax,
		"LeaveTimeout": c.LeaveTimeout, "TombstoneTTL": c.TombstoneTTL,
		"SilenceAfter": c.SilenceAfter, "KeyRecheck": c.KeyRecheck,
	} {
		must(d > 0, "%s must be positive, is %s", name, d)
	}
	must(c.ProbeTimeout < c.ProbeInterval, "ProbeTimeout %s must be below ProbeInterval %s", c.ProbeTimeout, c.ProbeInterval)
	must(c.RedialMin <= c.RedialMax, "RedialMin %s exceeds RedialMax %s", c.RedialMin, c.RedialMax)
	must(c.SuspicionMult > 0 && c.SuspicionMaxMult > 0, "suspicion multipliers must be positive")
	must(c.FrameRate > 0 && c.FrameBurst > 0, "FrameRate and FrameBurst must be positive")
	must(c.MaxClusters > 1 && c.MaxServices > 0 && c.QueueLength > 0, "bounds must be positive")
	must(c.MaxMessageBytes >= 64<<10, "MaxMessageBytes must be at least 64 KiB, is %d", c.MaxMessageBytes)
	return errors.Join(errs...)
}

// Deps are what gossip needs from outside.
type Deps struct {
	// Listener is raw TCP; gossip wraps TLS itself. Run closes it.
	Listener net.Listener
	// ServerTLS and ClientTLS verify operators of the federation's clusters, with
	// ALPN and SNI set.
	ServerTLS *tls.Config
	ClientTLS func(peer federation.ClusterName) *tls.Config
	// Certificate gives the identity that signs our statements, with its chain and an
	// ECDSA P-256 key. It is asked for each, so that a rotation takes effect at once.
	Certificate func() (*tls.Certificate, error)
	// VerifyChain tells whose statements a certificate chain may sign: it verifies the
	// chain, the leaf first, against the bundle of the trust domain that the leaf names,
	// and that this is an operator of a cluster of the federation, our own included.
	VerifyChain func([]*x509.Certificate) (federation.ClusterName, error)
	// Start is the zero of the own monotonic clock, the same for every Gossip of one
	// epoch. Default: when New was called.
	Start time.Time
	// Dial opens a plain TCP connection to one gateway address.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// PeerCluster tells the verified cluster at the other end.
	PeerCluster func(tls.ConnectionState) (federation.ClusterName, error)
	// Superseded is called, at most once per epoch, when a peer proves that a newer
	// leader of our own cluster has spoken. Optional; it must not block.
	Superseded func(epoch uint64)
	// Follower is what this replica followed as a standby, no longer running: what it
	// holds of a cluster is taken over when SetPeers first names that. Its Start must be
	// ours. Nil is nothing.
	Follower *Follower
	Log      *slog.Logger
	Metrics  prometheus.Registerer

	// carry, in simulations, takes the place of links and listener: it delivers a frame.
	carry func(to federation.ClusterName, kind byte, body []byte)
	// stream likewise opens one of memberlist's streams.
	stream func(to federation.ClusterName) (net.Conn, error)
}

func (d Deps) validate() error {
	if d.Certificate == nil || d.VerifyChain == nil {
		return errors.New("gossip: Certificate and VerifyChain are required")
	}
	if d.carry == nil && (d.Listener == nil || d.ServerTLS == nil || d.ClientTLS == nil || d.Dial == nil || d.PeerCluster == nil) {
		return errors.New("gossip: Listener, ServerTLS, ClientTLS, Dial and PeerCluster are required")
	}
	if d.Follower != nil && !d.Follower.deps.Start.Equal(d.Start) {
		return errors.New("gossip: the book that was followed has another clock")
	}
	return nil
}

// maxAdvertise is what memberlist lets a node say of itself.
const maxAdvertise = 512

func validName(c federation.ClusterName) bool {
	if c == "" || len(c) > 63 || c[0] == '-' || c[len(c)-1] == '-' {
		return false
	}
	for _, r := range c {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
			return false
		}
	}
	return true
}
