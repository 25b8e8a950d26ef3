package plan

import (
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// Shares are parts of a service's new connections, 0 to 1, by the region that takes them.
// They add up to 1, or to less where there are consumers without a target.
type Shares map[federation.Region]float64

// shares predicts where one consumer's new connections go: to the first tier that has a
// target which is more than a last resort, by weight; without one, to the first tier.
func shares(members map[federation.ClusterName]federation.Member, tiers []routing.Tier) Shares {
	targets := best(tiers)
	var sum float64
	for _, t := range targets {
		sum += float64(max(1, t.Weight))
	}
	out := Shares{}
	for _, t := range targets {
		out[members[t.Cluster].Region] += float64(max(1, t.Weight)) / sum
	}
	return out
}

// best are the targets that new connections are tried at first.
func best(tiers []routing.Tier) []routing.Target {
	for _, tier := range tiers {
		var good []routing.Target
		for _, t := range tier.Targets {
			if !t.LastResort {
				good = append(good, t)
			}
		}
		if len(good) > 0 {
			return good
		}
	}
	if len(tiers) > 0 {
		return tiers[0].Targets
	}
	return nil
}

// mean weighs all consumers equally: nobody tells how much each one calls.
func mean(each []Shares) Shares {
	out := Shares{}
	for _, s := range each {
		for region, part := range s {
			out[region] += part / float64(len(each))
		}
	}
	return out
}

// negligible is what rounding may leave of a share.
const negligible = 1e-9

// Moved is the part of the connections that goes elsewhere, 0 to 1.
func Moved(before, after Shares) float64 {
	var lost, won float64
	for region, part := range before {
		lost += max(0, part-after[region])
	}
	for region, part := range after {
		won += max(0, part-before[region])
	}
	if moved := max(lost, won); moved > negligible {
		return min(1, moved)
	}
	return 0
}
