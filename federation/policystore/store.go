package policystore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/causeway-mesh/causeway/federation"
)

// Store is one cluster's view of the policy store, and its pen.
type Store struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	metrics *metrics
	keys    keys
	notary  *notary

	// Only Run's goroutine touches these.
	replica   *replica
	refused   map[string]uint64 // the revisions of values that are refused, by key
	trust     <-chan struct{}   // closed when authors may be judged otherwise than they were
	reached   uint64            // the revision up to which the replica holds everything
	contentAt uint64            // State.ContentRevision of the replica
	found     sight             // the store that is refused as rewound, when it was found; zero is none

	// stir wakes the keeper of presence, which receives. Nobody closes it; a full one
	// has been stirred already.
	stir chan struct{}
	// pictures are asked for by the keeper of the memory; who follows the watch answers.
	pictures chan chan keptValue

	mu       sync.Mutex // guards all below
	client   *clientv3.Client
	instance string // the InstanceID that Register was called with
	state    State
	reason   Reason
	message  string
	synced   bool
	proof    time.Time // monotonic; when the store last proved that state is current
	// keptProof is proof's wall time in an earlier process, of a state that was kept.
	keptProof time.Time
	known     memory
	barred    error               // why nothing may be written now; nil is nothing
	noSpace   bool                // the store takes no writes
	said      federation.Presence // what SetPresence was last called with
}

// New checks the configuration and starts nothing.
func New(cfg Config, deps Deps) (*Store, error) {
	def := DefaultConfig()
	for _, d := range []struct{ is, def *time.Duration }{
		{&cfg.RequestTimeout, &def.RequestTimeout}, {&cfg.ProofInterval, &def.ProofInterval},
		{&cfg.RetryMin, &def.RetryMin}, {&cfg.RetryMax, &def.RetryMax},
		{&cfg.PresenceTTL, &def.PresenceTTL}, {&cfg.ElectionTTL, &def.ElectionTTL},
	} {
		if *d.is == 0 {
			*d.is = *d.def
		}
	}
	if err := errors.Join(cfg.Validate(), deps.validate(cfg)); err != nil {
		return nil, err
	}
	s := &Store{
		cfg: cfg, deps: deps, log: deps.Log, keys: newKeys(cfg.Federation), notary: newNotary(cfg, deps), refused: map[string]uint64{},
		reason: NotSynced, message: "The policy store has not been read yet.",
		stir: make(chan struct{}, 1), pictures: make(chan chan keptValue),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.replica = newReplica(s.keys, s.notary)
	var err error
	if s.known, err = recall(cfg.Known); err != nil {
		return nil, err
	}
	if !s.known.none() {
		s.barred = errNotCompared
	}
	s.metrics, err = newMetrics(deps.Metrics)
	return s, err
}

// Run reads and follows the store until ctx ends; it never gives up before. It may
// be called once.
func (s *Store) Run(ctx context.Context) error {
	defer s.metrics.unregister(s.deps.Metrics)
	client, err := s.newClient(context.WithoutCancel(ctx)) // presence is revoked after ctx
	if err != nil {
		return fmt.Errorf("policy store client: %w", err)
	}
	s.setClient(client)
	var kept sync.WaitGroup
	if s.deps.Memory != nil {
		if s.recollect(ctx) {
			kept.Go(func() { s.remember(ctx) })
		}
	}
	kept.Go(func() { s.keepPresence(ctx, client) })
	defer func() {
		kept.Wait()
		s.setClient(nil)
		_ = client.Close()
	}()
	wait := s.cfg.RetryMin
	for {
		began := time.Now()
		err := s.session(ctx, client)
		if ctx.Err() != nil {
			return nil
		}
		s.lost(err)
		if time.Since(began) > s.cfg.RetryMax {
			wait = s.cfg.RetryMin
		}
		if errors.Is(err, ErrRewound) {
			wait = min(s.cfg.ProofInterval, s.cfg.RetryMax) // it answers; a person's word is waited for
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait/2 + rand.N(wait/2+1)): //nolint:gosec // spreading only
		}
		wait = min(2*wait, s.cfg.RetryMax)
	}
}

func (s *Store) newClient(ctx context.Context) (*clientv3.Client, error) {
	scheme := "http://"
	if s.cfg.TLS != nil {
		scheme = "https://"
	}
	endpoints := make([]string, len(s.cfg.Endpoints))
	for i, e := range s.cfg.Endpoints {
		endpoints[i] = e
		if !strings.Contains(e, "://") {
			endpoints[i] = scheme + e
		}
	}
	return clientv3.New(clientv3.Config{
		Context:     ctx,
		Endpoints:   endpoints,
		TLS:         s.cfg.TLS,
		DialTimeout: s.cfg.RequestTimeout,
		// The server tolerates no pings more frequent than one in 5 s.
		DialKeepAliveTime:    5 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second,
		MaxCallRecvMsgSize:   pageSize*(MaxValueBytes+1024) + 1<<20,
		Logger:               zap.NewNop(),
		// gRPC would wait up to two minutes between its attempts.
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: s.cfg.RetryMin, Multiplier: 1.6, Jitter: 0.2, MaxDelay: min(s.cfg.RetryMax, 2*time.Second)},
			MinConnectTimeout: 2 * time.Second,
		})},
	})
}

func (s *Store) setClient(c *clientv3.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client = c
}

var (
	// errNotRunning: a request came before Run or after it.
	errNotRunning = errors.New("the store's client is not running")
	// errNotCompared: the store may have gone back, so nothing is written yet.
	errNotCompared = fmt.Errorf("%w: it has not been compared yet with what is known of it", ErrUnreachable)
)

// running is the client to write with.
func (s *Store) running() (*clientv3.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, errNotRunning)
	}
	return s.client, s.barred
}

// Status tells how we stand with the store now.
func (s *Store) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{
		Connected: s.reason == Connected, Reason: s.reason, Message: s.message,
		Revision: s.state.Revision, Synced: s.synced, Known: s.known.known(),
	}
	if st.Connected && s.noSpace {
		st.Reason, st.Message = NoSpace, s.noSpaceMessage()
	}
	switch {
	case s.synced:
		st.Age = time.Since(s.proof)
	case s.state.Kept:
		st.Age = max(0, time.Since(s.keptProof))
	}
	return st
}

// State is the last known; its zero value before the first full read.
func (s *Store) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// lost notes why a session has ended.
func (s *Store) lost(err error) {
	reason, message := s.reasonOf(s.explain(err))
	s.mu.Lock()
	was := s.reason
	s.reason, s.message = reason, message
	s.barred = errNotCompared
	if reason == Rewound {
		s.barred = err
	}
	s.mu.Unlock()
	s.metrics.connected.Set(0)
	if reason == Rewound {
		s.metrics.rewound.Set(1) // until the store is recognised again
	}
	if was != reason {
		s.log.Warn("policy store lost", "reason", reason, "error", err)
	}
}

// proven notes that the state was current at a moment.
func (s *Store) proven(at time.Time) {
	s.mu.Lock()
	was := s.reason
	s.reason, s.message = Connected, "The policy store answers and its watch is up to date."
	if at.After(s.proof) {
		s.proof = at
	}
	s.mu.Unlock()
	s.metrics.connected.Set(1)
	if was != Connected {
		s.log.Info("policy store connected", "revision", s.State().Revision)
	}
}

// met notes that the store is the one that is known, from now on if none was.
func (s *Store) met(got sight) {
	s.mu.Lock()
	s.known.id = got.id
	s.known.revision = max(s.known.revision, got.revision)
	s.barred = nil
	s.mu.Unlock()
	s.metrics.rewound.Set(0)
	s.wake()
}

// publish makes the replica's content the State.
func (s *Store) publish() {
	st := s.replica.state(s.reached)
	st.ContentRevision = s.contentAt
	s.mu.Lock()
	s.state, s.synced = st, true
	s.mu.Unlock()
	s.wake()
	s.metrics.revision.Set(float64(st.Revision))
	if s.deps.OnChange != nil {
		s.deps.OnChange(st)
	}
}
