package identity

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/causeway-mesh/causeway/federation"
)

// Source holds our key pair and the bundles that we trust, and hands out
// tls.Configs that always use the newest of both. The zero value is not usable;
// call NewSource.
type Source struct {
	current atomic.Pointer[material]

	mu      sync.Mutex // held by writers only
	changed chan struct{}
	expect  func(ID) error // nil takes every identity of ours
}

// material is immutable; writers replace it whole.
type material struct {
	cert    *tls.Certificate
	own     ID
	expires time.Time
	pem     map[federation.TrustDomain][]byte
	bundles *x509bundle.Set
}

// NewSource returns an empty source: every handshake fails until it has a key
// pair and the peer's bundle.
func NewSource() *Source {
	s := &Source{changed: make(chan struct{})}
	s.current.Store(&material{bundles: x509bundle.NewSet()})
	return s
}

// Expect makes SetKeyPair refuse, with accept's error, an identity that accept
// refuses: a process must not become another cluster's because a file changed.
func (s *Source) Expect(accept func(ID) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expect = accept
}

func (s *Source) expected(id ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expect == nil {
		return nil
	}
	return s.expect(id)
}

// SetKeyPair installs a leaf chain with its key. On error (unreadable PEM, a key
// that does not fit, no SPIFFE ID of ours in the leaf, not the one that Expect
// wants) the old pair stays.
func (s *Source) SetKeyPair(certPEM, keyPEM []byte) error {
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fmt.Errorf("reading key pair: %w", err)
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return fmt.Errorf("reading leaf certificate: %w", err)
	}
	cert.Leaf = leaf
	id, err := leafID(leaf)
	if err != nil {
		return err
	}
	if err := s.expected(id); err != nil {
		return err
	}
	s.update(func(m *material) bool {
		if m.cert != nil && bytes.Equal(m.cert.Certificate[0], cert.Certificate[0]) {
			return false
		}
		m.cert, m.own, m.expires = &cert, id, leaf.NotAfter
		return true
	})
	return nil
}

// SetBundles replaces the trusted bundles, each a PEM list of root certificates
// for one trust domain. A trust domain that the map lacks is no longer trusted,
// except our own (which SetBundle keeps). On error nothing changes.
func (s *Source) SetBundles(pems map[federation.TrustDomain][]byte) error {
	parsed, err := parseBundles(pems)
	if err != nil {
		return err
	}
	s.update(func(m *material) bool {
		next := maps.Clone(pems)
		if next == nil {
			next = map[federation.TrustDomain][]byte{}
		}
		own := m.own.TrustDomain
		if old, ok := m.pem[own]; ok && next[own] == nil {
			next[own] = old
			if b, ok := m.bundles.Get(domain(own)); ok {
				parsed.Add(b)
			}
		}
		if maps.EqualFunc(next, m.pem, bytes.Equal) {
			return false
		}
		m.pem, m.bundles = next, parsed
		return true
	})
	return nil
}

// SetBundle installs the bundle of one trust domain and leaves the others.
func (s *Source) SetBundle(td federation.TrustDomain, pem []byte) error {
	one, err := parseBundles(map[federation.TrustDomain][]byte{td: pem})
	if err != nil {
		return err
	}
	s.update(func(m *material) bool {
		if bytes.Equal(m.pem[td], pem) {
			return false
		}
		next := maps.Clone(m.pem)
		if next == nil {
			next = map[federation.TrustDomain][]byte{}
		}
		next[td] = pem
		set := x509bundle.NewSet(m.bundles.Bundles()...)
		for _, b := range one.Bundles() {
			set.Add(b)
		}
		m.pem, m.bundles = next, set
		return true
	})
	return nil
}

// update applies f to a copy of the material and publishes it when f says that
// something changed.
func (s *Source) update(f func(*material) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := *s.current.Load()
	if !f(&next) {
		return
	}
	s.current.Store(&next)
	close(s.changed)
	s.changed = make(chan struct{})
}

// Changed returns a channel that is closed at the next change of key pair or
// bundles. Take it before reading, so that no change is missed.
func (s *Source) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Ready says whether we can prove who we are and verify peers of our own domain.
func (s *Source) Ready() bool {
	m := s.current.Load()
	return m.cert != nil && m.pem[m.own.TrustDomain] != nil
}

// Own returns our identity and when its certificate expires; false without one.
func (s *Source) Own() (ID, time.Time, bool) {
	m := s.current.Load()
	return m.own, m.expires, m.cert != nil
}

func parseBundles(pems map[federation.TrustDomain][]byte) (*x509bundle.Set, error) {
	set := x509bundle.NewSet()
	for td, pem := range pems {
		sd, err := spiffeid.TrustDomainFromString(string(td))
		if err != nil {
			return nil, fmt.Errorf("trust domain %q: %w", td, err)
		}
		b, err := x509bundle.Parse(sd, pem)
		if err != nil {
			return nil, fmt.Errorf("bundle of trust domain %q: %w", td, err)
		}
		if b.Empty() {
			return nil, fmt.Errorf("bundle of trust domain %q holds no certificate", td)
		}
		set.Add(b)
	}
	return set, nil
}

// domain converts a name that parseBundles has accepted.
func domain(td federation.TrustDomain) spiffeid.TrustDomain {
	sd, _ := spiffeid.TrustDomainFromString(string(td))
	return sd
}

func leafID(leaf *x509.Certificate) (ID, error) {
	sid, err := x509svid.IDFromCert(leaf)
	if err != nil {
		return ID{}, fmt.Errorf("certificate %q carries no SPIFFE ID: %w", leaf.Subject, err)
	}
	return fromSPIFFE(sid)
}
