package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// The bounds of a certificate chain that comes with a signature.
const (
	MaxChainCerts = 4
	MaxChainBytes = 16 << 10
)

// ParseChain reads the chain of whoever has signed something, the leaf first, from DER.
// It verifies nothing. An error says which bound was passed (MaxChainCerts,
// MaxChainBytes), what can't be read, or that the leaf's key is not ECDSA P-256.
func ParseChain(ders [][]byte) ([]*x509.Certificate, *ecdsa.PublicKey, error) {
	if len(ders) == 0 || len(ders) > MaxChainCerts {
		return nil, nil, fmt.Errorf("chain of %d certificates, want 1 to %d", len(ders), MaxChainCerts)
	}
	bytes := 0
	for _, der := range ders {
		bytes += len(der)
	}
	if bytes > MaxChainBytes {
		return nil, nil, fmt.Errorf("chain of %d bytes, at most %d are allowed", bytes, MaxChainBytes)
	}
	chain := make([]*x509.Certificate, 0, len(ders))
	for _, der := range ders {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the chain: %w", err)
		}
		chain = append(chain, cert)
	}
	public, ok := chain[0].PublicKey.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, nil, errors.New("the signer's key is not ECDSA P-256")
	}
	return chain, public, nil
}

// VerifyRested says who has signed something that rests, as values of a store do: they
// are read for longer than their signer's certificate lives. So the chain is judged by
// its own dates, at the first moment at which all of it was valid, and not at now. The
// authority that it leads to counts as of now: it must be in the bundle of the leaf's
// trust domain, and not have run out. An error wraps ErrUntrusted, or says that the ID
// is none of ours.
func (s *Source) VerifyRested(chain []*x509.Certificate) (ID, error) {
	return verifyRested(chain, s.current.Load().bundles, time.Now())
}

func verifyRested(chain []*x509.Certificate, bundles *x509bundle.Set, now time.Time) (ID, error) {
	if len(chain) == 0 {
		return ID{}, fmt.Errorf("%w: there is none", ErrUntrusted)
	}
	sid, err := x509svid.IDFromCert(chain[0])
	if err != nil {
		return ID{}, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	bundle, err := bundles.GetX509BundleForTrustDomain(sid.TrustDomain())
	if err != nil {
		return ID{}, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	at := begun(chain)
	anchors := x509bundle.FromX509Authorities(sid.TrustDomain(), anchored(bundle.X509Authorities(), at, now))
	if sid, _, err = x509svid.Verify(chain, anchors, x509svid.WithTime(at)); err != nil {
		return ID{}, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	return fromSPIFFE(sid)
}

// begun is when the last of a chain's certificates became valid.
func begun(chain []*x509.Certificate) time.Time {
	at := chain[0].NotBefore
	for _, c := range chain[1:] {
		if c.NotBefore.After(at) {
			at = c.NotBefore
		}
	}
	return at
}

// anchored are the authorities that are valid now, made valid at the moment at which the
// chain is judged: an authority is often renewed under its old key, and the new
// certificate begins after what the old one has signed.
func anchored(authorities []*x509.Certificate, at, now time.Time) []*x509.Certificate {
	var out []*x509.Certificate
	for _, a := range authorities {
		if now.Before(a.NotBefore) || now.After(a.NotAfter) {
			continue
		}
		moved := *a
		moved.NotBefore, moved.NotAfter = at, at
		out = append(out, &moved)
	}
	return out
}
