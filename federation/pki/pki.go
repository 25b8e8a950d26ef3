// Package pki makes the certificate authorities of a try-out: a federation's root,
// an intermediate for each cluster, and the policy store's own. Production brings its
// own authorities.
//
// It owns keys only in memory; whoever asked for them writes them down. It leaves to
// cert-manager the identities that rotate, and to federation/identity their use.
//
// Called by `causewayctl certs` and the test clusters, from any goroutine.
//
// Invariants:
//  1. Keys are P-256; serial numbers are random (CA/Browser Forum: at least 64 bits).
//  2. An intermediate can issue certificates and no further authorities.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"time"
)

// DefaultValidity of everything issued here: longer than any try-out, shorter than a
// mistake.
const DefaultValidity = 90 * 24 * time.Hour

// backdate forgives a clock that is a little behind.
const backdate = time.Minute

// Authority is a certificate authority with its key: a cluster's own, the policy
// store's, a federation's root or one cluster's intermediate.
type Authority struct {
	CertPEM, KeyPEM []byte
	// Validity of what it issues; set before the first use. Default DefaultValidity.
	Validity time.Duration
	cert     *x509.Certificate
	key      *ecdsa.PrivateKey
}

// Subject is what a certificate says of its holder.
type Subject struct {
	CommonName    string
	Organizations []string // Kubernetes reads them as groups
	DNSNames      []string
	Addrs         []netip.Addr
	URIs          []string // SPIFFE IDs
}

// KeyPair is a certificate with its key, PEM.
type KeyPair struct{ CertPEM, KeyPEM []byte }

// NewAuthority makes a root that lives for DefaultValidity.
func NewAuthority(commonName string) (*Authority, error) {
	return newAuthority(commonName, nil, DefaultValidity)
}

// Load reads an authority back from its PEM.
func Load(certPEM, keyPEM []byte) (*Authority, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("reading an authority: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, errors.New("reading an authority: the certificate is no authority's, or its key is not ECDSA")
	}
	return &Authority{CertPEM: certPEM, KeyPEM: keyPEM, Validity: DefaultValidity, cert: pair.Leaf, key: key}, nil
}

// Intermediate makes an authority below this one. It may not make further ones.
func (a *Authority) Intermediate(commonName string) (*Authority, error) {
	return newAuthority(commonName, a, a.Validity)
}

func newAuthority(commonName string, parent *Authority, validity time.Duration) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t, err := template(Subject{CommonName: commonName}, validity)
	if err != nil {
		return nil, err
	}
	t.IsCA, t.BasicConstraintsValid = true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	signer, signerKey := t, key
	if parent != nil {
		t.MaxPathLenZero = true
		signer, signerKey = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, signer, key.Public(), signerKey)
	if err != nil {
		return nil, fmt.Errorf("signing authority %s: %w", commonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return &Authority{CertPEM: encodeCert(der), KeyPEM: keyPEM, Validity: validity, cert: cert, key: key}, nil
}

// Issue makes a certificate for servers and clients alike.
func (a *Authority) Issue(s Subject) (KeyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return KeyPair{}, err
	}
	t, err := template(s, a.Validity)
	if err != nil {
		return KeyPair{}, err
	}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	if err != nil {
		return KeyPair{}, fmt.Errorf("signing a certificate for %s: %w", s.CommonName, err)
	}
	keyPEM, err := encodeKey(key)
	return KeyPair{CertPEM: encodeCert(der), KeyPEM: keyPEM}, err
}

func template(s Subject, validity time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: s.CommonName, Organization: s.Organizations},
		NotBefore:    time.Now().Add(-backdate),
		NotAfter:     time.Now().Add(validity),
		DNSNames:     s.DNSNames,
	}
	for _, a := range s.Addrs {
		t.IPAddresses = append(t.IPAddresses, net.IP(a.AsSlice()))
	}
	for _, u := range s.URIs {
		parsed, err := url.Parse(u)
		if err != nil {
			return nil, fmt.Errorf("parsing URI SAN %q: %w", u, err)
		}
		t.URIs = append(t.URIs, parsed)
	}
	return t, nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
