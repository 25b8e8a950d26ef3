package federation

import "strings"

// The protocols that share the gateway's one port, told apart by ALPN. The
// number is the wire version: a peer that knows only another one is refused in
// the handshake, before any byte is misread.
const (
	// ALPNTunnel is the data tunnel between two gateways, terminated by them.
	ALPNTunnel = "causeway-tunnel/1"
	// ALPNGossip is the stream between two operators, passed through unread by the
	// gateway to the operator that the SNI names.
	ALPNGossip = "causeway-gossip/1"
	// ALPNFeed is the route feed between a cluster's operator and its gateways
	// (gRPC, inside the cluster only, on the operator's own port).
	ALPNFeed = "h2"
)

const serverNameSuffix = ".causeway.internal"

// GatewayServerName is the SNI under which a cluster's gateways are dialled.
func GatewayServerName(federation string, c ClusterName) string {
	return string(c) + ".gateway." + federation + serverNameSuffix
}

// SeatServerName is the SNI of a cluster's seat in the gossip: whichever
// operator replica leads answers to it.
func SeatServerName(federation string, c ClusterName) string {
	return string(c) + ".seat." + federation + serverNameSuffix
}

// SeatOf tells which cluster's seat a server name asks for. It is exact: other
// suffixes, upper case and trailing dots are not a seat.
func SeatOf(federation, serverName string) (ClusterName, bool) {
	c, ok := strings.CutSuffix(serverName, ".seat."+federation+serverNameSuffix)
	if !ok || c == "" || strings.Contains(c, ".") {
		return "", false
	}
	return ClusterName(c), true
}
