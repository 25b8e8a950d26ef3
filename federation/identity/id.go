package identity

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/causeway-mesh/causeway/federation"
)

// Role is what a process of Causeway does in its cluster.
type Role string

// The roles. An operator may not open tunnels, a gateway may not gossip.
const (
	RoleGateway  Role = "gateway"
	RoleOperator Role = "operator"
)

// ID is the identity of one role of one cluster in one federation.
type ID struct {
	TrustDomain federation.TrustDomain
	Federation  string
	Cluster     federation.ClusterName
	Role        Role
}

// String gives the SPIFFE ID:
// spiffe://<trust domain>/federation/<federation>/cluster/<cluster>/<role>.
func (id ID) String() string {
	return fmt.Sprintf("spiffe://%s/federation/%s/cluster/%s/%s", id.TrustDomain, id.Federation, id.Cluster, id.Role)
}

// ParseID reads what String writes and nothing else.
func ParseID(uri string) (ID, error) {
	sid, err := spiffeid.FromString(uri)
	if err != nil {
		return ID{}, fmt.Errorf("parsing SPIFFE ID %q: %w", uri, err)
	}
	return fromSPIFFE(sid)
}

func fromSPIFFE(sid spiffeid.ID) (ID, error) {
	parts := strings.Split(sid.Path(), "/")
	if len(parts) != 6 || parts[1] != "federation" || parts[3] != "cluster" {
		return ID{}, fmt.Errorf("SPIFFE ID %s: want the path /federation/<federation>/cluster/<cluster>/<role>", sid)
	}
	id := ID{
		TrustDomain: federation.TrustDomain(sid.TrustDomain().Name()),
		Federation:  parts[2],
		Cluster:     federation.ClusterName(parts[4]),
		Role:        Role(parts[5]),
	}
	if id.Role != RoleGateway && id.Role != RoleOperator {
		return ID{}, fmt.Errorf("SPIFFE ID %s: unknown role %q", sid, id.Role)
	}
	return id, nil
}

// Authorizer says whether a verified peer may connect; nil means it may.
type Authorizer func(ID) error

// ErrForbidden is wrapped by the Authorizers of this package.
var ErrForbidden = errors.New("peer is not allowed")

// Exactly allows one identity.
func Exactly(want ID) Authorizer {
	return func(got ID) error {
		if got != want {
			return fmt.Errorf("%w: got %s, want %s", ErrForbidden, got, want)
		}
		return nil
	}
}

// Members allows the given role of every cluster of the federation for which
// allowed says yes; it is asked anew at each handshake.
func Members(federationName string, role Role, allowed func(federation.ClusterName, federation.TrustDomain) bool) Authorizer {
	return func(got ID) error {
		switch {
		case got.Federation != federationName:
			return fmt.Errorf("%w: %s belongs to federation %q, not %q", ErrForbidden, got, got.Federation, federationName)
		case got.Role != role:
			return fmt.Errorf("%w: %s is not a %s", ErrForbidden, got, role)
		case !allowed(got.Cluster, got.TrustDomain):
			return fmt.Errorf("%w: cluster %q of trust domain %q is no member", ErrForbidden, got.Cluster, got.TrustDomain)
		}
		return nil
	}
}
