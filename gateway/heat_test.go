package gateway

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

func TestTiersUpToTheFirstThatIsReachedAreHot(t *testing.T) {
	tier := func(names ...federation.ClusterName) (out routing.Tier) {
		for _, n := range names {
			out.Targets = append(out.Targets, routing.Target{Cluster: n})
		}
		return out
	}
	table := &routing.Table{Self: "home", Routes: map[federation.ServicePort]routing.Route{
		{Port: 1}: {Tiers: []routing.Tier{tier("a", "b"), tier("c"), tier("d")}},
		{Port: 2}: {Tiers: []routing.Tier{tier("home"), tier("e")}},
	}}
	type set = map[federation.ClusterName]bool
	for name, c := range map[string]struct{ up, want set }{
		"all up":             {set{"a": true, "b": true, "c": true, "d": true}, set{"a": true, "b": true, "home": true}},
		"one of a tier down": {set{"b": true, "c": true}, set{"a": true, "b": true, "home": true}},
		"first tier down":    {set{"c": true, "d": true}, set{"a": true, "b": true, "c": true, "home": true}},
		"all down":           {set{}, set{"a": true, "b": true, "c": true, "d": true, "home": true}},
	} {
		if diff := cmp.Diff(c.want, hot(table, c.up)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
