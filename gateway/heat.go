package gateway

import (
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// heat makes the paths that traffic takes beat fast.
func (g *Gateway) heat() {
	up := map[federation.ClusterName]bool{}
	for _, v := range g.paths.Views() {
		up[v.Cluster] = up[v.Cluster] || v.State == routing.PathUp
	}
	g.paths.Heat(hot(g.Table(), up))
}

// hot are the clusters of each route's tiers up to the first one that can be
// reached: where traffic goes now, and where it would go if it came back.
func hot(t *routing.Table, up map[federation.ClusterName]bool) map[federation.ClusterName]bool {
	out := map[federation.ClusterName]bool{}
	for _, route := range t.Routes {
		for _, tier := range route.Tiers {
			reached := false
			for _, target := range tier.Targets {
				out[target.Cluster] = true
				reached = reached || target.Cluster == t.Self || up[target.Cluster]
			}
			if reached {
				break
			}
		}
	}
	return out
}
