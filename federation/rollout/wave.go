package rollout

import (
	"slices"

	"github.com/causeway-mesh/causeway/federation"
)

// reach is the wave, from 0, in which a change comes to a cluster: the first that names
// it, or the one after all.
func reach(plan federation.RolloutPlan, m federation.Member) int {
	if i := slices.IndexFunc(plan.Waves, func(w federation.Wave) bool { return w.Has(m) }); i >= 0 {
		return i
	}
	return len(plan.Waves)
}

// waves counts them: those of the plan, and one more if it leaves clusters out.
func waves(plan federation.RolloutPlan, members map[federation.ClusterName]federation.Member) int {
	for _, m := range members {
		if reach(plan, m) == len(plan.Waves) {
			return len(plan.Waves) + 1
		}
	}
	return max(len(plan.Waves), 1)
}

// reached are the clusters of a wave and those before it, by name.
func reached(plan federation.RolloutPlan, wave int, members map[federation.ClusterName]federation.Member) []federation.ClusterName {
	var out []federation.ClusterName
	for name, m := range members {
		if reach(plan, m) <= wave {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// roll sorts clusters by what their presence says of a revision: it stands there, it is
// behind, or it has no presence and says nothing.
func roll(clusters []federation.ClusterName, presence map[federation.ClusterName]federation.Presence, revision uint64) (there, behind, absent []federation.ClusterName) {
	for _, name := range clusters {
		switch p, ok := presence[name]; {
		case !ok:
			absent = append(absent, name)
		case p.Applied < revision:
			behind = append(behind, name)
		default:
			there = append(there, name)
		}
	}
	return there, behind, absent
}
