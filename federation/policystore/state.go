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
	// Presence are the clusters whose lease in the store stands, as far as we were told:
	// losing the store takes nobody out.
	Presence map[federation.ClusterName]federation.Presence
	Revision uint64
	// Kept: it was not read from the store, but kept by an earlier process; what has
	// changed since is not known. Nothing may be deleted for its sake.
	Kept bool
	// ContentRevision is the revision of the last change that is not presence, or of the
	// last full read. A State that differs from the one before in Presence alone has the
	// same; nothing but presence has to be computed anew then. Such States come at most
	// every 500 ms.
	ContentRevision uint64
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
	// Rewound: the store is another one than before, or an older state of it. Nothing is
	// taken from it or written to it until a person accepts it.
	Rewound Reason = "Rewound"
	// NoSpace: we are connected, but the store takes no writes.
	NoSpace Reason = "NoSpace"
)

// Status is how the client stands with the store, and what to do about it.
type Status struct {
	// Connected while the watch stands, which it may with Reason NoSpace too.
	Connected bool
	Reason    Reason
	Message   string
	// Revision is the State's.
	Revision uint64
	// Age is the time since the store last proved that the State is current, to an earlier
	// process if the State was kept by one; 0 before there is a State. Synced is false
	// before the first full read.
	Age    time.Duration
	Synced bool
	// Known is for Config.Known of the next process. It changes with each revision.
	Known Known
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
	// ErrRewound: the store went back, or is another one, and nobody has accepted it.
	ErrRewound = errors.New("policy store has gone back")
	// ErrNoSpace: the store's quota is used up, it takes no writes.
	ErrNoSpace = errors.New("policy store has no space left")
	// ErrDeposed: somebody else leads by now.
	ErrDeposed = errors.New("no longer the leader")
)

// MaxValueBytes bounds one value in the store.
const MaxValueBytes = 64 << 10
