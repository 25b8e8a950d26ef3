package gateway

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
	"github.com/causeway-mesh/causeway/gateway/tunnel"
)

func TestPathsAreHotWhereTrafficGoesAndSpareWhereItWouldGoNext(t *testing.T) {
	tier := func(names ...federation.ClusterName) (out routing.Tier) {
		for _, n := range names {
			out.Targets = append(out.Targets, routing.Target{Cluster: n})
		}
		return out
	}
	doubted := tier("f")
	doubted.Targets[0].LastResort = true
	table := &routing.Table{Self: "home", Routes: map[federation.ServicePort]routing.Route{
		{Port: 1}: {Tiers: []routing.Tier{tier("a", "b"), tier("c"), tier("d"), tier("e")}},
		{Port: 2}: {Tiers: []routing.Tier{tier("home"), tier("g"), tier("h")}},
		{Port: 3}: {Tiers: []routing.Tier{doubted, tier("g"), tier("a")}},
	}}
	const up, down, unknown = routing.PathUp, routing.PathDown, routing.PathUnknown
	type states = map[federation.ClusterName]routing.PathState
	type heats = map[federation.ClusterName]tunnel.Heat
	const hot, spare = tunnel.Hot, tunnel.Spare
	for name, c := range map[string]struct {
		states states
		want   heats
	}{
		"all up":             {states{"a": up, "b": up, "c": up, "d": up, "e": up, "f": up, "g": up, "h": up}, heats{"a": hot, "b": hot, "c": spare, "f": hot, "g": hot, "home": hot}},
		"no verdict yet":     {states{"a": unknown, "b": unknown, "c": unknown, "d": unknown, "g": unknown}, heats{"a": hot, "b": hot, "c": spare, "f": hot, "g": hot, "home": hot}},
		"one of a tier down": {states{"a": down, "b": up, "c": up, "g": up}, heats{"a": hot, "b": hot, "c": spare, "f": hot, "g": hot, "home": hot}},
		"first tier down":    {states{"a": down, "b": down, "c": up, "d": up, "g": up}, heats{"a": hot, "b": hot, "c": hot, "d": spare, "f": hot, "g": hot, "home": hot}},
		"next tier down":     {states{"a": up, "c": down, "d": up, "e": up, "g": up}, heats{"a": hot, "b": hot, "c": spare, "d": spare, "f": hot, "g": hot, "home": hot}},
		"all down":           {states{}, heats{"a": hot, "b": hot, "c": hot, "d": hot, "e": hot, "f": hot, "g": hot, "h": spare, "home": hot}},
	} {
		if diff := cmp.Diff(c.want, heatOf(table, c.states)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
