package routing_test

import (
	"slices"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// ordered is the world with a policy; change sets what it says of partitions.
func ordered(change func(*federation.Policy)) routing.Inputs {
	in := world()
	p := federation.Policy{PolicyVersion: asks("us-east", "us-west"), Order: 1}
	change(&p)
	in.Policies = []federation.Policy{p}
	return in
}

func candidate(t *testing.T, d routing.Decision, c federation.ClusterName) routing.Candidate {
	t.Helper()
	i := slices.IndexFunc(d.Candidates, func(x routing.Candidate) bool { return x.Cluster == c })
	if i < 0 {
		t.Fatalf("%s is no candidate", c)
	}
	return d.Candidates[i]
}

func TestPartitionPolicies(t *testing.T) {
	alone := federation.Verdict{Kind: federation.LinkDown, Agree: 1, Of: 2}
	many := federation.Verdict{Kind: federation.ClusterDown, Agree: 2, Of: 2}
	for _, c := range []struct {
		policy         federation.PartitionPolicy
		verdict        federation.Verdict
		in, lastResort bool
		reason         routing.Reason
	}{
		{"", alone, true, true, routing.ReasonPathDead},
		{federation.PartitionDemote, many, true, true, routing.ReasonPathDead},
		{federation.PartitionKeep, many, true, false, routing.ReasonPathDead},
		{federation.PartitionWithdraw, alone, false, false, routing.ReasonPartitioned},
		{federation.PartitionWithdrawWithQuorum, alone, true, true, routing.ReasonPathDead},
		{federation.PartitionWithdrawWithQuorum, many, false, false, routing.ReasonPartitioned},
		{federation.PartitionWithdraw, federation.Verdict{Kind: federation.ControlPlaneDown}, true, false, routing.ReasonHealthy},
		{federation.PartitionWithdraw, federation.Verdict{Kind: federation.Unknown}, true, false, routing.ReasonHealthy},
		{federation.PartitionWithdraw, federation.Verdict{Kind: federation.Draining}, true, true, routing.ReasonDraining},
	} {
		in := ordered(func(p *federation.Policy) { p.OnPartition = c.policy })
		in.Verdicts["us-east"] = c.verdict
		got := candidate(t, routing.Decide(in, port), "us-east")
		if got.In != c.in || got.LastResort != c.lastResort || got.Reason != c.reason {
			t.Errorf("%s on %s (%d of %d): %+v", c.policy, c.verdict.Kind, c.verdict.Agree, c.verdict.Of, got)
		}
	}
}

// Only a policy takes out the last target (I3).
func TestWithdrawTakesOutTheLastOneToo(t *testing.T) {
	in := ordered(func(p *federation.Policy) { p.OnPartition = federation.PartitionWithdraw })
	in.Verdicts["us-east"], in.Verdicts["us-west"] = federation.Verdict{Kind: federation.LinkDown}, federation.Verdict{Kind: federation.LinkDown}
	if got := clusters(t, in); len(got) != 0 {
		t.Errorf("targets are %v", got)
	}
	if w, ok := routing.Decide(in, port).Winner(); ok {
		t.Errorf("the winner is %s", w.Cluster)
	}
}

func TestMaxRecordAgeIsHonouredAndWithoutItNothingAges(t *testing.T) {
	for age, want := range map[time.Duration][]federation.ClusterName{
		0: {"us-east", "us-west"}, time.Hour + 1: {"us-east", "us-west"}, time.Hour: {"us-west"},
	} {
		in := ordered(func(p *federation.Policy) { p.MaxRecordAge = age })
		r := in.Health["us-east"][port]
		r.Age = time.Hour + 1
		in.Health["us-east"][port] = r
		if got := clusters(t, in); !slices.Equal(got, want) {
			t.Errorf("at most %s: %v, want %v", age, got, want)
		}
	}
}

// A record that never came is as old as the wait for it, so that a cold operator
// empties no table, and a cluster that stays silent is not called for ever.
func TestMissingRecordIsAsOldAsTheWaitForIt(t *testing.T) {
	in := ordered(func(p *federation.Policy) { p.MaxRecordAge = time.Minute })
	in.Self = "us-west" // whose own word needs nobody's
	delete(in.Health, "us-east")
	delete(in.Health, "us-west")
	var state routing.State
	var result routing.Result
	for _, step := range []struct {
		now  time.Duration
		want routing.Reason
	}{
		{time.Hour, routing.ReasonHealthUnknown}, {time.Hour + time.Minute, routing.ReasonHealthUnknown}, {time.Hour + time.Minute + 1, routing.ReasonRecordTooOld},
	} {
		result, state = routing.Compute(in, state, step.now)
		if got := candidate(t, result.Decisions[port], "us-east"); got.Reason != step.want {
			t.Errorf("at %s: %+v", step.now, got)
		}
		if own := candidate(t, result.Decisions[port], "us-west"); !own.In {
			t.Errorf("our own cluster: %+v", own)
		}
	}
	in.Health["us-east"] = held("us-east", 2)
	_, state = routing.Compute(in, state, 2*time.Hour)
	delete(in.Health, "us-east")
	result, _ = routing.Compute(in, state, 3*time.Hour)
	if got := candidate(t, result.Decisions[port], "us-east"); got.Reason != routing.ReasonHealthUnknown {
		t.Errorf("missing again, it waits anew: %+v", got)
	}
}
