package federation

import (
	"slices"
	"time"
)

// Member is one cluster's registration in the federation: durable, in the
// policy store, written by the cluster itself.
type Member struct {
	Name         ClusterName
	Region       Region
	Zone         Zone
	Jurisdiction Jurisdiction
	TrustDomain  TrustDomain
	// InstanceID is the UID of the cluster's kube-system namespace. It tells two
	// clusters apart that claim one name.
	InstanceID string
	// Gateways are the advertised addresses of the cluster's gateway replicas, at
	// most MaxGatewaysPerCluster, ordered by Instance.
	Gateways []GatewayAddress
	// APIServerLost: the cluster's leader says that its API server does not answer. It
	// goes on carrying, speaking and feeding on what it last knew.
	APIServerLost bool
}

// GatewayAddress is where one gateway replica takes connections from peers.
type GatewayAddress struct {
	Instance string // the replica's name (its pod's); unique in its cluster
	Address  string // "host:port", reachable from every other member
}

// MaxGatewaysPerCluster bounds how many gateway replicas a cluster advertises;
// more are ignored and reported.
const MaxGatewaysPerCluster = 16

// Export is one cluster's signed word that a service may be reached from the
// federation (a ServiceExport that passed validation).
type Export struct {
	Cluster ClusterName
	Service ServiceName
	Ports   []ExportedPort
	// Order is the place in the global order that the store gave this export at
	// its first publication. The lowest Order decides a conflict between exports
	// of one service (KEP-1645's "oldest wins", without comparing clocks).
	Order uint64
	// EarlyData says that the service's first bytes may be sent, and after a
	// failure be sent again elsewhere, before a remote endpoint has accepted.
	EarlyData bool
	Headless  bool
}

// ExportedPort is one port of an exported service.
type ExportedPort struct {
	Name        string
	Port        uint16
	Protocol    Protocol
	AppProtocol string
}

// Protocol is a transport protocol as Kubernetes writes it.
type Protocol string

// The protocols that a Service port can have. Causeway carries TCP; the others
// are refused with a condition, never silently dropped.
const (
	TCP  Protocol = "TCP"
	UDP  Protocol = "UDP"
	SCTP Protocol = "SCTP"
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

// Policy is a RoutingPolicy as the policy store holds it.
type Policy struct {
	ID PolicyID
	// Targets are the services it speaks of, all in the policy's namespace.
	Targets []ServiceName
	// Regions is the order of preference, first is best. A consumer's own region
	// has no privilege beyond its place in the list.
	Regions []Region
	// OnPartition says what becomes of a target whose data path is dead.
	OnPartition PartitionPolicy
	// MaxRecordAge is how old a cluster's health record may be for it to stay a target;
	// 0 is no bound: an old record counts until its owner says otherwise.
	MaxRecordAge time.Duration
	// Order is the place in the global order; the lowest wins a conflict.
	Order uint64
	// Revision is the store's revision of the last change.
	Revision uint64
	// Generation is the origin object's metadata.generation at publication.
	Generation int64
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
func (p Policy) SameRules(o Policy) bool {
	return slices.Equal(p.Regions, o.Regions) && p.OnPartition.Or() == o.OnPartition.Or() && p.MaxRecordAge == o.MaxRecordAge
}
