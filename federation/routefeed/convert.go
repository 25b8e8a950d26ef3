package routefeed

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	pb "github.com/causeway-mesh/causeway/federation/routefeed/feedpb"
	"github.com/causeway-mesh/causeway/federation/routing"
)

func versionToPB(v routing.TableVersion) *pb.TableVersion {
	return &pb.TableVersion{Epoch: v.Epoch, Feeder: v.Feeder, Sequence: v.Sequence}
}

func versionFromPB(v *pb.TableVersion) routing.TableVersion {
	return routing.TableVersion{Epoch: v.GetEpoch(), Feeder: v.GetFeeder(), Sequence: v.GetSequence()}
}

func portToPB(p federation.ServicePort) *pb.ServicePort {
	return &pb.ServicePort{Namespace: p.Service.Namespace, Name: p.Service.Name, Port: uint32(p.Port)}
}

// portFromPB rejects what no Service can have, so that a number can't wrap.
func portFromPB(p *pb.ServicePort) (federation.ServicePort, error) {
	n, err := port16(p.GetPort())
	if err != nil {
		return federation.ServicePort{}, fmt.Errorf("service %s/%s: %w", p.GetNamespace(), p.GetName(), err)
	}
	return federation.ServicePort{
		Service: federation.ServiceName{Namespace: p.GetNamespace(), Name: p.GetName()},
		Port:    n,
	}, nil
}

func port16(n uint32) (uint16, error) {
	if n == 0 || n > 65535 {
		return 0, fmt.Errorf("port %d is out of range", n)
	}
	return uint16(n), nil
}

func peerToPB(p routing.Peer) *pb.Peer {
	out := &pb.Peer{Cluster: string(p.Cluster), Region: string(p.Region), TrustDomain: string(p.TrustDomain)}
	for _, g := range p.Gateways {
		out.Gateways = append(out.Gateways, &pb.GatewayAddress{Instance: g.Instance, Address: g.Address})
	}
	return out
}

func peerFromPB(p *pb.Peer) routing.Peer {
	out := routing.Peer{
		Cluster: federation.ClusterName(p.GetCluster()), Region: federation.Region(p.GetRegion()),
		TrustDomain: federation.TrustDomain(p.GetTrustDomain()),
	}
	for _, g := range p.GetGateways() {
		out.Gateways = append(out.Gateways, federation.GatewayAddress{Instance: g.GetInstance(), Address: g.GetAddress()})
	}
	return out
}

func routeToPB(r routing.Route) *pb.Route {
	out := &pb.Route{
		Port: portToPB(r.Port), EgressPort: uint32(r.EgressPort), AppProtocol: r.AppProtocol,
		EarlyData: r.EarlyData, Rule: r.Rule,
	}
	for _, t := range r.Tiers {
		tier := &pb.Tier{Region: string(t.Region)}
		for _, g := range t.Targets {
			tier.Targets = append(tier.Targets, &pb.Target{Cluster: string(g.Cluster), Weight: g.Weight, LastResort: g.LastResort})
		}
		out.Tiers = append(out.Tiers, tier)
	}
	return out
}

func routeFromPB(r *pb.Route) (routing.Route, error) {
	port, err := portFromPB(r.GetPort())
	if err != nil {
		return routing.Route{}, err
	}
	egress, err := port16(r.GetEgressPort())
	if err != nil {
		return routing.Route{}, fmt.Errorf("egress port of %s: %w", port, err)
	}
	out := routing.Route{
		Port: port, EgressPort: egress, AppProtocol: r.GetAppProtocol(),
		EarlyData: r.GetEarlyData(), Rule: r.GetRule(),
	}
	for _, t := range r.GetTiers() {
		tier := routing.Tier{Region: federation.Region(t.GetRegion())}
		for _, g := range t.GetTargets() {
			tier.Targets = append(tier.Targets, routing.Target{
				Cluster: federation.ClusterName(g.GetCluster()), Weight: max(1, g.GetWeight()), LastResort: g.GetLastResort(),
			})
		}
		out.Tiers = append(out.Tiers, tier)
	}
	return out, nil
}

func servedToPB(s routing.Served) *pb.Served {
	return &pb.Served{Port: portToPB(s.Port), Endpoints: s.Endpoints}
}

func servedFromPB(s *pb.Served) (routing.Served, error) {
	port, err := portFromPB(s.GetPort())
	return routing.Served{Port: port, Endpoints: s.GetEndpoints()}, err
}

func operatorsToPB(ops []routing.Operator) []*pb.Operator {
	var out []*pb.Operator
	for _, o := range ops {
		out = append(out, &pb.Operator{Name: o.Name, GossipAddress: o.GossipAddress, Leader: o.Leader})
	}
	return out
}

func operatorsFromPB(ops []*pb.Operator) []routing.Operator {
	var out []routing.Operator
	for _, o := range ops {
		out = append(out, routing.Operator{Name: o.GetName(), GossipAddress: o.GetGossipAddress(), Leader: o.GetLeader()})
	}
	return out
}

func bundlesToPB(in map[federation.TrustDomain][]byte) map[string][]byte {
	out := make(map[string][]byte, len(in))
	for td, pem := range in {
		out[string(td)] = pem
	}
	return out
}

func bundlesFromPB(in map[string][]byte) map[federation.TrustDomain][]byte {
	out := make(map[federation.TrustDomain][]byte, len(in))
	for td, pem := range in {
		out[federation.TrustDomain(td)] = pem
	}
	return out
}

func tableToPB(t routing.Table) *pb.Table {
	out := &pb.Table{
		Version: versionToPB(t.Version), Self: string(t.Self), Federation: t.Federation,
		Bundles: bundlesToPB(t.Bundles), Operators: operatorsToPB(t.Operators),
	}
	for _, name := range slices.Sorted(maps.Keys(t.Peers)) {
		out.Peers = append(out.Peers, peerToPB(t.Peers[name]))
	}
	for _, r := range t.Routes {
		out.Routes = append(out.Routes, routeToPB(r))
	}
	for _, s := range t.Served {
		out.Served = append(out.Served, servedToPB(s))
	}
	return out
}

func tableFromPB(t *pb.Table) (routing.Table, error) {
	out := routing.Table{
		Version: versionFromPB(t.GetVersion()), Self: federation.ClusterName(t.GetSelf()), Federation: t.GetFederation(),
		Peers:   make(map[federation.ClusterName]routing.Peer, len(t.GetPeers())),
		Routes:  make(map[federation.ServicePort]routing.Route, len(t.GetRoutes())),
		Served:  make(map[federation.ServicePort]routing.Served, len(t.GetServed())),
		Bundles: bundlesFromPB(t.GetBundles()), Operators: operatorsFromPB(t.GetOperators()),
	}
	return out, fill(&out, t.GetPeers(), t.GetRoutes(), t.GetServed())
}

// fill adds entries to a table whose maps are the caller's own.
func fill(t *routing.Table, peers []*pb.Peer, routes []*pb.Route, served []*pb.Served) error {
	for _, p := range peers {
		peer := peerFromPB(p)
		t.Peers[peer.Cluster] = peer
	}
	for _, r := range routes {
		route, err := routeFromPB(r)
		if err != nil {
			return err
		}
		t.Routes[route.Port] = route
	}
	for _, s := range served {
		one, err := servedFromPB(s)
		if err != nil {
			return err
		}
		t.Served[one.Port] = one
	}
	return nil
}

func reportToPB(r routing.GatewayReport) *pb.Report {
	out := &pb.Report{
		Instance: r.Instance, Advertise: r.Advertise, Local: r.Local, Applied: versionToPB(r.Applied),
		Draining: r.Draining, TrustErrors: map[string]string{},
	}
	for _, p := range r.Paths {
		out.Paths = append(out.Paths, &pb.Path{
			Cluster: string(p.Cluster), Address: p.Address, State: string(p.State),
			RttUs: micros(p.RTT), SilenceUs: micros(p.Silence), Cause: p.Cause, Refused: p.Refused,
			JitterUs: micros(p.Jitter), LossPpm: ppm(p.Loss), Hung: p.Hung, Unheard: p.Unheard, Draining: p.Draining,
		})
	}
	for port, reason := range r.FailedPorts {
		out.FailedPorts = append(out.FailedPorts, &pb.FailedPort{Port: portToPB(port), Reason: reason})
	}
	for c, msg := range r.TrustErrors {
		out.TrustErrors[string(c)] = msg
	}
	out.Uses, out.Calls = usesToPB(r.Uses), callsToPB(r.Calls)
	return out
}

func callsToPB(calls map[federation.ServicePort]routing.PortCalls) *pb.Calls {
	if calls == nil {
		return nil
	}
	out := &pb.Calls{}
	for _, port := range slices.SortedFunc(maps.Keys(calls), federation.ServicePort.Compare) {
		c := calls[port]
		out.Ports = append(out.Ports, &pb.PortCalls{Port: portToPB(port), Outcomes: c.Outcomes, Failed: c.Failed, SlowestUs: micros(c.Slowest)})
	}
	return out
}

func callsFromPB(in *pb.Calls) (map[federation.ServicePort]routing.PortCalls, error) {
	if in == nil {
		return nil, nil
	}
	out := make(map[federation.ServicePort]routing.PortCalls, len(in.GetPorts()))
	for _, c := range in.GetPorts() {
		port, err := portFromPB(c.GetPort())
		if err != nil {
			return nil, err
		}
		out[port] = routing.PortCalls{
			Outcomes: c.GetOutcomes(), Failed: min(c.GetFailed(), c.GetOutcomes()),
			Slowest: time.Duration(min(c.GetSlowestUs(), maxSlowest)) * time.Microsecond, //nolint:gosec // bounded
		}
	}
	return out, nil
}

// maxSlowest, in microseconds, bounds what a gateway can claim: an hour.
const maxSlowest = 3_600_000_000

func usesToPB(uses map[federation.ServicePort]routing.PortUse) *pb.Uses {
	if uses == nil {
		return nil
	}
	out := &pb.Uses{}
	for _, port := range slices.SortedFunc(maps.Keys(uses), federation.ServicePort.Compare) {
		u := uses[port]
		out.Ports = append(out.Ports, &pb.PortUse{Port: portToPB(port), InFlight: u.InFlight, Ended: u.Ended, Failed: u.Failed})
	}
	return out
}

func usesFromPB(in *pb.Uses) (map[federation.ServicePort]routing.PortUse, error) {
	if in == nil {
		return nil, nil
	}
	out := make(map[federation.ServicePort]routing.PortUse, len(in.GetPorts()))
	for _, u := range in.GetPorts() {
		port, err := portFromPB(u.GetPort())
		if err != nil {
			return nil, err
		}
		out[port] = routing.PortUse{InFlight: u.GetInFlight(), Ended: u.GetEnded(), Failed: min(u.GetFailed(), u.GetEnded())}
	}
	return out, nil
}

func reportFromPB(r *pb.Report) (routing.GatewayReport, error) {
	out := routing.GatewayReport{
		Instance: r.GetInstance(), Advertise: r.GetAdvertise(), Local: r.GetLocal(),
		Applied: versionFromPB(r.GetApplied()), Draining: r.GetDraining(),
	}
	for _, p := range r.GetPaths() {
		out.Paths = append(out.Paths, routing.PathReport{
			Cluster: federation.ClusterName(p.GetCluster()), Address: p.GetAddress(), State: routing.PathState(p.GetState()),
			RTT: time.Duration(p.GetRttUs()) * time.Microsecond, Silence: time.Duration(p.GetSilenceUs()) * time.Microsecond,
			Cause: p.GetCause(), Refused: p.GetRefused(),
			Jitter: time.Duration(p.GetJitterUs()) * time.Microsecond, Loss: float64(min(p.GetLossPpm(), million)) / million,
			Hung: p.GetHung(), Unheard: p.GetUnheard(), Draining: p.GetDraining(),
		})
	}
	for _, f := range r.GetFailedPorts() {
		port, err := portFromPB(f.GetPort())
		if err != nil {
			return out, err
		}
		if out.FailedPorts == nil {
			out.FailedPorts = map[federation.ServicePort]string{}
		}
		out.FailedPorts[port] = f.GetReason()
	}
	for c, msg := range r.GetTrustErrors() {
		if out.TrustErrors == nil {
			out.TrustErrors = map[federation.ClusterName]string{}
		}
		out.TrustErrors[federation.ClusterName(c)] = msg
	}
	var errs [2]error
	out.Uses, errs[0] = usesFromPB(r.GetUses())
	out.Calls, errs[1] = callsFromPB(r.GetCalls())
	return out, errors.Join(errs[:]...)
}

func micros(d time.Duration) uint64 { return uint64(max(0, d).Microseconds()) }

const million = 1_000_000

func ppm(ratio float64) uint32 { return uint32(min(max(ratio, 0), 1) * million) }
