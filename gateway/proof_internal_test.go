package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation/identity"
)

func TestCertificateIsVerifiedAgainOnlyWhenTheAnswerMayHaveChanged(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	leaf := func(raw string, lasts time.Duration) *x509.Certificate {
		return &x509.Certificate{Raw: []byte(raw), NotAfter: start.Add(lasts)}
	}
	one := tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf("one", time.Hour), leaf("authority", time.Hour)}}
	other := tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf("other", time.Hour)}}
	short := tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf("short", time.Hour), leaf("authority", 10*time.Second)}}
	old, renewed := make(chan struct{}), make(chan struct{})
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		first, again tls.ConnectionState
		trust        chan struct{}
		after        time.Duration
		err          error // of the first verification
		verified     int
	}{
		"the same":              {first: one, again: one, trust: old, after: proofLasts - 1, verified: 1},
		"another":               {first: one, again: other, trust: old, verified: 2},
		"under another trust":   {first: one, again: one, trust: renewed, verified: 2},
		"long after":            {first: one, again: one, trust: old, after: proofLasts, verified: 2},
		"as its chain expires":  {first: short, again: short, trust: old, after: 10 * time.Second, verified: 2},
		"before its chain does": {first: short, again: short, trust: old, after: 9 * time.Second, verified: 1},
		"after it was refused":  {first: one, again: one, trust: old, err: refused, verified: 2},
	} {
		var p proofs
		verified := 0
		err := c.err
		verify := func(tls.ConnectionState) (identity.ID, error) { verified++; return identity.ID{Cluster: "east"}, err }
		if _, got := p.identify(c.first, old, start, verify); !errors.Is(got, c.err) {
			t.Errorf("%s: at first %v", name, got)
		}
		err = nil
		if id, got := p.identify(c.again, c.trust, start.Add(c.after), verify); got != nil || id.Cluster != "east" {
			t.Errorf("%s: then %v, %v", name, id, got)
		}
		if verified != c.verified {
			t.Errorf("%s: verified %d times, want %d", name, verified, c.verified)
		}
		p.forget(start.Add(c.after + proofLasts))
		if len(p.known) != 0 {
			t.Errorf("%s: %d proofs are kept that hold no more", name, len(p.known))
		}
	}
}
