package gateway

import (
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
	"github.com/causeway-mesh/causeway/gateway/tunnel"
)

// heat tells the paths what traffic wants them for. A table and paths that change at the
// same moment take turns, so that the last word is said with the last state in view.
func (g *Gateway) heat() {
	g.heating.Lock()
	defer g.heating.Unlock()
	g.paths.Heat(heatOf(g.Table(), g.paths.States()))
}

// heatOf finds each route's clusters hot up to the first tier that can be reached: where
// traffic goes now, and where it would go if it came back. Those behind it are spare, up
// to the next one that can be reached: where traffic would go next. A path without a
// verdict counts as one that can be reached, for it will have one in a moment.
func heatOf(t *routing.Table, states map[federation.ClusterName]routing.PathState) map[federation.ClusterName]tunnel.Heat {
	out := map[federation.ClusterName]tunnel.Heat{}
	for _, route := range t.Routes {
		heat := tunnel.Hot
		for _, tier := range route.Tiers {
			reached := false
			for _, target := range tier.Targets {
				out[target.Cluster] = max(out[target.Cluster], heat)
				state, known := states[target.Cluster]
				alive := target.Cluster == t.Self || known && state != routing.PathDown
				reached = reached || alive && !target.LastResort
			}
			if !reached {
				continue
			}
			if heat == tunnel.Spare {
				break
			}
			heat = tunnel.Spare
		}
	}
	return out
}
