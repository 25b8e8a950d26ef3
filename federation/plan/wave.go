package plan

import (
	"maps"
	"slices"

	"github.com/causeway-mesh/causeway/federation"
)

// Wave is one step of a rollout.
type Wave struct {
	// Clusters get the change in this step, by name: those that the wave names and no
	// earlier one did. None is a wave that names no (further) member.
	Clusters []federation.ClusterName
	// Rest marks the last step: the clusters that no wave names.
	Rest bool
}

// waves resolves a plan to the members as they are now; nil without a plan.
func (a atlas) waves(p *federation.RolloutPlan) []Wave {
	if p == nil {
		return nil
	}
	left := slices.Sorted(maps.Keys(a.Inputs.Members))
	var out []Wave
	for _, wave := range p.Waves {
		has := func(name federation.ClusterName) bool { return wave.Has(a.Inputs.Members[name]) }
		var step Wave
		for _, name := range left {
			if has(name) {
				step.Clusters = append(step.Clusters, name)
			}
		}
		left = slices.DeleteFunc(left, has)
		out = append(out, step)
	}
	if len(left) > 0 {
		out = append(out, Wave{Clusters: left, Rest: true})
	}
	return out
}
