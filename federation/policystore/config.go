package policystore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
)

// Config says which store, and as whom.
type Config struct {
	Federation string
	Cluster    federation.ClusterName
	// Endpoints are the store's client URLs, "https://host:port" (or "host:port").
	Endpoints []string
	// TLS is the client's, under the store's own CA. Nil is plain TCP, for tests.
	TLS *tls.Config
	// RequestTimeout bounds each request. Default 5 s.
	RequestTimeout time.Duration
	// ProofInterval is how often a quiet watch must prove itself. Default 2 s.
	ProofInterval time.Duration
	// RetryMin and RetryMax bound the jittered back-off. Defaults 200 ms and 5 s.
	RetryMin, RetryMax time.Duration
	// AcceptUnsigned takes values without a seal too, of members that do not sign yet. A
	// seal that does not fit is refused all the same.
	AcceptUnsigned bool
	// Unsealed neither signs nor verifies: for tests, and tools that read no values.
	Unsealed bool
	// Known is what an earlier process learnt of the store (Status.Known). A store that
	// does not fit it is refused as Rewound. Default: nothing is known, and the store that
	// is met first is trusted.
	Known Known
	// PresenceTTL is how long after the last sign of life our key presence/<cluster> stays,
	// in whole seconds, at least 2 s. Default 10 s.
	PresenceTTL time.Duration
	// ElectionTTL is how long a leader that died keeps others from leading, in whole
	// seconds, at least 2 s. Default 10 s.
	ElectionTTL time.Duration
}

// DefaultConfig returns the defaults; Federation, Cluster and Endpoints are the caller's.
func DefaultConfig() Config {
	return Config{
		RequestTimeout: 5 * time.Second,
		ProofInterval:  2 * time.Second,
		RetryMin:       200 * time.Millisecond,
		RetryMax:       5 * time.Second,
		PresenceTTL:    10 * time.Second,
		ElectionTTL:    10 * time.Second,
	}
}

// Validate joins all faults.
func (c Config) Validate() error {
	var errs []error
	if !keyPart(c.Federation) {
		errs = append(errs, fmt.Errorf("policystore: federation name %q can't be part of a key", c.Federation))
	}
	if !keyPart(string(c.Cluster)) {
		errs = append(errs, fmt.Errorf("policystore: cluster name %q can't be part of a key", c.Cluster))
	}
	if len(c.Endpoints) == 0 {
		errs = append(errs, errors.New("policystore: no endpoint given"))
	}
	for _, e := range c.Endpoints {
		if u, err := url.Parse(e); strings.Contains(e, "://") && (err != nil || u.Host == "") {
			errs = append(errs, fmt.Errorf("policystore: endpoint %q: want https://host:port", e))
		}
	}
	if c.RequestTimeout <= 0 || c.ProofInterval <= 0 || c.RetryMin <= 0 || c.RetryMax < c.RetryMin {
		errs = append(errs, errors.New("policystore: timeouts must be positive and RetryMin at most RetryMax"))
	}
	if c.PresenceTTL < minTTL || c.ElectionTTL < minTTL {
		errs = append(errs, fmt.Errorf("policystore: presence and elections need a TTL of at least %s", minTTL))
	}
	return errors.Join(errs...)
}

// minTTL is the shortest that etcd grants by its default election timeout.
const minTTL = 2 * time.Second

// Deps are what the store's client needs from outside.
type Deps struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// Certificate is the operator's identity, with which values are signed; its key must
	// be ECDSA P-256. While it returns an error writes fail with ErrNoSigner. Required
	// unless Config.Unsealed.
	Certificate func() (*tls.Certificate, error)
	// VerifyChain says to whom a chain belonged when it was valid, if it leads to an
	// authority that is trusted now: identity.Source's VerifyRested. Any goroutine calls
	// it. Required unless Config.Unsealed.
	VerifyChain func([]*x509.Certificate) (identity.ID, error)
	// TrustChanged returns a channel that is closed when VerifyChain may judge otherwise
	// than before; everything is read again then. Optional: identity.Source's Changed.
	TrustChanged func() <-chan struct{}
	// Domain is the trust domain in which a cluster must sign, if that is known without
	// its registration; false takes what the registration says. Optional.
	Domain func(federation.ClusterName) (federation.TrustDomain, bool)
	// Memory outlives the process. Optional: without it a client knows nothing until it
	// has read the store.
	Memory Memory
	// OnChange gets each new State, one call at a time; it must not block for long.
	// Optional.
	OnChange func(State)
}

func (d Deps) validate(c Config) error {
	if c.Unsealed || d.Certificate != nil && d.VerifyChain != nil {
		return nil
	}
	return errors.New("policystore: values are signed and verified: Certificate and VerifyChain are needed")
}
