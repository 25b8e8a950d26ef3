package engine

import (
	"cmp"
	"slices"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/liveness"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// ownLegs are the ways from our cluster, by the peer's name: of several gateways the
// nearest that answers counts, as in verdicts.
func (e *Engine) ownLegs(now time.Duration) []federation.Leg {
	var out []federation.Leg
	for name := range e.state.Members {
		if name == e.settings.Cluster {
			continue
		}
		if paths := e.paths(name, now); len(paths) > 0 {
			out = append(out, leg(e.settings.Cluster, name, paths))
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

// allLegs are ours and what others have told, by both ends. What others say of a way
// that is ours to measure is left out, and so is what ends at no member.
func allLegs(self federation.ClusterName, members map[federation.ClusterName]federation.Member, own, told []federation.Leg) []federation.Leg {
	out := slices.Clone(own)
	for _, l := range told {
		_, from := members[l.From]
		if _, to := members[l.To]; from && to && l.From != self {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, compareLegs)
	return out
}

func compareLegs(a, b federation.Leg) int {
	return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
}
