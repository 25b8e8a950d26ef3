package engine

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/liveness"
	"github.com/causeway-mesh/causeway/federation/policystore"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// Config is what an engine is told at its start.
type Config struct {
	// Replica is this operator's name (its pod's).
	Replica string
	// GossipAddress is where the local gateways reach this replica's gossip
	// listener: "ip:port" inside the cluster.
	GossipAddress string
	// Tick is how often ages are looked at when nothing happens. Default 500 ms.
	Tick time.Duration
	// Settle is how long a burst of changes is collected into one round. Default 5 ms.
	Settle time.Duration
	// GatewayGrace is how long a gateway that is not connected stays advertised to
	// peers. Default 15 s.
	GatewayGrace time.Duration
	// LoadTimeout bounds how long a new leader waits for the endpoints of its own
	// exports before it speaks. Default 10 s.
	LoadTimeout time.Duration
	// UnsealedStore neither signs nor verifies the policy store's values: for tests that
	// have no identities.
	UnsealedStore bool
}

// DefaultConfig has every default; Replica and GossipAddress are the caller's.
func DefaultConfig() Config {
	return Config{Tick: 500 * time.Millisecond, Settle: 5 * time.Millisecond, GatewayGrace: 15 * time.Second, LoadTimeout: 10 * time.Second}
}

// Deps is what an engine works with.
type Deps struct {
	// Identity is the operator's; the engine keeps it up to date from the settings.
	Identity *identity.Source
	// ListenGossip opens the gossip listener each time that the seat is taken.
	ListenGossip func() (net.Listener, error)
	// Dial opens plain TCP connections to the peers' gateways.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Publish hands a table to the route feed; Silence stops it.
	Publish func(routing.Table)
	Silence func()
	// Superseded is called once when a peer proves a newer epoch of our cluster.
	Superseded func(epoch uint64)
	// Memory keeps what the store said beyond the process; nil is none.
	Memory  policystore.Memory
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Engine is an operator's core. See the package comment.
type Engine struct {
	cfg     Config
	deps    Deps
	start   time.Time // zero of the monotonic clock
	metrics *metrics
	dirty   chan struct{} // any goroutine sends, Run drains; one pending round is enough
	view    atomic.Pointer[View]

	mu       sync.Mutex // guards everything below
	settings *Settings
	epoch    uint64 // 0 while not leading
	store    *storePart
	state    policystore.State   // the last one read, kept when the store is lost
	held     []HeldPolicy        // what of state's policies holds here
	followed []federation.Policy // of those that hold, what routing follows
	// tableRevision is the store's that the table was computed from, acted the one that all
	// our gateways have last followed.
	tableRevision, acted uint64
	measured             measurement
	// looked counts this coordinator's looks at what was measured, lookedAt is the last.
	looked   uint64
	lookedAt time.Duration
	records  map[federation.ClusterName]map[federation.ServicePort]federation.HeldRecord // of the last round
	synced   bool
	// informed: state is the store's, of now or kept by an earlier process.
	informed bool
	left     bool // there is no federation: nothing that came of one counts any more
	seat     *seatPart
	seatErr  string
	follow   *followPart // while not leading, and after it until the seat has taken its book
	gateways map[string]*gateway
	local    map[federation.ServiceName]map[uint16]PortEndpoints
	egress   map[federation.ServicePort]EgressPort
	verdicts map[federation.ClusterName]liveness.Held
	prev     routing.State
	decided  decided
	table    routing.Table
	sequence uint64
	since    time.Duration // when we began to lead
	// configured is when the settings in force first named their cluster.
	configured time.Duration
	// apiServerLost is what SetAPIServer said last; the registration says it to others.
	apiServerLost bool
	failovers     failovers
	matrix        matrix
	register      registration

	subMu sync.Mutex
	subs  map[chan struct{}]struct{}
}

// EgressPort is the listening port of one imported service port.
type EgressPort = routing.EgressPort

// New returns an engine that knows nothing; Run makes it work.
func New(cfg Config, deps Deps) *Engine {
	e := &Engine{
		cfg: cfg, deps: deps, start: time.Now(), metrics: newMetrics(deps.Metrics),
		dirty:    make(chan struct{}, 1),
		gateways: map[string]*gateway{},
		local:    map[federation.ServiceName]map[uint16]PortEndpoints{},
		verdicts: map[federation.ClusterName]liveness.Held{},
		subs:     map[chan struct{}]struct{}{},
	}
	if deps.Metrics != nil {
		deps.Metrics.MustRegister(newHealthMetrics(e.View))
	}
	e.view.Store(&View{Store: StoreStatus{Reason: "NotConfigured"}, Gossip: GossipStatus{Reason: "NotConfigured"}})
	return e
}

// Run does a round after each change and each tick, until ctx ends; then it
// leaves the gossip, closes the store client and returns.
func (e *Engine) Run(ctx context.Context) error {
	ticker := time.NewTicker(e.cfg.Tick)
	defer ticker.Stop()
	defer e.stopParts()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-e.dirty:
			e.settle(ctx)
		}
		e.parts(ctx)
		e.round()
		e.registerSoon(ctx)
	}
}

// settle lets a burst of changes become one round.
func (e *Engine) settle(ctx context.Context) {
	timer := time.NewTimer(e.cfg.Settle)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (e *Engine) now() time.Duration { return time.Since(e.start) }

func (e *Engine) touch() {
	select {
	case e.dirty <- struct{}{}:
	default:
	}
}

// Lead says that this replica leads with the given epoch (at least 1, higher than
// any earlier leader's). Call it before Configure.
func (e *Engine) Lead(epoch uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.epoch, e.since = epoch, e.now()
	if e.seat != nil {
		e.seat.gossip.SetEpoch(epoch)
	}
	e.touch()
}

// StepDown stops feeding, gossiping and writing: a newer leader is at work.
func (e *Engine) StepDown() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.epoch = 0
	e.deps.Silence()
	e.touch()
}

// Configure puts settings in force; the same again is free. Settings that cannot
// work are refused and the previous ones stay.
func (e *Engine) Configure(s Settings) error {
	if err := s.Validate(); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	if s.CertPEM != nil {
		if err := e.deps.Identity.SetKeyPair(s.CertPEM, s.KeyPEM); err != nil {
			return fmt.Errorf("operator's identity: %w", err)
		}
	}
	if err := e.deps.Identity.SetBundles(s.Bundles); err != nil {
		return fmt.Errorf("trust bundles: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.settings == nil || e.settings.Federation != s.Federation || e.settings.Cluster != s.Cluster {
		e.configured = e.now()
	}
	if e.settings == nil || !e.settings.equal(s) {
		e.settings, e.left, e.register.leaving = &s, false, false
		e.hold()
		e.touch()
	}
	return nil
}

// Unconfigure forgets the federation: there is no MeshFederation. The View then says
// that nothing is exported anywhere, so that what was derived goes too; gateways keep
// their last table.
func (e *Engine) Unconfigure() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.settings != nil {
		e.state, e.held, e.followed, e.synced, e.informed = policystore.State{}, nil, nil, false, false
	}
	e.settings, e.left = nil, true
	e.touch()
}

// SetAPIServer says whether our API server answers the leader. Other clusters are told
// through the registration, as long as the policy store can be written to.
func (e *Engine) SetAPIServer(answers bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.apiServerLost == answers {
		e.apiServerLost = !answers
		e.touch()
	}
}

// SetEndpoints replaces the endpoints of one local service, by service port.
func (e *Engine) SetEndpoints(svc federation.ServiceName, ports map[uint16]PortEndpoints) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.local[svc] = ports
	e.touch()
}

// RemoveEndpoints forgets a local service.
func (e *Engine) RemoveEndpoints(svc federation.ServiceName) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.local, svc)
	e.touch()
}

// SetEgressPorts replaces the set of imported ports that gateways listen for. The
// first call must have them all, and an empty set must not be nil: no table goes
// out before it.
func (e *Engine) SetEgressPorts(ports map[federation.ServicePort]EgressPort) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.egress = ports
	e.touch()
}

// View returns what the engine knows now; never nil.
func (e *Engine) View() *View { return e.view.Load() }

// Subscribe returns a channel that gets a signal after the View has changed
// materially (signals coalesce), and a function that ends the subscription.
func (e *Engine) Subscribe() (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	e.subMu.Lock()
	defer e.subMu.Unlock()
	e.subs[ch] = struct{}{}
	return ch, func() {
		e.subMu.Lock()
		defer e.subMu.Unlock()
		delete(e.subs, ch)
	}
}

func (e *Engine) notify() {
	e.subMu.Lock()
	defer e.subMu.Unlock()
	for ch := range e.subs {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
