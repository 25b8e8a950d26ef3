package gossip

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/federation"
)

// FollowerDeps are what a Follower needs from outside.
type FollowerDeps struct {
	// Addresses are where the own cluster's seat can be reached: its gateways. Asked for
	// at each dial.
	Addresses func() []string
	// Dial opens a plain TCP connection.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// TLS verifies that the other end is an operator of our own cluster, with ALPN set
	// and the own seat's name as SNI.
	TLS *tls.Config
	// VerifyChain tells whose statements a certificate chain may sign, as Deps' does. It
	// need not know the members: whom the leader holds is the leader's to judge.
	VerifyChain func([]*x509.Certificate) (federation.ClusterName, error)
	// Start is the zero of the own monotonic clock; the seat that inherits must have the
	// same one.
	Start   time.Time
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Follower keeps a standby's book: what its cluster's leader holds of every other one,
// each batch verified here again. It has no seat, says nothing, and counts nowhere. When
// the standby leads, its seat takes the book over (Deps.Follower).
//
// NewFollower starts nothing; Run blocks. All methods may be called from any goroutine.
type Follower struct {
	cfg     Config
	deps    FollowerDeps
	log     *slog.Logger
	limit   bounds
	keys    *keyring
	metrics *metrics

	mu      sync.Mutex
	archive *archive
}

// NewFollower checks its arguments. Of cfg the epoch is not used.
func NewFollower(cfg Config, deps FollowerDeps) (*Follower, error) {
	cfg.Epoch = max(cfg.Epoch, 1)
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Addresses == nil || deps.Dial == nil || deps.TLS == nil || deps.VerifyChain == nil || deps.Start.IsZero() {
		return nil, errors.New("gossip: a follower needs Addresses, Dial, TLS, VerifyChain and Start")
	}
	f := &Follower{
		cfg: cfg, deps: deps, log: deps.Log, keys: newKeyring(deps.VerifyChain, cfg.KeyRecheck),
		limit: bounds{clusters: cfg.MaxClusters, services: cfg.MaxServices, bytes: cfg.MaxMessageBytes},
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	f.archive = newArchive(f.limit, cfg.TombstoneTTL)
	var err error
	f.metrics, err = newMetrics(deps.Metrics, f.heldCount)
	return f, err
}

func (f *Follower) now() time.Duration { return time.Since(f.deps.Start) }

// Run follows whoever leads, until ctx ends. It may be called once.
func (f *Follower) Run(ctx context.Context) error {
	defer f.metrics.unregister(f.deps.Metrics)
	wait := f.cfg.RedialMin
	for ctx.Err() == nil {
		began := f.now()
		err := f.session(ctx)
		if f.now()-began > f.cfg.LinkTimeout {
			wait = f.cfg.RedialMin
		}
		f.log.Debug("the leader's book is not followed", "error", err, "retry_in", wait)
		select {
		case <-ctx.Done():
		case <-time.After(jitter(wait)):
			wait = min(2*wait, f.cfg.RedialMax)
		}
	}
	return nil
}

// session dials the leader and follows it until one of the two ends.
func (f *Follower) session(ctx context.Context) error {
	conn, err := f.dial(ctx)
	if err != nil {
		return err
	}
	defer closeNow(conn)
	defer context.AfterFunc(ctx, func() { closeNow(conn) })()
	up := f.metrics.links.WithLabelValues(string(f.cfg.Cluster))
	up.Set(1)
	defer up.Set(0)
	return f.follow(ctx, conn)
}

func (f *Follower) dial(ctx context.Context) (*tls.Conn, error) {
	errs := []error{errors.New("no gateway of the own cluster is at hand")}
	for _, address := range f.deps.Addresses() {
		conn, err := f.dialAddress(ctx, address)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, fmt.Errorf("the own seat at %s: %w", address, err))
	}
	return nil, errors.Join(errs[min(1, len(errs)-1):]...)
}

func (f *Follower) dialAddress(ctx context.Context, address string) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.DialTimeout)
	defer cancel()
	raw, err := f.deps.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, f.deps.TLS)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	if err := errors.Join(conn.SetWriteDeadline(time.Now().Add(f.cfg.DialTimeout)), second(conn.Write(preamble(kindFollow)))); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

func second(_ int, err error) error { return err }

func (f *Follower) digest() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return encodeHoldings(f.archive.digest())
}

// take takes in one frame that was held up for so long at most. What is refused is
// counted; the error says why.
func (f *Follower) take(fr frame, held time.Duration) (err error) {
	var out filing
	switch fr.kind {
	case frameKey:
		_, err = f.keys.learn(fr.body, f.now())
	case frameBatch:
		out, err = f.takeBatch(fr.body, held)
	case frameBeat:
		var b beacon
		if b, err = decodeBeacon(fr.body); err == nil {
			b.Age += held
			f.mu.Lock()
			out = f.archive.beat(b, f.now())
			f.mu.Unlock()
		}
	default:
		f.metrics.refuse(refuseUnknown)
	}
	if err != nil {
		f.metrics.refuse(reasonOf(err))
	}
	f.metrics.note(out)
	return err
}

func (f *Follower) takeBatch(body []byte, held time.Duration) (filing, error) {
	age, sealed, err := splitBatch(body)
	if err != nil {
		return filing{}, err
	}
	owner, payload, err := f.keys.open(sealed, f.now())
	if err != nil {
		return filing{}, err
	}
	b, err := decodeBatch(payload, f.limit.services)
	if err != nil {
		return filing{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.archive.file(owner, sealed, b, age+held, f.now()), nil
}

// handOver gives what is held of a cluster away, with the keys that it was signed with;
// nil if that is nothing.
func (f *Follower) handOver(c federation.ClusterName) (*volume, map[keyID]*signer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.archive.volumes[c]
	if v == nil {
		return nil, nil
	}
	delete(f.archive.volumes, c)
	return v, f.keys.of(c)
}

func (f *Follower) heldCount() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, v := range f.archive.volumes {
		n += len(v.listed)
	}
	return float64(n)
}

// Held says of how many clusters something is held, the own among them.
func (f *Follower) Held() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.archive.volumes)
}
