package admin

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The errors that callers tell apart.
var (
	// ErrForbidden: the store knows us and says no.
	ErrForbidden = errors.New("the policy store denied the request")
	// ErrNoQuorum: members answer, but not enough of them to decide anything.
	ErrNoQuorum = errors.New("the policy store has no quorum, or does not answer in time")
)

// told adds to what etcd says what a person can do about it.
func (a *Admin) told(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, ErrForbidden) || errors.Is(err, ErrNoQuorum) {
		return err
	}
	switch code := codeOf(err); code {
	case codes.PermissionDenied, codes.Unauthenticated:
		return fmt.Errorf("%w to user %q: give root's client certificate with --cert and --key: %w", ErrForbidden, a.user(), err)
	case codes.Unavailable, codes.DeadlineExceeded:
		return fmt.Errorf("%w: see `causewayctl store status` and start the members that are down: %w", ErrNoQuorum, err)
	}
	switch {
	case errors.Is(err, rpctypes.ErrUserEmpty):
		return fmt.Errorf("%w: it knows no user by our certificate: give root's client certificate with --cert and --key: %w", ErrForbidden, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: see `causewayctl store status` and start the members that are down: %w", ErrNoQuorum, err)
	}
	return err
}

func codeOf(err error) codes.Code {
	var ee rpctypes.EtcdError
	if errors.As(err, &ee) {
		return ee.Code()
	}
	return status.Code(err)
}
