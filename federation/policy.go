package federation

import (
	"slices"
	"time"
)

// PolicyID names a policy by the cluster that authored it and the name it has there.
type PolicyID struct {
	Origin    ClusterName
	Namespace string
	Name      string
}

func (p PolicyID) String() string {
	return string(p.Origin) + ":" + p.Namespace + "/" + p.Name
}

// Policy is a RoutingPolicy as the policy store holds it: its newest version, and what it
// takes to fall back to earlier ones. Which version is in force in a cluster is said by
// federation/rollout.
type Policy struct {
	ID PolicyID
	PolicyVersion
	// Observed is the newest generation of the origin's object, which asks the same as
	// the newest version.
	Observed int64
	// Order is the place in the global order; the lowest wins a conflict.
	Order uint64
	// Revision is the store's revision of the last change.
	Revision uint64
	// Rollout says how a change comes into force; nil is everywhere at once.
	Rollout *RolloutPlan
	// Undo is the generation of History that the author has gone back to by hand; 0 is
	// none. It ends with the next generation.
	Undo int64
	// Hold is set while the author wants no further wave to begin.
	Hold bool
	// History are the versions before the newest, newest first, at most
	// MaxPolicyHistory.
	History []PolicyVersion
}

// MaxPolicyHistory bounds the earlier versions that are kept of a policy.
const MaxPolicyHistory = 10

// PolicyVersion is what a policy asked for at one time.
type PolicyVersion struct {
	// Generation is the origin object's metadata.generation when this was first asked. It
	// tells versions apart, and is never compared between clusters.
	Generation int64
	// Targets are the services it speaks of, all in the policy's namespace.
	Targets []ServiceName
	Rules
}

// Rules are what a policy asks of its targets.
type Rules struct {
	// Regions is the order of preference, first is best. A consumer's own region
	// has no privilege beyond its place in the list.
	Regions []Region
	// OnPartition says what becomes of a target whose data path is dead.
	OnPartition PartitionPolicy
	// MaxRecordAge is how old a cluster's health record may be for it to stay a target;
	// 0 is no bound: an old record counts until its owner says otherwise.
	MaxRecordAge time.Duration
}

// PartitionPolicy is what becomes of a target whose data path is dead: LinkDown,
// GatewayDown or ClusterDown, whatever its owner says.
type PartitionPolicy string

// The partition policies. None of them keeps a gateway from going round a tunnel that
// it finds dead itself.
const (
	// PartitionKeep leaves it in its place.
	PartitionKeep PartitionPolicy = "Keep"
	// PartitionDemote tries it last. The default: an empty PartitionPolicy is read so.
	PartitionDemote PartitionPolicy = "Demote"
	// PartitionWithdraw takes it out, be it the last one.
	PartitionWithdraw PartitionPolicy = "Withdraw"
	// PartitionWithdrawWithQuorum takes it out once more than half of the clusters beside
	// it find it dead, and tries it last until then.
	PartitionWithdrawWithQuorum PartitionPolicy = "WithdrawWithQuorum"
)

// Or is p, or the default.
func (p PartitionPolicy) Or() PartitionPolicy {
	if p == "" {
		return PartitionDemote
	}
	return p
}

// SameRules says whether two policies ask the same of a target, so that their authors
// are co-authors.
func (r Rules) SameRules(o Rules) bool {
	return slices.Equal(r.Regions, o.Regions) && r.OnPartition.Or() == o.OnPartition.Or() && r.MaxRecordAge == o.MaxRecordAge
}

// Same says whether two versions ask the same of the same targets.
func (v PolicyVersion) Same(o PolicyVersion) bool {
	return slices.Equal(v.Targets, o.Targets) && v.SameRules(o.Rules)
}

// RolloutPlan is how a change of a policy comes into force: in waves, each watched for a
// while before the next begins.
type RolloutPlan struct {
	// Waves come one after the other, at most MaxWaves. Clusters that none of them names
	// are one more, the last.
	Waves []Wave
	// Bake is how long a wave is watched before the next begins; at least 0.
	Bake time.Duration
	// MaxErrors is the part of the streams to the policy's targets that may fail in the
	// clusters that have the new version, while it is rolled out; not Known is no gate.
	MaxErrors Measure
	// MaxLatency is how long a connection to a target may take to be accepted, p99, in
	// the clusters that have the new version; 0 is no gate.
	MaxLatency time.Duration
}

// MaxWaves bounds the waves of one plan.
const MaxWaves = 16

// Wave names clusters, by region or by name.
type Wave struct {
	Regions  []Region
	Clusters []ClusterName
}

// Has says whether a wave names a cluster.
func (w Wave) Has(m Member) bool {
	return slices.Contains(w.Clusters, m.Name) || slices.Contains(w.Regions, m.Region)
}

// Rollout is how far a change of a policy has come. One coordinator at a time writes it.
type Rollout struct {
	Policy PolicyID
	// To is the generation that is being brought into force, From the one that holds
	// where it has not come yet; 0 is none: there the policy does not hold yet.
	To, From int64
	Phase    RolloutPhase
	// Wave counts from 0: the clusters of it and of those before have To. It may be as
	// high as the number of planned waves: the clusters that none of them names.
	Wave int
	// Reason says in one CamelCase word why the phase is what it is, Message in a
	// sentence.
	Reason, Message string
	// Coordinator is the cluster that wrote it.
	Coordinator ClusterName
	// Revision is the store's revision of the last change.
	Revision uint64
}

// RolloutPhase is how a rollout stands.
type RolloutPhase string

// The phases. Completed and RolledBack are final for one generation.
const (
	RolloutProgressing RolloutPhase = "Progressing"
	RolloutPaused      RolloutPhase = "Paused"
	RolloutCompleted   RolloutPhase = "Completed"
	RolloutRolledBack  RolloutPhase = "RolledBack"
)

// Presence is a cluster's sign of life in the policy store. It goes with its lease.
type Presence struct {
	Cluster ClusterName
	// Applied is the store's revision that the cluster's route table stands for.
	Applied uint64
	// Calls is what became lately of its clients' calls to services whose policies are
	// being rolled out, at most MaxPresenceCalls.
	Calls []ServiceCalls
}

// MaxPresenceCalls bounds the services of one Presence.
const MaxPresenceCalls = 64

// ServiceCalls is what became of one cluster's calls to one service lately.
type ServiceCalls struct {
	Service ServiceName
	// Errors is the part that nobody took or that broke, of the port that fared worst.
	Errors Measure
	// Latency is how long acceptance took, p99, at the slowest port and gateway; 0 is
	// unknown.
	Latency time.Duration
}
