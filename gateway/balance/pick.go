package balance

import (
	"cmp"
	"slices"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// Candidate is one place to try.
type Candidate struct {
	Cluster federation.ClusterName
	// Gateway is the peer gateway; its zero value with Local set means that the
	// cluster is our own and its endpoints are dialled directly.
	Gateway federation.GatewayAddress
	Local   bool
	// LastResort is set when only the lack of anything better justifies the try.
	LastResort bool
}

// Path is what is known of one peer gateway.
type Path struct {
	State    routing.PathState
	Draining bool
	InFlight int
}

// Input is what a pick depends on.
type Input struct {
	Self  federation.ClusterName
	Route routing.Route
	Peers map[federation.ClusterName]routing.Peer
	// Path tells the state of a peer gateway.
	Path func(federation.ClusterName, federation.GatewayAddress) Path
	// Random returns a number in [0, n).
	Random func(n uint64) uint64
}

// The ranks of a candidate, best first. Within a rank the tiers decide.
const (
	usable     = iota
	lastResort // the table doubts it, our own evidence does not
	down       // our own evidence is against it
	downLastResort
	ranks
)

// Order lists all candidates of a route, best first.
func Order(in Input) []Candidate {
	var byRank [ranks][]Candidate
	for _, tier := range in.Route.Tiers {
		for _, target := range shuffle(tier.Targets, in.Random) {
			for _, g := range in.gateways(target) {
				byRank[g.rank] = append(byRank[g.rank], g.Candidate)
			}
		}
	}
	return slices.Concat(byRank[:]...)
}

// shuffle orders a tier's targets at random, each time the next one with a
// probability in proportion to its weight.
func shuffle(targets []routing.Target, random func(uint64) uint64) []routing.Target {
	rest := slices.Clone(targets)
	for i := range rest {
		var sum uint64
		for _, t := range rest[i:] {
			sum += weight(t)
		}
		r := random(sum)
		for j := i; j < len(rest); j++ {
			if w := weight(rest[j]); r >= w {
				r -= w
				continue
			}
			chosen := rest[j]
			rest = slices.Insert(slices.Delete(rest, j, j+1), i, chosen)
			break
		}
	}
	return rest
}

func weight(t routing.Target) uint64 { return uint64(max(t.Weight, 1)) }

type ranked struct {
	Candidate
	rank, health, load int
}

// gateways lists one target's gateways: those up first, then unknown ones, then
// draining ones; least streams in flight first, and from a random start where equal.
func (in Input) gateways(target routing.Target) []ranked {
	rank := usable
	if target.LastResort {
		rank = lastResort
	}
	if target.Cluster == in.Self {
		return []ranked{{Candidate: Candidate{Cluster: in.Self, Local: true, LastResort: target.LastResort}, rank: rank}}
	}
	gateways := in.Peers[target.Cluster].Gateways
	if len(gateways) == 0 {
		return nil
	}
	start := int(in.Random(uint64(len(gateways)))) //nolint:gosec // less than MaxGatewaysPerCluster
	var rs []ranked
	for i := range gateways {
		g := gateways[(start+i)%len(gateways)]
		path := in.Path(target.Cluster, g)
		r := ranked{Candidate: Candidate{Cluster: target.Cluster, Gateway: g, LastResort: target.LastResort},
			rank: rank, health: health(path), load: path.InFlight}
		if path.State == routing.PathDown {
			r.rank, r.LastResort = rank+down-usable, true
		}
		rs = append(rs, r)
	}
	slices.SortStableFunc(rs, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.health, b.health), cmp.Compare(a.load, b.load))
	})
	return rs
}

func health(p Path) int {
	switch {
	case p.Draining:
		return 2
	case p.State == routing.PathUp:
		return 0
	default:
		return 1
	}
}
