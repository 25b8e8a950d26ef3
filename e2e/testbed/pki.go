package testbed

import "github.com/causeway-mesh/causeway/federation/pki"

// The authorities of the test clusters are the try-out's.
type (
	// Authority is a certificate authority with its key.
	Authority = pki.Authority
	// Subject is what a certificate says of its holder.
	Subject = pki.Subject
	// KeyPair is a certificate with its key, PEM.
	KeyPair = pki.KeyPair
)

// NewAuthority makes a root.
func NewAuthority(commonName string) (*Authority, error) { return pki.NewAuthority(commonName) }
