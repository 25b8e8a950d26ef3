package routing

import (
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// RuleDefault orders targets when no policy speaks of a service: the own cluster,
// the own region, then other regions by measured round trip.
const RuleDefault = "default: own cluster, own region, then by round trip"

// Reason says why a candidate is in or out.
type Reason string

// The reasons. The first four keep a candidate in.
const (
	ReasonHealthy          Reason = "Healthy"
	ReasonHealthUnknown    Reason = "HealthUnknown"    // exported, but its owner has not been heard yet
	ReasonPathDead         Reason = "PathDead"         // kept, by default as a last resort
	ReasonDraining         Reason = "Draining"         // kept as a last resort
	ReasonPartitioned      Reason = "Partitioned"      // its path is dead, and the policy withdraws it then
	ReasonRecordTooOld     Reason = "RecordTooOld"     // its owner has said nothing for longer than the policy allows
	ReasonNoReadyEndpoints Reason = "NoReadyEndpoints" // the owner says so
	ReasonWithdrawn        Reason = "Withdrawn"        // the owner has ended the export
	ReasonNotMember        Reason = "NotMember"
	ReasonHeadless         Reason = "Headless" // not carried by gateways
)

// Decision is the trace of one imported port: what Compute looked at and what
// came of it.
type Decision struct {
	Port     federation.ServicePort
	Consumer federation.ClusterName
	// Rule is the policy that ordered the candidates, or RuleDefault.
	Rule   string
	Policy federation.PolicyID // zero without a policy
	// OnPartition and MaxRecordAge are the policy's, or the defaults.
	OnPartition  federation.PartitionPolicy
	MaxRecordAge time.Duration
	// Candidates are all exporters, best first; those that are out come last.
	Candidates []Candidate
}

// Candidate is one exporter with every input that was weighed.
type Candidate struct {
	Cluster federation.ClusterName
	Region  federation.Region
	// In says that the candidate is a target; Tier is its tier then, from 0.
	In         bool
	Tier       int
	LastResort bool
	Reason     Reason
	Weight     uint32

	HealthKnown  bool
	Ready, Total uint32
	// Capacity, Load, Errors and Zones are shown, and weigh nothing yet.
	Capacity     uint32
	Load, Errors federation.Measure
	Zones        []federation.ZoneCount
	HealthAge    time.Duration
	Verdict      federation.Verdict
	Order        uint64
}

// Winner is the cluster that new connections go to, as far as the operator
// knows; false when nothing is in.
func (d Decision) Winner() (Candidate, bool) {
	var last *Candidate
	for i, c := range d.Candidates {
		if c.In && !c.LastResort {
			return c, true
		}
		if c.In && last == nil {
			last = &d.Candidates[i]
		}
	}
	if last == nil {
		return Candidate{}, false
	}
	return *last, true
}

// number gives each candidate that is in its tier and moves the others to the end.
func (d *Decision) number(in Inputs, policy *federation.Policy) {
	var ins, outs []Candidate
	tier := -1
	var at place
	for _, c := range d.Candidates {
		if !c.In {
			outs = append(outs, c)
			continue
		}
		if p := rank(in, policy, c); tier < 0 || p != at {
			tier, at = tier+1, p
		}
		c.Tier = tier
		ins = append(ins, c)
	}
	d.Candidates = append(ins, outs...)
}

// tiers is the decision as the gateway needs it.
func (d Decision) tiers() []Tier {
	var out []Tier
	for _, c := range d.Candidates {
		if !c.In {
			break
		}
		if c.Tier == len(out) {
			out = append(out, Tier{Region: c.Region})
		}
		t := &out[c.Tier]
		t.Targets = append(t.Targets, Target{Cluster: c.Cluster, Weight: c.Weight, LastResort: c.LastResort})
	}
	return out
}
