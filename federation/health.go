package federation

import "time"

// Version orders the statements of one owner: by epoch, then by sequence. It is
// never compared between owners, nor with a clock.
type Version struct {
	// Epoch is the fencing counter of the leader that wrote the statement.
	Epoch uint64
	// Sequence counts that leader's statements, from 1.
	Sequence uint64
}

// Newer says whether v replaces o.
func (v Version) Newer(o Version) bool {
	if v.Epoch != o.Epoch {
		return v.Epoch > o.Epoch
	}
	return v.Sequence > o.Sequence
}

// HealthRecord is what one cluster says of one exported service port. Only that
// cluster's leader writes it.
type HealthRecord struct {
	Cluster ClusterName
	Port    ServicePort
	Version Version
	// Ready and Total count endpoints.
	Ready, Total uint32
	// Withdrawn is set in a tombstone: the export has ended.
	Withdrawn bool
}

// HeldRecord is a record as one reader holds it.
type HeldRecord struct {
	HealthRecord
	// Age is how long ago the owner made or renewed its statement, at least:
	// relayed age plus the time held here. Never negative.
	Age time.Duration
}

// VerdictKind is what this cluster concludes of another one.
type VerdictKind string

// The verdicts. Unknown is a state of its own, never read as healthy.
const (
	Reachable        VerdictKind = "Reachable"
	LinkDown         VerdictKind = "LinkDown"
	GatewayDown      VerdictKind = "GatewayDown"
	ControlPlaneDown VerdictKind = "ControlPlaneDown"
	ClusterDown      VerdictKind = "ClusterDown"
	Draining         VerdictKind = "Draining"
	Unknown          VerdictKind = "Unknown"
)

// Verdict is a conclusion with its cause and its age.
type Verdict struct {
	Kind VerdictKind
	// Cause says in one sentence which witnesses led to it.
	Cause string
	// Age is how long the verdict has stood, on this cluster's monotonic clock.
	Age time.Duration
	// ProofAge is how old the newest evidence behind it is.
	ProofAge time.Duration
	// RTT is the smoothed round-trip time to the cluster's gateways; 0 is unmeasured.
	RTT time.Duration
}

// Carries says whether bytes can be expected to arrive: the data path has a proof.
func (k VerdictKind) Carries() bool { return k == Reachable || k == ControlPlaneDown }

// Dead says whether the data path is known to be broken.
func (k VerdictKind) Dead() bool {
	return k == LinkDown || k == GatewayDown || k == ClusterDown
}
