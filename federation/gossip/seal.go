package gossip

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// A sealed batch: version u8, key 8 bytes, signature 64 bytes (r, s), payload. The
// signature covers all but itself. The certificate that the key names is told once per
// connection, not with every batch.
const (
	sealVersion = 2
	sealHead    = 1 + 8 + 64

	maxChainCerts = 4
	maxChainBytes = 16 << 10
	// maxKeysPerOwner: the key in use, the next one, and some that are on their way out.
	maxKeysPerOwner = 4
)

var (
	errUnsigned   = errors.New("statement is not signed")
	errUnknownKey = errors.New("signing key is not known")
	errSignature  = errors.New("signature does not fit")
	errVersion    = errors.New("unknown version of a sealed batch")
	errKey        = errors.New("certificate chain is refused")
)

// keyID names a signing key: the beginning of its certificate's SHA-256.
type keyID [8]byte

func keyOf(leaf []byte) keyID {
	sum := sha256.Sum256(leaf)
	return keyID(sum[:8])
}

var sealDomain = []byte("causeway gossip batch\x00")

func sealDigest(version byte, id keyID, payload []byte) []byte {
	h := sha256.New()
	h.Write(sealDomain)
	h.Write([]byte{version})
	h.Write(id[:])
	h.Write(payload)
	return h.Sum(nil)
}

// seal signs a payload with the key of cert, which must be ECDSA P-256.
func seal(cert *tls.Certificate, payload []byte) ([]byte, error) {
	key, ok := cert.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("signing gossip: the identity's key is %T, want ECDSA P-256", cert.PrivateKey)
	}
	id := keyOf(cert.Certificate[0])
	r, s, err := ecdsa.Sign(rand.Reader, key, sealDigest(sealVersion, id, payload))
	if err != nil {
		return nil, fmt.Errorf("signing gossip: %w", err)
	}
	out := make([]byte, sealHead, sealHead+len(payload))
	out[0] = sealVersion
	copy(out[1:], id[:])
	r.FillBytes(out[9:41])
	s.FillBytes(out[41:73])
	return append(out, payload...), nil
}

// unseal takes a sealed batch apart and verifies nothing.
func unseal(sealed []byte) (id keyID, payload []byte, err error) {
	switch {
	case len(sealed) > 0 && sealed[0] == codecVersion:
		return id, nil, errUnsigned
	case len(sealed) > 0 && sealed[0] != sealVersion:
		return id, nil, fmt.Errorf("%w: %d", errVersion, sealed[0])
	case len(sealed) < sealHead:
		return id, nil, fmt.Errorf("%w: sealed batch of %d bytes", errMalformed, len(sealed))
	}
	return keyID(sealed[1:9]), sealed[sealHead:], nil
}

// signer is a key whose certificate chain has been verified.
type signer struct {
	owner   federation.ClusterName
	public  *ecdsa.PublicKey
	chain   []*x509.Certificate
	checked time.Duration
}

// keyring holds the verified keys of all owners. Any goroutine may use it. A chain is
// verified when it is new and again after recheck, so that a bundle that was withdrawn
// or a certificate that ran out stops counting.
type keyring struct {
	verify  func([]*x509.Certificate) (federation.ClusterName, error)
	recheck time.Duration

	mu   sync.Mutex
	keys map[keyID]*signer
}

func newKeyring(verify func([]*x509.Certificate) (federation.ClusterName, error), recheck time.Duration) *keyring {
	return &keyring{verify: verify, recheck: recheck, keys: map[keyID]*signer{}}
}

// learn verifies an encoded chain and keeps its key.
func (k *keyring) learn(encoded []byte, now time.Duration) (federation.ClusterName, error) {
	ders, err := decodeChain(encoded)
	if err != nil {
		return "", err
	}
	if s := k.fresh(keyOf(ders[0]), now); s != nil {
		return s.owner, nil
	}
	var certs []*x509.Certificate
	for _, der := range ders {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return "", fmt.Errorf("%w: %w", errKey, err)
		}
		certs = append(certs, cert)
	}
	public, ok := certs[0].PublicKey.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return "", fmt.Errorf("%w: its key is not ECDSA P-256", errKey)
	}
	owner, err := k.verify(certs)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errKey, err)
	}
	k.keep(keyOf(ders[0]), &signer{owner: owner, public: public, chain: certs, checked: now})
	return owner, nil
}

// keep stores a key; of one owner's too many, the one issued first goes.
func (k *keyring) keep(id keyID, s *signer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys[id] = s
	n, oldest := 0, id
	for o, other := range k.keys {
		if other.owner != s.owner {
			continue
		}
		n++
		if other.chain[0].NotBefore.Before(k.keys[oldest].chain[0].NotBefore) {
			oldest = o
		}
	}
	if n > maxKeysPerOwner {
		delete(k.keys, oldest)
	}
}

func (k *keyring) fresh(id keyID, now time.Duration) *signer {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s := k.keys[id]; s != nil && now-s.checked <= k.recheck {
		return s
	}
	return nil
}

// get returns a key that is in force, verifying its chain again when it is time.
func (k *keyring) get(id keyID, now time.Duration) (*signer, error) {
	if s := k.fresh(id, now); s != nil {
		return s, nil
	}
	k.mu.Lock()
	s := k.keys[id]
	k.mu.Unlock()
	if s == nil {
		return nil, errUnknownKey
	}
	owner, err := k.verify(s.chain)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil || owner != s.owner {
		delete(k.keys, id)
		return nil, fmt.Errorf("%w: %w", errKey, err)
	}
	again := *s
	again.checked = now
	k.keys[id] = &again
	return &again, nil
}

// open verifies a sealed batch: who said it, and what.
func (k *keyring) open(sealed []byte, now time.Duration) (federation.ClusterName, []byte, error) {
	id, payload, err := unseal(sealed)
	if err != nil {
		return "", nil, err
	}
	s, err := k.get(id, now)
	if err != nil {
		return "", nil, err
	}
	r, v := new(big.Int).SetBytes(sealed[9:41]), new(big.Int).SetBytes(sealed[41:73])
	if !ecdsa.Verify(s.public, sealDigest(sealed[0], id, payload), r, v) {
		return s.owner, nil, errSignature
	}
	return s.owner, payload, nil
}

// own keeps the key that we sign with; whoever could sign with it needs no verification.
func (k *keyring) own(owner federation.ClusterName, cert *tls.Certificate, now time.Duration) {
	id := keyOf(cert.Certificate[0])
	k.mu.Lock()
	_, known := k.keys[id]
	k.mu.Unlock()
	if known {
		return
	}
	var chain []*x509.Certificate
	for _, der := range cert.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		chain = append(chain, c)
	}
	if public, ok := chain[0].PublicKey.(*ecdsa.PublicKey); ok {
		k.keep(id, &signer{owner: owner, public: public, chain: chain, checked: now})
	}
}

// forget drops the keys of a cluster that is no longer a peer.
func (k *keyring) forget(c federation.ClusterName) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, s := range k.keys {
		if s.owner == c {
			delete(k.keys, id)
		}
	}
}

// of lists the keys of an owner.
func (k *keyring) of(c federation.ClusterName) map[keyID]*signer {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := map[keyID]*signer{}
	for id, s := range k.keys {
		if s.owner == c {
			out[id] = s
		}
	}
	return out
}

// chainOf encodes the chain of a known key; nil if it is not known.
func (k *keyring) chainOf(id keyID) []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.keys[id]
	if s == nil {
		return nil
	}
	var ders [][]byte
	for _, c := range s.chain {
		ders = append(ders, c.Raw)
	}
	return encodeChain(ders)
}

// encodeChain writes certificates, the leaf first, each as length u16 + DER.
func encodeChain(ders [][]byte) []byte {
	var b []byte
	for _, der := range ders[:min(len(ders), maxChainCerts)] {
		b = append(b, byte(len(der)>>8), byte(len(der)))
		b = append(b, der...)
	}
	return b
}

func decodeChain(data []byte) ([][]byte, error) {
	if len(data) > maxChainBytes {
		return nil, fmt.Errorf("%w: %w: certificate chain of %d bytes, at most %d", errMalformed, errOversized, len(data), maxChainBytes)
	}
	r := reader{data: data}
	var out [][]byte
	for len(r.data) > 0 && !r.bad && len(out) <= maxChainCerts {
		out = append(out, r.take(int(r.u16())))
	}
	if r.bad || len(out) == 0 || len(out) > maxChainCerts || len(out[0]) == 0 {
		return nil, fmt.Errorf("%w: certificate chain", errMalformed)
	}
	return out, nil
}
