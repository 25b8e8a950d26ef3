package engine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/gossip"
)

// followPart is a standby's book.
type followPart struct {
	running
	follower *gossip.Follower
	made     Settings
}

// String says for people what a standby would begin with.
func (p *followPart) String() string {
	if p == nil {
		return "its book is not followed yet: the certificate is awaited"
	}
	return fmt.Sprintf("of its book the words of %d clusters are held here", p.follower.Held())
}

// startFollowing makes a standby follow its leader's book, so that it knows what the
// leader knew when it takes over. It reaches the leader as other clusters do: through
// the gateways, which pass what is for our seat on to whoever leads.
func (e *Engine) startFollowing(ctx context.Context) {
	if e.follow != nil || e.seat != nil || !e.deps.Identity.Ready() {
		return
	}
	cfg := gossip.DefaultConfig()
	cfg.Federation, cfg.Cluster = e.settings.Federation, e.settings.Cluster
	registry := newRegistry()
	f, err := gossip.NewFollower(cfg, gossip.FollowerDeps{
		Addresses: e.ownGateways, Dial: e.deps.Dial, TLS: e.seatTLS(cfg.Federation, cfg.Cluster),
		VerifyChain: e.verifyFollowed(cfg.Federation), Start: e.start,
		Log: e.deps.Log.With("room", "gossip"), Metrics: registry,
	})
	if err != nil {
		e.seatErr = err.Error()
		return
	}
	e.metrics.gossip.set(registry)
	e.follow = &followPart{follower: f, made: *e.settings, running: start(ctx, func(ctx context.Context) {
		_ = f.Run(ctx) // ends with ctx, and without an error
	})}
}

// ownGateways are where our gateways that are connected take connections from peers.
func (e *Engine) ownGateways() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	for _, name := range slices.Sorted(maps.Keys(e.gateways)) {
		g := e.gateways[name]
		if !g.connected {
			continue
		}
		for _, address := range []string{g.report.Advertise, e.address(g.report)} {
			if address != "" && !slices.Contains(out, address) {
				out = append(out, address)
			}
		}
	}
	return out
}

// seatTLS accepts an operator of our own cluster and nobody else.
func (e *Engine) seatTLS(name string, self federation.ClusterName) *tls.Config {
	own := e.operators(name, func(c federation.ClusterName, td federation.TrustDomain) bool { return c == self && e.ownDomain(td) })
	return e.deps.Identity.ClientConfig(own, federation.SeatServerName(name, self), federation.ALPNGossip)
}

// verifyFollowed says for which cluster a chain may sign: any operator's of the
// federation, under the bundle of its trust domain. A standby has not read who is a
// member; the leader that tells it has, and what is none's by the time that it leads is
// not taken over.
func (e *Engine) verifyFollowed(name string) func([]*x509.Certificate) (federation.ClusterName, error) {
	auth := e.operators(name, func(federation.ClusterName, federation.TrustDomain) bool { return true })
	return func(chain []*x509.Certificate) (federation.ClusterName, error) {
		id, err := e.deps.Identity.Verify(tls.ConnectionState{PeerCertificates: chain})
		if err != nil {
			return "", err
		}
		return id.Cluster, auth(id)
	}
}
