package gateway

import (
	"crypto/tls"
	"sync"
	"time"

	"github.com/causeway-mesh/causeway/federation/identity"
)

// proofLasts bounds how long a proof is believed while trust does not change: for what
// only time changes and a peer's chain does not tell, a root of ours that expires.
const proofLasts = time.Minute

// proofs remember whom certificates prove, so that hundreds of signatures are not
// verified again at each review. Refusals are not remembered. The zero value has none.
type proofs struct {
	mu    sync.Mutex
	trust <-chan struct{} // of the material that verified them: identity.Source's Changed
	known map[string]proof
}

type proof struct {
	id    identity.ID
	until time.Time // its chain's first expiry, and proofLasts at most
}

// identify says whom a connection proves: by verify, unless that has said so of the same
// leaf lately, under the same trust. trust must have been taken before the call.
func (p *proofs) identify(s tls.ConnectionState, trust <-chan struct{}, now time.Time, verify func(tls.ConnectionState) (identity.ID, error)) (identity.ID, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.trust != trust || p.known == nil {
		p.trust, p.known = trust, map[string]proof{}
	}
	leaf := s.PeerCertificates[0].Raw
	if known, ok := p.known[string(leaf)]; ok && now.Before(known.until) {
		return known.id, nil
	}
	id, err := verify(s)
	if err != nil {
		delete(p.known, string(leaf))
		return id, err
	}
	until := now.Add(proofLasts)
	for _, c := range s.PeerCertificates {
		if c.NotAfter.Before(until) {
			until = c.NotAfter
		}
	}
	p.known[string(leaf)] = proof{id, until}
	return id, nil
}

// forget drops what no longer holds, so that certificates that were renewed do not pile
// up.
func (p *proofs) forget(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for leaf, known := range p.known {
		if !now.Before(known.until) {
			delete(p.known, leaf)
		}
	}
}
