package identity_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation/identity"
)

// cert signs a certificate for key that lasts from begin to end.
func cert(t *testing.T, name string, begin, end time.Time, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(begin.Unix()), Subject: pkix.Name{CommonName: name}, NotBefore: begin, NotAfter: end,
		IsCA: parent == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if parent == nil {
		template.KeyUsage, parent = x509.KeyUsageCertSign, template
	} else {
		template.URIs = []*url.URL{{Scheme: "spiffe", Host: string(domain), Path: "/federation/prod/cluster/us-east/operator"}}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestARestedSignatureLivesAsLongAsItsAuthorityRenewedOrNot(t *testing.T) {
	begin := time.Now().Truncate(time.Second)
	authority, key := newKey(t), newKey(t)
	first := cert(t, "root", begin, begin.Add(100*time.Hour), nil, authority, authority)
	renewed := cert(t, "root", begin.Add(90*time.Hour), begin.Add(190*time.Hour), nil, authority, authority)
	chain := []*x509.Certificate{cert(t, "leaf", begin.Add(time.Hour), begin.Add(2*time.Hour), first, key, authority)}
	for name, c := range map[string]struct {
		root   *x509.Certificate
		now    time.Duration
		wanted bool
	}{
		"while the leaf lasts":             {first, 90 * time.Minute, true},
		"when the leaf has run out":        {first, 50 * time.Hour, true},
		"when the authority has run out":   {first, 101 * time.Hour, false},
		"under the renewed authority":      {renewed, 101 * time.Hour, true},
		"before the renewed one has begun": {renewed, 50 * time.Hour, false},
		"when the renewed one has run out": {renewed, 191 * time.Hour, false},
	} {
		source := identity.NewSource()
		if err := source.SetBundle(domain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.root.Raw})); err != nil {
			t.Fatal(err)
		}
		_, err := source.VerifyRestedAt(chain, begin.Add(c.now))
		if c.wanted && err != nil || !c.wanted && !errors.Is(err, identity.ErrUntrusted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestChainOfASignatureIsBounded(t *testing.T) {
	begin, key := time.Now(), newKey(t)
	der := cert(t, "root", begin, begin.Add(time.Hour), nil, key, key).Raw
	for says, ders := range map[string][][]byte{
		"want 1 to 4":       {der, der, der, der, der},
		"at most 16384 are": {der, make([]byte, identity.MaxChainBytes)},
	} {
		if _, _, err := identity.ParseChain(ders); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}
