package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// ErrUntrusted is wrapped by a handshake error when the peer's certificate does
// not chain to the bundle of the trust domain it claims.
var ErrUntrusted = errors.New("certificate is not trusted")

// ErrNoIdentity is returned to a handshake while there is no key pair yet.
var ErrNoIdentity = errors.New("no certificate has been issued to us yet")

// ServerConfig is for listeners: TLS 1.3 only, a client certificate is always
// asked for and verified, then auth decides.
func (s *Source) ServerConfig(auth Authorizer, alpn ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAnyClientCert,
		NextProtos: alpn,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.certificate()
		},
		VerifyConnection:       s.verifier(auth),
		SessionTicketsDisabled: true,
	}
}

// ClientConfig is for dialling. The server's name selects where a gateway sends
// the stream and proves nothing; VerifyConnection with auth does.
func (s *Source) ClientConfig(auth Authorizer, serverName string, alpn ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: serverName,
		NextProtos: alpn,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return s.certificate()
		},
		// The standard library would verify the host name against the SAN; SPIFFE IDs
		// are verified below instead, for every connection.
		InsecureSkipVerify: true, //nolint:gosec // replaced by VerifyConnection
		VerifyConnection:   s.verifier(auth),
	}
}

// PeerID returns the identity at the other end of a connection that one of our
// configs has verified. It does not verify by itself.
func PeerID(cs tls.ConnectionState) (ID, error) {
	if len(cs.PeerCertificates) == 0 {
		return ID{}, errors.New("peer presented no certificate")
	}
	return leafID(cs.PeerCertificates[0])
}

// Verify says whom a connection proves, as of now: its chain is verified again against
// the bundles in force, and the clock. For connections that outlive a handshake; an
// error wraps ErrUntrusted.
func (s *Source) Verify(cs tls.ConnectionState) (ID, error) {
	if len(cs.PeerCertificates) == 0 {
		return ID{}, fmt.Errorf("%w: peer presented none", ErrUntrusted)
	}
	return s.verify(cs.PeerCertificates)
}

// Certificate is our key pair, for signing what travels without a connection;
// ErrNoIdentity until there is one. Nobody may change it.
func (s *Source) Certificate() (*tls.Certificate, error) { return s.certificate() }

func (s *Source) certificate() (*tls.Certificate, error) {
	if c := s.current.Load().cert; c != nil {
		return c, nil
	}
	return nil, ErrNoIdentity
}

func (s *Source) verifier(auth Authorizer) func(tls.ConnectionState) error {
	return func(cs tls.ConnectionState) error {
		id, err := s.verify(cs.PeerCertificates)
		if err != nil {
			return err
		}
		return auth(id)
	}
}

func (s *Source) verify(chain []*x509.Certificate) (ID, error) {
	sid, _, err := x509svid.Verify(chain, s.current.Load().bundles)
	if err != nil {
		return ID{}, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	return fromSPIFFE(sid)
}
