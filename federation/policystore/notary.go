package policystore

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
)

// Why a value is refused.
var (
	errUnsigned = errors.New("value is not signed")
	errSeal     = errors.New("seal does not fit the value")
	errChain    = errors.New("author's certificates are not trusted")
	errAuthor   = errors.New("author may not write this value")
)

// author is a certificate chain that has been verified; nil stands for nobody, where
// values need no signature.
type author struct {
	identity.ID
	chain  []*x509.Certificate
	public *ecdsa.PublicKey
	sum    [sha256.Size]byte // of the chain
}

// maxAuthors bounds the chains that are remembered; one of 250 clusters' each for some
// weeks.
const maxAuthors = 8192

// notary says who has written a value, and whether its key is theirs. Any goroutine may
// use it.
type notary struct {
	cfg    Config
	verify func([]*x509.Certificate) (identity.ID, error)
	domain func(federation.ClusterName) (federation.TrustDomain, bool)

	mu sync.Mutex
	// known are the chains that were trusted when they were last looked at.
	known map[[sha256.Size]byte]*author
}

func newNotary(cfg Config, deps Deps) *notary {
	n := &notary{cfg: cfg, verify: deps.VerifyChain, domain: deps.Domain, known: map[[sha256.Size]byte]*author{}}
	if n.domain == nil {
		n.domain = func(federation.ClusterName) (federation.TrustDomain, bool) { return "", false }
	}
	return n
}

// open says what the value of a key holds, without its seal, and who wrote it. What was
// verified before, a value of the same bytes, is not verified again.
func (n *notary) open(key string, at ref, value []byte, before *author) (content []byte, by *author, err error) {
	if n.cfg.Unsealed || at.kind == "presence" { // a hint that any reader may doubt
		return value, nil, nil
	}
	content, seal, err := unsealed(value)
	switch {
	case err != nil:
		return nil, nil, err
	case seal == nil && n.cfg.AcceptUnsigned:
		return content, nil, nil
	case seal == nil:
		return nil, nil, errUnsigned
	}
	if by = before; by == nil {
		if by, err = n.author(seal.Chain); err != nil {
			return nil, nil, err
		}
		if !seal.fits(by.public, key, content) {
			return nil, nil, errSeal
		}
	}
	if err := n.entitled(by.ID, at, content); err != nil {
		return nil, nil, err
	}
	return content, by, nil
}

// author verifies a chain, unless it is known.
func (n *notary) author(ders [][]byte) (*author, error) {
	sum := sumOf(ders)
	n.mu.Lock()
	a := n.known[sum]
	n.mu.Unlock()
	if a != nil {
		return a, nil
	}
	chain, public, err := identity.ParseChain(ders)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSeal, err)
	}
	return n.vouch(&author{chain: chain, public: public, sum: sum})
}

// vouch verifies a's chain as of now.
func (n *notary) vouch(a *author) (*author, error) {
	id, err := n.verify(a.chain)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errChain, err)
	}
	known := *a
	known.ID = id
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.known) >= maxAuthors {
		clear(n.known)
	}
	n.known[a.sum] = &known
	return &known, nil
}

// forget makes the notary verify every chain again.
func (n *notary) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.known)
}

// trusts says whether a chain that was trusted once is still.
func (n *notary) trusts(a *author) bool {
	n.mu.Lock()
	_, known := n.known[a.sum]
	n.mu.Unlock()
	if known {
		return true
	}
	_, err := n.vouch(a)
	return err == nil
}

// entitled says whether the value of a key is id's to write.
func (n *notary) entitled(id identity.ID, at ref, content []byte) error {
	owner := at.cluster
	if at.kind == "rollouts" { // any member may coordinate; the store's roles say which
		var v struct {
			Coordinator federation.ClusterName `json:"coordinator"`
		}
		if err := json.Unmarshal(content, &v); err != nil {
			return err
		}
		owner = v.Coordinator
	}
	want := identity.ID{TrustDomain: id.TrustDomain, Federation: n.cfg.Federation, Cluster: owner, Role: identity.RoleOperator}
	if domain, ok := n.domain(owner); ok {
		want.TrustDomain = domain
	}
	if id != want {
		return fmt.Errorf("%w: it was signed by %s, want %s", errAuthor, id, want)
	}
	return nil
}

// sumOf tells chains apart.
func sumOf(ders [][]byte) [sha256.Size]byte {
	h := sha256.New()
	for _, der := range ders {
		h.Write([]byte{byte(len(der) >> 16), byte(len(der) >> 8), byte(len(der))})
		h.Write(der)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
