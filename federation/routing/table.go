package routing

import (
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// Table is what a gateway needs to carry traffic with nobody to ask: for one
// consumer cluster, every import's targets in tiers, the peers to reach them
// through, and what this cluster itself serves to others. It is immutable once
// published.
type Table struct {
	// Version stamps the table: a gateway drops what is not newer.
	Version TableVersion
	// Self is the consumer cluster that the table was computed for.
	Self       federation.ClusterName
	Federation string
	// Peers are the other members, by name. A peer that is not here may neither
	// call this cluster nor be called.
	Peers map[federation.ClusterName]Peer
	// Routes are the imported service ports.
	Routes map[federation.ServicePort]Route
	// Served are the exported service ports of this cluster with their endpoints:
	// what the ingress may serve, and what a local target resolves to.
	Served map[federation.ServicePort]Served
	// Bundles are the PEM trust bundles of the members' trust domains, by trust
	// domain, never merged. A gateway adds them to the one that it was started with.
	Bundles map[federation.TrustDomain][]byte
	// Operators are this cluster's operator replicas: where the ingress passes
	// gossip streams on to.
	Operators []Operator
}

// TableVersion orders the tables that reach a gateway.
type TableVersion struct {
	Epoch    uint64 // the leader's fencing epoch
	Feeder   string // the operator replica that computed it
	Sequence uint64 // counts that feeder's tables, from 1
}

// Peer is another member as a gateway needs it.
type Peer struct {
	Cluster     federation.ClusterName
	Region      federation.Region
	TrustDomain federation.TrustDomain
	Gateways    []federation.GatewayAddress
}

// Operator is one operator replica of this cluster.
type Operator struct {
	Name          string
	GossipAddress string // "ip:port" inside the cluster
	Leader        bool
}

// Route is one imported service port.
type Route struct {
	Port federation.ServicePort
	// EgressPort is the gateway's listening port for it, allotted once.
	EgressPort  uint16
	AppProtocol string
	// EarlyData is set when every export of the service allows it (decision 9).
	EarlyData bool
	// Tiers are tried in order; a later one only when no earlier one has a usable
	// target. Targets of all tiers are distinct clusters.
	Tiers []Tier
	// Rule names what ordered the tiers: a policy's ID or "default".
	Rule string
}

// Tier is a set of targets that are equally good.
type Tier struct {
	Region  federation.Region
	Targets []Target
}

// Target is a cluster that serves the route.
type Target struct {
	Cluster federation.ClusterName
	// Weight is the target's share within its tier, at least 1: its ready endpoints.
	Weight uint32
	// LastResort marks a target whose data path is known to be dead or whose
	// health is unknown and old: kept so that a wrong verdict cannot remove the
	// last route (fail static), tried only when everything else is exhausted.
	LastResort bool
}

// Served is one exported service port of the own cluster.
type Served struct {
	Port federation.ServicePort
	// Endpoints are "ip:port" of ready endpoints, sorted. Empty is allowed: the
	// ingress answers NACK(NoEndpoint).
	Endpoints []string
}

// GatewayReport is what a gateway tells its operator: its own evidence.
type GatewayReport struct {
	Instance string // the replica's name
	// Advertise is where peers reach it ("host:port"); Local is the IP on which its
	// egress ports listen.
	Advertise string
	Local     string
	// Applied is the version of the table in force.
	Applied TableVersion
	// Paths is what the gateway's probes say of each peer gateway.
	Paths []PathReport
	// Ports are egress ports that could not be opened, with the reason.
	FailedPorts map[federation.ServicePort]string
	// Draining is set from SIGTERM on: no new clients should be sent here.
	Draining bool
	// TrustErrors maps peer clusters to the last identity error seen on dialling
	// them, e.g. a certificate from an unknown authority. Empty when there is none.
	TrustErrors map[federation.ClusterName]string
	// Uses is what goes on at the endpoints of our own cluster through this gateway; a
	// port that is not in it is at rest. Nil is unknown: a gateway that does not count.
	Uses map[federation.ServicePort]PortUse
	// Calls is what became of local clients' connections to imported services; a port
	// that is not in it was not called. Nil is unknown: a gateway that does not count.
	Calls map[federation.ServicePort]PortCalls
}

// PortCalls is one gateway's count of local clients' connections to one imported port,
// over the last UseWindow.
type PortCalls struct {
	// Outcomes are acceptances, refusals and breaks; Failed those that were none of the
	// client's doing and no acceptance.
	Outcomes, Failed uint32
	// Slowest is how long the acceptance took, p99, from the client's connection on; 0
	// while nothing was accepted.
	Slowest time.Duration
}

// UseWindow is how far back a PortUse or PortCalls counts outcomes.
const UseWindow = 10 * time.Second

// PortUse is one gateway's count at one service port of its own cluster.
type PortUse struct {
	// InFlight are the connections that endpoints hold now: peers' and local clients'.
	InFlight uint32
	// Ended are the peers' streams that came to an end within UseWindow, and Failed
	// those of them that no endpoint took, or that the endpoint reset; at most Ended.
	Ended, Failed uint32
}

// PathState is a gateway's own view of one peer gateway.
type PathState string

// The states of a path. PathUnknown is said until the first answer or refusal.
const (
	PathUp      PathState = "Up"
	PathDown    PathState = "Down"
	PathUnknown PathState = "Unknown"
)

// PathReport is one gateway's evidence on one peer gateway.
type PathReport struct {
	Cluster federation.ClusterName
	Address string
	State   PathState
	// RTT is smoothed; 0 is unmeasured.
	RTT time.Duration
	// Silence is how long ago the last sign of life was, as of the report.
	Silence time.Duration
	// Jitter is the smoothed deviation of RTT; 0 is unmeasured.
	Jitter time.Duration
	// Loss is the part of our segments to it that had to be sent again, 0 to 1, over
	// about the last 100 s of beats, as the kernel counts: the direction from us to it.
	Loss float64
	// Refused is set when the peer's host answered and refused: the host lives, its
	// gateway does not.
	Refused bool
	// Hung is set when the peer's host took the latest connection and its gateway said
	// nothing on it within the dial timeout.
	Hung bool
	// Unheard is set when the peer's own beats went on coming after it had stopped
	// answering ours: it does not hear us.
	Unheard bool
	// Draining is set when the peer gateway has said that it is going.
	Draining bool
	// Cause says why it is down: "silent for 612ms on 2 connections", "connection refused".
	Cause string
}
