package federation

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/causeway-mesh/causeway/federation/engine"
	"github.com/causeway-mesh/causeway/federation/identity"
)

// kept is what worked last of one MeshFederation's Secrets. A Secret that goes or
// spoils is told in a condition and takes nothing down.
type kept struct {
	of       types.UID
	identity *credentials
	store    *access
}

// credentials are a key pair and the authority that goes with it, PEM.
type credentials struct {
	id            identity.ID // of the operator's only
	ca, cert, key []byte
}

// access is a policy store and how we prove ourselves there: one is of no use
// without the other.
type access struct {
	endpoints []string
	credentials
}

func (a access) use(s *engine.Settings) {
	s.StoreEndpoints, s.StoreCA, s.StoreCert, s.StoreKey = a.endpoints, a.ca, a.cert, a.key
}
