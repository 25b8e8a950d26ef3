package federation

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
