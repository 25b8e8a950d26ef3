package gateway

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/gateway/tunnel"
)

// reviewEvery bounds how long a tunnel outlives its peer's certificate.
const reviewEvery = 5 * time.Second

// reviews looks at every tunnel again when trust changes, and at an interval for what
// only time changes. A new table calls review by itself.
func (g *Gateway) reviews(ctx context.Context) {
	ticker := time.NewTicker(reviewEvery)
	defer ticker.Stop()
	for {
		changed := g.deps.Identity.Changed()
		g.review()
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-ticker.C:
		}
	}
}

// review ends the tunnels, of either direction, whose peer would be refused if it came
// now: its certificate has expired or is no longer trusted, or its cluster is no member.
func (g *Gateway) review() {
	now := time.Now()
	g.proofs.forget(now)
	trust := g.deps.Identity.Changed()
	r := reviewer{
		identify: func(s tls.ConnectionState) (identity.ID, error) {
			return g.proofs.identify(s, trust, now, g.deps.Identity.Verify)
		},
		allowed:  identity.Members(g.cfg.Federation, identity.RoleGateway, g.peer),
		verdicts: map[string]error{},
	}
	closed := g.paths.Review(r.judge) + g.ingress.Review(r.judge)
	if closed > 0 {
		g.deps.Log.Warn("tunnels of peers that are no longer trusted are closed", "tunnels", closed)
		g.recorder.Revoked(closed)
	}
}

// reviewer is one review. Many tunnels prove themselves by one certificate, which is
// judged once.
type reviewer struct {
	identify func(tls.ConnectionState) (identity.ID, error)
	allowed  identity.Authorizer
	verdicts map[string]error // by leaf
}

func (r *reviewer) judge(t *tunnel.Tunnel) error {
	conn, ok := t.Conn().(*tls.Conn)
	if !ok {
		return identity.ErrUntrusted
	}
	state := conn.ConnectionState()
	if len(state.PeerCertificates) == 0 {
		return identity.ErrUntrusted
	}
	leaf := string(state.PeerCertificates[0].Raw)
	err, known := r.verdicts[leaf]
	if !known {
		err = r.verify(state)
		r.verdicts[leaf] = err
	}
	return err
}

func (r *reviewer) verify(state tls.ConnectionState) error {
	id, err := r.identify(state)
	if err != nil {
		return err
	}
	return r.allowed(id)
}

// peer says whether the table in force has a cluster, of that trust domain.
func (g *Gateway) peer(c federation.ClusterName, td federation.TrustDomain) bool {
	p, ok := g.Table().Peers[c]
	return ok && p.TrustDomain == td && c != g.cfg.Cluster
}
