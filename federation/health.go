package federation

import (
	"slices"
	"time"
)

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
	// Capacity, Load, Errors and Zones are as in Health.
	Capacity     uint32
	Load, Errors Measure
	Zones        []ZoneCount
}

// Health is how one exported service port fares, in counts and not addresses.
type Health struct {
	// Ready and Total count endpoints; Ready is at most Total.
	Ready, Total uint32
	// Capacity is the weight of what is ready: its endpoints, or their sum of the weight
	// that the export states for one. Comparable between clusters only by agreement; 0 is
	// unknown, and unknown never sheds.
	Capacity uint32
	// Load is the part in use of the connections that the ready endpoints bear, if the
	// export states how many one does; above 1000 it has more. Errors is the part of the
	// peers' streams of the last 10 s that failed at our endpoints.
	Load, Errors Measure
	// Zones splits the counts by zone: by name, at most MaxZones. Empty is unknown.
	Zones []ZoneCount
}

// MaxZones bounds the zones of one record; the last ones by name are left out.
const MaxZones = 16

// Measure is a part in thousandths that may not have been measured. The zero value
// is "not measured", never 0 per mille.
type Measure struct {
	Known    bool
	PerMille uint16
}

// Worse is the larger of two measures; what is not known counts least.
func (m Measure) Worse(o Measure) Measure {
	if o.Known && (!m.Known || o.PerMille > m.PerMille) {
		return o
	}
	return m
}

// ZoneCount is the part of a service port's endpoints that stands in one zone.
type ZoneCount struct {
	Zone         Zone
	Ready, Total uint32
}

// Equal compares all that is said.
func (h Health) Equal(o Health) bool {
	return h.SameCounts(o) && h.Load == o.Load && h.Errors == o.Errors
}

// SameCounts compares what is told at once; Load and Errors wait for the next beat.
func (h Health) SameCounts(o Health) bool {
	return h.Ready == o.Ready && h.Total == o.Total && h.Capacity == o.Capacity && slices.Equal(h.Zones, o.Zones)
}

// Record is the health as cluster's word on port.
func (h Health) Record(c ClusterName, p ServicePort, v Version) HealthRecord {
	return HealthRecord{
		Cluster: c, Port: p, Version: v, Ready: h.Ready, Total: h.Total,
		Capacity: h.Capacity, Load: h.Load, Errors: h.Errors, Zones: h.Zones,
	}
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
	// Reason is the cause in one CamelCase word, for metrics and programs; the words are
	// listed in federation/liveness.
	Reason string
	// Cause says in one sentence which witnesses led to it.
	Cause string
	// Age is how long the verdict has stood, on this cluster's monotonic clock.
	Age time.Duration
	// ProofAge is how old the newest evidence behind it is.
	ProofAge time.Duration
	// RTT is the smoothed round-trip time to the cluster's gateways; 0 is unmeasured.
	RTT time.Duration
	// Jitter is RTT's smoothed deviation; Loss the part of segments on the way there that
	// had to be sent again, 0 to 1. Both belong to the nearest gateway.
	Jitter time.Duration
	Loss   float64
	// Agree is how many clusters, ours included, find the data path to it dead; Of is how
	// many there are beside it. Clusters that say nothing, or said it long ago, do not
	// agree. For policies that withdraw with a quorum.
	Agree, Of int
}

// Quorum says whether more than half of the clusters beside it find it dead.
func (v Verdict) Quorum() bool { return 2*v.Agree > v.Of }

// Carries says whether bytes can be expected to arrive: the data path has a proof.
func (k VerdictKind) Carries() bool { return k == Reachable || k == ControlPlaneDown }

// Dead says whether the data path is known to be broken.
func (k VerdictKind) Dead() bool {
	return k == LinkDown || k == GatewayDown || k == ClusterDown
}
