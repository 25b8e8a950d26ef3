package engine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/gossip"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/policystore"
)

// running is something with a Run that is on its way in its own goroutine.
type running struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when Run has returned
}

func start(ctx context.Context, run func(context.Context)) running {
	ctx, cancel := context.WithCancel(ctx)
	r := running{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		run(ctx)
	}()
	return r
}

func (r running) stop() {
	r.cancel()
	<-r.done
}

func (r running) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

type storePart struct {
	running
	store *policystore.Store
	made  Settings // what it was made for
	// introduced: Register has succeeded on this client. It knows then which keys are
	// ours and can withdraw them; a new one, after a restart, does not.
	introduced bool
}

type seatPart struct {
	running
	gossip *gossip.Gossip
	made   Settings
}

// parts starts and stops the store client and the seat, as settings and
// leadership ask. Only Run calls it. Stopping waits, so it happens outside mu:
// a part's callbacks take it.
func (e *Engine) parts(ctx context.Context) {
	for _, r := range e.outdated() {
		r.stop()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.settings == nil {
		return
	}
	if e.epoch == 0 {
		e.startFollowing(ctx)
		return
	}
	if e.store == nil {
		e.startStore(ctx)
	}
	if e.seat == nil && e.seatable() {
		e.startSeat(ctx)
	}
}

// seatable says whether the cluster's seat is ours to take: nobody else holds our name.
// The store tells, and is waited for as long as for endpoints; an earlier seat under a
// name that is another cluster's would speak for that one, and be told so by everybody.
func (e *Engine) seatable() bool {
	return e.conflict() == "" && (e.informed || e.now()-e.configured > e.cfg.LoadTimeout)
}

// outdated takes the parts off that have to stop.
func (e *Engine) outdated() []running {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []running
	off := e.settings == nil || e.epoch == 0
	if e.store != nil && (off || e.store.ended() || !e.store.made.sameStore(*e.settings)) {
		out, e.store = append(out, e.store.running), nil
		e.metrics.store.set(nil)
	}
	if e.seat != nil && (off || e.conflict() != "" || e.seat.ended() || !e.seat.made.sameSeat(*e.settings)) {
		out, e.seat = append(out, e.seat.running), nil
		e.metrics.gossip.set(nil)
	}
	if f := e.follow; f != nil && (e.settings == nil || !f.made.sameSeat(*e.settings) || e.epoch == 0 && f.ended()) {
		out, e.follow = append(out, f.running), nil
		e.metrics.gossip.set(nil)
	} else if f != nil && e.epoch != 0 && !f.ended() {
		out = append(out, f.running) // what it holds is kept for the seat
		e.metrics.gossip.set(nil)
	}
	return out
}

func (e *Engine) stopParts() {
	e.mu.Lock()
	e.settings = nil
	e.mu.Unlock()
	for _, r := range e.outdated() {
		r.stop()
	}
}

func (e *Engine) startStore(ctx context.Context) {
	tlsConfig, err := e.settings.storeTLS()
	if err != nil || tlsConfig == nil {
		return // storeStatus says so
	}
	if !e.cfg.UnsealedStore && !e.deps.Identity.Ready() {
		return // without our bundles nothing could be believed, and all would seem to be gone
	}
	cfg := policystore.DefaultConfig()
	cfg.Federation, cfg.Cluster = e.settings.Federation, e.settings.Cluster
	cfg.Endpoints, cfg.TLS = e.settings.StoreEndpoints, tlsConfig
	cfg.AcceptUnsigned, cfg.Unsealed = e.settings.AcceptUnsigned, e.cfg.UnsealedStore
	registry, part := newRegistry(), &storePart{made: *e.settings}
	store, err := policystore.New(cfg, policystore.Deps{
		Log: e.deps.Log.With("room", "policystore"), Metrics: registry,
		Certificate: e.certificate(), VerifyChain: e.deps.Identity.VerifyRested, TrustChanged: e.deps.Identity.Changed, Domain: e.domain,
		Memory: e.deps.Memory, OnChange: func(s policystore.State) { e.onStateOf(part, s) },
	})
	if err != nil {
		e.register.failure = err.Error()
		return
	}
	e.metrics.store.set(registry)
	e.store, part.store = part, store
	part.running = start(ctx, func(ctx context.Context) {
		coordinator := start(ctx, func(ctx context.Context) { e.coordinator(ctx, store) })
		defer coordinator.stop()
		if err := store.Run(ctx); err != nil && ctx.Err() == nil {
			e.deps.Log.Error("policy store client has ended", "error", err)
		}
		e.touch()
	})
}

// onStateOf takes the word of the client in use; one of a federation that was left,
// or of another store, may have a last word on its way out.
func (e *Engine) onStateOf(part *storePart, s policystore.State) {
	e.mu.Lock()
	current := e.store == part
	e.mu.Unlock()
	if current {
		e.onState(s)
	}
}

func (e *Engine) onState(s policystore.State) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.settings == nil {
		return // the client of a federation that was left, on its way out
	}
	if s.Kept && e.informed {
		return // what we hold is newer
	}
	e.state, e.informed = s, true
	e.synced = e.synced || !s.Kept
	e.hold()
	e.touch()
}

// startSeat takes the cluster's seat, once there is an identity to take it with.
func (e *Engine) startSeat(ctx context.Context) {
	if !e.deps.Identity.Ready() {
		return
	}
	e.seatErr = ""
	listener, err := e.deps.ListenGossip()
	if err != nil {
		e.seatErr = err.Error()
		return
	}
	cfg := gossip.DefaultConfig()
	cfg.Federation, cfg.Cluster, cfg.Epoch = e.settings.Federation, e.settings.Cluster, e.epoch
	if own := e.advertised(e.now()); len(own) > 0 {
		cfg.Advertise = own[0].Address
	}
	registry := newRegistry()
	var followed *gossip.Follower
	if e.follow != nil {
		followed = e.follow.follower
	}
	g, err := gossip.New(cfg, gossip.Deps{
		Listener:  listener,
		ServerTLS: e.deps.Identity.ServerConfig(e.operators(e.settings.Federation, e.known), federation.ALPNGossip),
		ClientTLS: e.clientTLS(e.settings.Federation), Start: e.start,
		Certificate: e.certificate(), VerifyChain: e.verifyChain(e.settings.Federation, e.settings.Cluster),
		Dial: e.deps.Dial, PeerCluster: peerCluster, Superseded: e.deps.Superseded, Follower: followed,
		Log: e.deps.Log.With("room", "gossip"), Metrics: registry,
	})
	if err != nil {
		_ = listener.Close()
		e.seatErr = err.Error()
		return
	}
	g.SetPeers(e.peerAddresses())
	e.metrics.gossip.set(registry)
	made := *e.settings
	e.seat = &seatPart{gossip: g, made: made, running: start(ctx, func(ctx context.Context) { e.runSeat(ctx, g) })}
	e.follow = nil
}

func (e *Engine) runSeat(ctx context.Context, g *gossip.Gossip) {
	forward := start(ctx, func(ctx context.Context) {
		for {
			select {
			case <-ctx.Done():
				return
			case <-g.Changed():
				e.touch()
			}
		}
	})
	defer forward.stop()
	if err := g.Run(ctx); err != nil && ctx.Err() == nil {
		e.deps.Log.Error("the seat in the gossip was lost, taking it again", "error", err)
	}
	e.touch()
}

func (e *Engine) operators(name string, known func(federation.ClusterName, federation.TrustDomain) bool) identity.Authorizer {
	return identity.Members(name, identity.RoleOperator, known)
}

// known says whether a cluster is a member or a seed, of that trust domain. The
// handshake that asks holds no lock of ours.
func (e *Engine) known(c federation.ClusterName, td federation.TrustDomain) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if m, ok := e.state.Members[c]; ok {
		return m.TrustDomain == td
	}
	if e.settings == nil {
		return false
	}
	seed, ok := e.settings.seedDomain(c)
	return ok && seed == td
}

func (e *Engine) clientTLS(name string) func(federation.ClusterName) *tlsConfig {
	return func(peer federation.ClusterName) *tlsConfig {
		only := func(c federation.ClusterName, td federation.TrustDomain) bool { return c == peer && e.known(c, td) }
		return e.deps.Identity.ClientConfig(e.operators(name, only), federation.SeatServerName(name, peer), federation.ALPNGossip)
	}
}

// certificate gives the operator's identity as it is when a statement is signed.
func (e *Engine) certificate() func() (*tls.Certificate, error) {
	return e.deps.Identity.Certificate
}

// verifyChain says for which cluster a chain may sign: an operator's, of a member or a
// seed, or of our own cluster, each under the bundle of the trust domain it names.
func (e *Engine) verifyChain(name string, self federation.ClusterName) func([]*x509.Certificate) (federation.ClusterName, error) {
	auth := e.operators(name, func(c federation.ClusterName, td federation.TrustDomain) bool {
		return c == self && e.ownDomain(td) || e.known(c, td)
	})
	return func(chain []*x509.Certificate) (federation.ClusterName, error) {
		id, err := e.deps.Identity.Verify(tls.ConnectionState{PeerCertificates: chain})
		if err != nil {
			return "", err
		}
		return id.Cluster, auth(id)
	}
}

// domain is what our settings say of a cluster's trust domain: our own, or a seed's that
// is given with it. No registration can say otherwise.
func (e *Engine) domain(c federation.ClusterName) (federation.TrustDomain, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.settings == nil {
		return "", false
	}
	if c == e.settings.Cluster {
		return e.settings.TrustDomain, true
	}
	for _, seed := range e.settings.Seeds {
		if seed.Cluster == c && seed.TrustDomain != "" {
			return seed.TrustDomain, true
		}
	}
	return "", false
}

func (e *Engine) ownDomain(td federation.TrustDomain) bool {
	own, _, ok := e.deps.Identity.Own()
	return ok && own.TrustDomain == td
}

func peerCluster(cs tlsState) (federation.ClusterName, error) {
	id, err := identity.PeerID(cs)
	if err != nil {
		return "", fmt.Errorf("identity of the peer: %w", err)
	}
	return id.Cluster, nil
}
