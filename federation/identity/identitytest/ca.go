// Package identitytest issues identities for tests: a root, an intermediate per
// cluster and leaves with SPIFFE IDs, as cert-manager would.
//
// For tests only. A CA may be used from any goroutine.
package identitytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
)

// CA is the root of one trust domain with one intermediate.
type CA struct {
	t            testing.TB
	domain       federation.TrustDomain
	root, inter  *x509.Certificate
	interKey     *ecdsa.PrivateKey
	rootPEM      []byte
	interPEM     []byte
	Now          time.Time // the moment at which leaves are issued
	LeafLifetime time.Duration
}

// NewCA makes a root and an intermediate for a trust domain.
func NewCA(t testing.TB, domain federation.TrustDomain) *CA {
	t.Helper()
	ca := &CA{t: t, domain: domain, Now: time.Now(), LeafLifetime: time.Hour}
	rootKey := ca.key()
	ca.root = ca.sign(authority("root "+string(domain), 2), nil, rootKey, rootKey)
	ca.interKey = ca.key()
	ca.inter = ca.sign(authority("intermediate", 1), ca.root, ca.interKey, rootKey)
	ca.rootPEM, ca.interPEM = encode("CERTIFICATE", ca.root.Raw), encode("CERTIFICATE", ca.inter.Raw)
	return ca
}

// Domain is the trust domain.
func (ca *CA) Domain() federation.TrustDomain { return ca.domain }

// Bundle is the PEM of the root.
func (ca *CA) Bundle() []byte { return ca.rootPEM }

// Issue makes a leaf for id: the chain without the root, and the key.
func (ca *CA) Issue(id identity.ID) (certPEM, keyPEM []byte) {
	ca.t.Helper()
	return ca.IssueURI(id.String())
}

// IssueURI makes a leaf whose only SAN is uri, whatever it says.
func (ca *CA) IssueURI(uri string) (certPEM, keyPEM []byte) {
	ca.t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		ca.t.Fatal(err)
	}
	key := ca.key()
	leaf := ca.sign(&x509.Certificate{
		URIs: []*url.URL{u}, NotBefore: ca.Now.Add(-time.Minute), NotAfter: ca.Now.Add(ca.LeafLifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, ca.inter, key, ca.interKey)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		ca.t.Fatal(err)
	}
	return append(encode("CERTIFICATE", leaf.Raw), ca.interPEM...), encode("EC PRIVATE KEY", der)
}

// Source is an identity that trusts this CA and is id.
func (ca *CA) Source(id identity.ID) *identity.Source {
	ca.t.Helper()
	s := identity.NewSource()
	if err := s.SetKeyPair(ca.Issue(id)); err != nil {
		ca.t.Fatal(err)
	}
	if err := s.SetBundle(ca.domain, ca.rootPEM); err != nil {
		ca.t.Fatal(err)
	}
	return s
}

func (ca *CA) key() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		ca.t.Fatal(err)
	}
	return key
}

func (ca *CA) sign(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	ca.t.Helper()
	template.SerialNumber, _ = rand.Int(rand.Reader, big.NewInt(1<<62))
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		ca.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		ca.t.Fatal(err)
	}
	return cert
}

// authorityLifetime outlives the longest simulation.
const authorityLifetime = 90 * 24 * time.Hour

func authority(name string, depth int) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(authorityLifetime),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: depth, KeyUsage: x509.KeyUsageCertSign,
	}
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
