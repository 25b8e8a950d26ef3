package policystore

import (
	"errors"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// State is the store's content at one revision. Nobody may change it.
type State struct {
	Members  map[federation.ClusterName]federation.Member
	Exports  map[federation.ServiceName][]federation.Export // by Order
	Policies []federation.Policy                            // by Order
	Rollouts map[federation.PolicyID]federation.Rollout
	Presence map[federation.ClusterName]federation.Presence
	Revision uint64
}

// Reason says how the client stands with the store.
type Reason string

// The reasons of a Status.
const (
	Connected   Reason = "Connected"
	Unreachable Reason = "Unreachable"
	Untrusted   Reason = "Untrusted"
	Forbidden   Reason = "Forbidden"
	NotSynced   Reason = "NotSynced"
)

// Status is how the client stands with the store, and what to do about it.
type Status struct {
	Connected bool
	Reason    Reason
	Message   string
	// Revision is the State's.
	Revision uint64
	// Age is the time since the store last proved that the State is current; 0 and
	// Synced false before the first full read.
	Age    time.Duration
	Synced bool
}

// The errors that callers tell apart.
var (
	// ErrNameTaken: another cluster (another InstanceID) is registered by our name.
	ErrNameTaken = errors.New("cluster name is taken")
	// ErrUnreachable: no endpoint answered in time.
	ErrUnreachable = errors.New("policy store is unreachable")
	// ErrUntrusted: the store's certificate or ours was refused.
	ErrUntrusted = errors.New("policy store is not trusted, or does not trust us")
	// ErrForbidden: the store knows us and says no.
	ErrForbidden = errors.New("policy store denied the request")
	// ErrTooLarge: a value exceeds MaxValueBytes.
	ErrTooLarge = errors.New("value is too large for the policy store")
	// ErrNoSigner: there is no identity to sign with that readers would believe. Try again.
	ErrNoSigner = errors.New("value can't be signed")
)

// MaxValueBytes bounds one value in the store.
const MaxValueBytes = 64 << 10
