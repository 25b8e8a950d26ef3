package policystore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
)

// sealField holds a value's seal. What it covers is the key, and the value's canonical
// JSON without this field: all other fields, those included that this version does not
// know.
const sealField = "seal"

// sealDomain keeps a signature from being taken for one over something else.
const sealDomain = "causeway policystore value\x00"

// sealValue says who has written a value.
type sealValue struct {
	// Chain is the author's certificates in DER, the leaf first, without the root.
	Chain [][]byte `json:"chain"`
	// Signature is ECDSA P-256 over SHA-256, in ASN.1, by the leaf's key.
	Signature []byte `json:"signature"`
}

// sealed adds a seal to content, which is canonical and has none.
func sealed(cert *tls.Certificate, key string, content []byte) ([]byte, error) {
	signer, ok := cert.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w with the identity's key, a %T", ErrNoSigner, cert.PrivateKey)
	}
	signature, err := signer.Sign(rand.Reader, sealDigest(key, content), crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoSigner, err)
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(content, &fields); err != nil {
		return nil, err
	}
	if fields[sealField], err = json.Marshal(sealValue{cert.Certificate, signature}); err != nil {
		return nil, err
	}
	out, err := json.Marshal(fields)
	if err == nil && len(out) > MaxValueBytes {
		err = fmt.Errorf("%w: %d bytes with its seal, at most %d are allowed", ErrTooLarge, len(out), MaxValueBytes)
	}
	return out, err
}

// unsealed takes a value apart and verifies nothing; seal is nil if there is none.
// content is what a signature covers, and the only thing to be decoded: of a field that
// the value holds twice it has the one that was signed.
func unsealed(value []byte) (content []byte, seal *sealValue, err error) {
	if len(value) > MaxValueBytes {
		return nil, nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(value))
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(value, &fields); err != nil {
		return nil, nil, err
	}
	raw, ok := fields[sealField]
	delete(fields, sealField)
	if content, err = json.Marshal(fields); err != nil || !ok {
		return content, nil, err
	}
	seal = &sealValue{}
	if err := json.Unmarshal(raw, seal); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errSeal, err)
	}
	return content, seal, nil
}

func (s *sealValue) fits(public *ecdsa.PublicKey, key string, content []byte) bool {
	return ecdsa.VerifyASN1(public, sealDigest(key, content), s.Signature)
}

// sealDigest is of key and content; no key holds a zero byte.
func sealDigest(key string, content []byte) []byte {
	h := sha256.New()
	h.Write([]byte(sealDomain + key + "\x00"))
	h.Write(content)
	return h.Sum(nil)
}
