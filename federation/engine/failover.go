package engine

import (
	"cmp"
	"slices"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// failover is one move of an imported port's traffic, as the operator decided it.
type failover struct {
	port     federation.ServicePort
	from, to federation.ClusterName
	// cause is the verdict's reason on the cluster that was left, or routing's, or
	// Preferred when a better one has come (back).
	cause string
}

// causePreferred: the cluster that was left is as good as it was.
const causePreferred = "Preferred"

// failovers remembers where each port's traffic went. The zero value remembers nothing.
type failovers struct {
	winners map[federation.ServicePort]federation.ClusterName
}

// note compares decisions with the last ones. A port's first winner is no failover,
// nor is having none.
func (f *failovers) note(decisions map[federation.ServicePort]routing.Decision) []failover {
	var out []failover
	next := make(map[federation.ServicePort]federation.ClusterName, len(decisions))
	for port, d := range decisions {
		from := f.winners[port]
		w, ok := d.Winner()
		if !ok {
			next[port] = from // the next winner takes over from the last one
			continue
		}
		next[port] = w.Cluster
		if from != "" && from != w.Cluster {
			out = append(out, failover{port, from, w.Cluster, whyLeft(d, from)})
		}
	}
	if decisions != nil {
		f.winners = next
	}
	slices.SortFunc(out, func(a, b failover) int { return cmp.Compare(a.port.String(), b.port.String()) })
	return out
}

func whyLeft(d routing.Decision, from federation.ClusterName) string {
	for _, c := range d.Candidates {
		switch {
		case c.Cluster != from:
		case c.Verdict.Kind.Dead() || c.Verdict.Kind == federation.Draining:
			return string(c.Verdict.Kind)
		case !c.In:
			return string(c.Reason)
		default:
			return causePreferred
		}
	}
	return string(routing.ReasonWithdrawn)
}
