package routefeed

import (
	"bytes"
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/causeway-mesh/causeway/federation"
	pb "github.com/causeway-mesh/causeway/federation/routefeed/feedpb"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// errBase is returned by apply when the delta was made for another table.
var errBase = errors.New("delta is based on a table that is not the one held")

// diff returns what turns base into next. Both must be of one cluster.
func diff(base, next routing.Table) *pb.Delta {
	d := &pb.Delta{Base: versionToPB(base.Version), Version: versionToPB(next.Version)}
	for name, p := range next.Peers {
		if old, ok := base.Peers[name]; !ok || !equalPeer(old, p) {
			d.Peers = append(d.Peers, peerToPB(p))
		}
	}
	for name := range base.Peers {
		if _, ok := next.Peers[name]; !ok {
			d.RemovedPeers = append(d.RemovedPeers, string(name))
		}
	}
	for port, r := range next.Routes {
		if old, ok := base.Routes[port]; !ok || !reflect.DeepEqual(old, r) {
			d.Routes = append(d.Routes, routeToPB(r))
		}
	}
	d.RemovedRoutes = removed(base.Routes, next.Routes)
	for port, s := range next.Served {
		if old, ok := base.Served[port]; !ok || !slices.Equal(old.Endpoints, s.Endpoints) {
			d.Served = append(d.Served, servedToPB(s))
		}
	}
	d.RemovedServed = removed(base.Served, next.Served)
	if !slices.Equal(base.Operators, next.Operators) || !maps.EqualFunc(base.Bundles, next.Bundles, bytes.Equal) {
		d.ReplaceRest = true
		d.Operators, d.Bundles = operatorsToPB(next.Operators), bundlesToPB(next.Bundles)
	}
	return d
}

func equalPeer(a, b routing.Peer) bool {
	return a.Cluster == b.Cluster && a.Region == b.Region && a.TrustDomain == b.TrustDomain && slices.Equal(a.Gateways, b.Gateways)
}

func removed[V any](base, next map[federation.ServicePort]V) []*pb.ServicePort {
	var out []*pb.ServicePort
	for port := range base {
		if _, ok := next[port]; !ok {
			out = append(out, portToPB(port))
		}
	}
	return out
}

// apply returns base with the delta on it; base itself is not touched.
func apply(base routing.Table, d *pb.Delta) (routing.Table, error) {
	if versionFromPB(d.GetBase()) != base.Version {
		return base, errBase
	}
	next := base
	next.Version = versionFromPB(d.GetVersion())
	next.Peers, next.Routes, next.Served = maps.Clone(base.Peers), maps.Clone(base.Routes), maps.Clone(base.Served)
	for _, name := range d.GetRemovedPeers() {
		delete(next.Peers, federation.ClusterName(name))
	}
	for _, p := range d.GetRemovedRoutes() {
		if port, err := portFromPB(p); err == nil {
			delete(next.Routes, port)
		}
	}
	for _, p := range d.GetRemovedServed() {
		if port, err := portFromPB(p); err == nil {
			delete(next.Served, port)
		}
	}
	if d.GetReplaceRest() {
		next.Operators, next.Bundles = operatorsFromPB(d.GetOperators()), bundlesFromPB(d.GetBundles())
	}
	if err := fill(&next, d.GetPeers(), d.GetRoutes(), d.GetServed()); err != nil {
		return base, err
	}
	return next, nil
}
