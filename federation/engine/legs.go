package engine

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/liveness"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// ownLegs are the ways from our cluster, by the peer's name: of several gateways the
// nearest that answers counts, as in verdicts.
func (e *Engine) ownLegs(paths map[federation.ClusterName][]routing.PathReport) []federation.Leg {
	var out []federation.Leg
	for name := range e.state.Members {
		if name == e.settings.Cluster {
			continue
		}
		if reports := paths[name]; len(reports) > 0 {
			out = append(out, leg(e.settings.Cluster, name, reports))
		}
	}
	slices.SortFunc(out, compareLegs)
	return out
}

// leg sums up what our gateways say of one peer's. An answer has its age; that none
// comes is known as of now.
func leg(from, to federation.ClusterName, paths []routing.PathReport) federation.Leg {
	l := federation.Leg{From: from, To: to, Down: true}
	silence := time.Duration(-1)
	for _, p := range paths {
		up := p.State == routing.PathUp && p.Silence <= liveness.ProofMaxAge
		l.Up, l.Down = l.Up || up, l.Down && p.State == routing.PathDown
		l.Unheard = l.Unheard || p.Unheard
		if up && (silence < 0 || p.Silence < silence) {
			silence = p.Silence
		}
		if up && p.RTT > 0 && (l.RTT == 0 || p.RTT < l.RTT) {
			l.RTT, l.Jitter, l.Loss = p.RTT, p.Jitter, p.Loss
		}
	}
	l.Age, l.Unheard = max(0, silence), l.Unheard && l.Down
	return l
}

// matrixEvery is how often the matrix is put together: with 250 clusters it has 62,000
// legs, and those change slowly.
const matrixEvery = 2 * time.Second

// matrix is all ways between clusters as they were known a moment ago.
type matrix struct {
	legs []federation.Leg
	made time.Duration // 0 is never
}

// refresh makes the matrix anew when it is old.
func (m *matrix) refresh(now time.Duration, make func() []federation.Leg) {
	if m.made == 0 || now-m.made >= matrixEvery {
		m.legs, m.made = make(), max(now, 1)
	}
}

// allLegs are ours, what others have told, and for pairs whose round trip nobody has
// told what estimate says, by both ends. What others say of a way that is ours to
// measure is left out, and so is what ends at no member.
func allLegs(self federation.ClusterName, members map[federation.ClusterName]federation.Member, own, told []federation.Leg,
	estimate func(from, to federation.ClusterName) (time.Duration, bool),
) []federation.Leg {
	type pair struct{ from, to federation.ClusterName }
	byPair := make(map[pair]federation.Leg, len(own)+len(told))
	for _, l := range own {
		byPair[pair{l.From, l.To}] = l
	}
	for _, l := range told {
		_, from := members[l.From]
		if _, to := members[l.To]; from && to && l.From != self {
			byPair[pair{l.From, l.To}] = l
		}
	}
	for from := range members {
		for to := range members {
			l, known := byPair[pair{from, to}]
			if from == to || known && (l.RTT != 0 || l.Down) {
				continue
			}
			if rtt, ok := estimate(from, to); ok {
				l.From, l.To, l.RTT, l.Estimated = from, to, rtt, true
				byPair[pair{from, to}] = l
			}
		}
	}
	return slices.SortedFunc(maps.Values(byPair), compareLegs)
}

func compareLegs(a, b federation.Leg) int {
	return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
}

// noEstimate is for an engine without a seat.
func noEstimate(federation.ClusterName, federation.ClusterName) (time.Duration, bool) {
	return 0, false
}
