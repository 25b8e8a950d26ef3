package policystore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// explain turns what the etcd client says into one of this package's errors.
func (s *Store) explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, rpctypes.ErrNoSpace) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	for _, own := range []error{ErrNameTaken, ErrUnreachable, ErrUntrusted, ErrForbidden, ErrTooLarge, ErrNoSigner, ErrRewound, ErrNoSpace, ErrDeposed} {
		if errors.Is(err, own) {
			return err
		}
	}
	var ee rpctypes.EtcdError
	code := status.Code(err)
	if errors.As(err, &ee) {
		code = ee.Code()
	}
	switch {
	case code == codes.PermissionDenied || code == codes.Unauthenticated:
		return fmt.Errorf("%w: %w", ErrForbidden, err)
	case errors.Is(err, context.DeadlineExceeded) || code == codes.Unavailable || code == codes.DeadlineExceeded:
		if why := s.handshake(); why != nil {
			return fmt.Errorf("%w: %w", ErrUntrusted, why)
		}
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return err
}

// handshake dials the endpoints the way the client does and returns an error only
// if one answers but trust fails. gRPC reports such failures as text alone; the TLS
// library's own errors have types.
func (s *Store) handshake() error {
	if s.cfg.TLS == nil {
		return nil
	}
	for _, e := range s.cfg.Endpoints {
		if err := handshakeWith(e, s.cfg.TLS, min(s.cfg.RequestTimeout, time.Second)); distrust(err) {
			return fmt.Errorf("%s: %w", e, err)
		}
	}
	return nil
}

func handshakeWith(endpoint string, cfg *tls.Config, patience time.Duration) error {
	host := endpoint
	if strings.Contains(endpoint, "://") {
		u, err := url.Parse(endpoint)
		if err != nil {
			return err
		}
		host = u.Host
	}
	cfg = cfg.Clone()
	cfg.NextProtos = []string{"h2"}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", host, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	// TLS 1.3 servers judge the client's certificate after the client believes to be
	// done: their refusal is the first thing to be read.
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

func distrust(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		invalid      x509.CertificateInvalidError
		host         x509.HostnameError
		alert        tls.AlertError
		op           *net.OpError
		plain        tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &verification), errors.As(err, &authority), errors.As(err, &invalid),
		errors.As(err, &host), errors.As(err, &alert), errors.As(err, &plain):
		return true
	case errors.As(err, &op):
		return op.Op == "remote error" // an alert from the other side
	}
	return false
}

// reasonOf maps an explained error to a Status.
func (s *Store) reasonOf(err error) (Reason, string) {
	where := strings.Join(s.cfg.Endpoints, ", ")
	switch {
	case errors.Is(err, ErrUntrusted):
		return Untrusted, fmt.Sprintf("The policy store at %s does not pass verification (%v). Check that the CA given for the store has signed its certificate, that the certificate names this address, and that our client certificate comes from a CA that the store trusts.", where, err)
	case errors.Is(err, ErrForbidden):
		return Forbidden, fmt.Sprintf("The policy store at %s refuses us (%v). Give the store's user of cluster %s read access to the federation's prefix and write access to its own.", where, err, s.cfg.Cluster)
	case errors.Is(err, ErrRewound):
		return Rewound, s.rewoundMessage(err)
	case errors.Is(err, ErrNoSpace):
		return NoSpace, s.noSpaceMessage()
	default:
		return Unreachable, fmt.Sprintf("The policy store at %s does not answer (%v). Routing goes on with what is known; changes wait. Check that it runs, that a quorum of its members is up, and that this address can be reached from here.", where, err)
	}
}
