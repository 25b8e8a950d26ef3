package plan_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/plan"
	"github.com/causeway-mesh/causeway/federation/routing"
)

var anyRegion = rapid.SampledFrom([]federation.Region{"eu-west", "us-east", "us-west"})

func anyVersion(t *rapid.T) federation.PolicyVersion {
	return federation.PolicyVersion{
		Targets: rapid.SliceOfNDistinct(rapid.SampledFrom([]federation.ServiceName{checkout, cart}), 1, 2, rapid.ID).Draw(t, "targets"),
		Rules: federation.Rules{
			Regions:      rapid.SliceOfNDistinct(anyRegion, 1, 3, rapid.ID).Draw(t, "regions"),
			OnPartition:  rapid.SampledFrom([]federation.PartitionPolicy{"", federation.PartitionKeep, federation.PartitionWithdraw}).Draw(t, "onPartition"),
			MaxRecordAge: rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(t, "maxRecordAge"),
		},
	}
}

// anyPolicies are published ones of some authors, by Order.
func anyPolicies(t *rapid.T) []federation.Policy {
	var out []federation.Policy
	for i := range rapid.IntRange(0, 4).Draw(t, "policies") {
		p := federation.Policy{ID: federation.PolicyID{Origin: "us-east", Namespace: "shop", Name: fmt.Sprint("p", i)}, Order: uint64(2*i + 1)}
		if i > 0 && rapid.Bool().Draw(t, "foreign") {
			p.ID.Origin = "us-west"
		}
		p.PolicyVersion = anyVersion(t)
		out = append(out, p)
	}
	return out
}

func anyWorld(t *rapid.T) plan.World {
	w := world(anyPolicies(t)...)
	kinds := []federation.VerdictKind{federation.Reachable, federation.LinkDown, federation.ClusterDown, federation.Draining, federation.Unknown}
	for c, held := range w.Inputs.Health {
		r := held[port]
		r.Ready, r.Age = rapid.Uint32Range(0, 3).Draw(t, "ready"), rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "age")
		held[port] = r
		if _, other := w.Inputs.Verdicts[c]; other {
			w.Inputs.Verdicts[c] = federation.Verdict{Kind: rapid.SampledFrom(kinds).Draw(t, "verdict")}
		}
		for to := range w.Inputs.Members {
			up := rapid.Bool().Draw(t, "up")
			w.Legs = append(w.Legs, federation.Leg{From: c, To: to, Up: up, Down: !up && rapid.Bool().Draw(t, "down"),
				RTT: time.Duration(rapid.IntRange(0, 90).Draw(t, "rtt")) * time.Millisecond})
		}
	}
	if rapid.Bool().Draw(t, "imports") {
		w.Inputs.Egress = map[federation.ServicePort]routing.EgressPort{port: {Port: 20000}}
	}
	return w
}

// anyChange applies and deletes policies of us-east, published and new ones.
func anyChange(t *rapid.T, w plan.World) plan.Change {
	var c plan.Change
	for _, p := range append(slices.Clone(w.Published), policy("new", 0)) {
		if p.ID.Origin != w.Inputs.Self {
			continue
		}
		switch rapid.IntRange(0, 2).Draw(t, "fate") {
		case 0:
			c.Delete = append(c.Delete, p.ID)
		case 1:
			p.PolicyVersion = anyVersion(t)
			c.Apply = append(c.Apply, p)
		}
	}
	return c
}

// applied is what the store holds after a change: done by hand, one policy after another.
func applied(policies []federation.Policy, c plan.Change) []federation.Policy {
	out := slices.Clone(policies)
	for _, p := range c.Apply {
		at := slices.IndexFunc(out, func(o federation.Policy) bool { return o.ID == p.ID })
		if at >= 0 {
			p.Order = out[at].Order
			out[at] = p
			continue
		}
		p.Order = 1000
		out = append(out, p)
	}
	return slices.DeleteFunc(out, func(p federation.Policy) bool { return slices.Contains(c.Delete, p.ID) })
}

func TestPropertyPlanOfWhatIsPublishedChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := anyWorld(t)
		own := slices.DeleteFunc(slices.Clone(w.Published), func(p federation.Policy) bool { return p.ID.Origin != w.Inputs.Self })
		p, err := plan.Make(w, plan.Change{Apply: own})
		if err != nil || p.Changes() || p.Refused() {
			t.Fatalf("%v, %+v", err, p)
		}
	})
}

// Our own cluster's part of a plan is what Compute says of all ports, before and after.
func TestPropertyPlanIsWhatComputeSaysOnceItIsApplied(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := anyWorld(t)
		c := anyChange(t, w)
		p, err := plan.Make(w, c)
		if err != nil {
			t.Fatal(err)
		}
		in := w.Inputs
		if in.Egress == nil {
			in.Egress = map[federation.ServicePort]routing.EgressPort{port: {}}
		}
		in.Policies = w.Published
		before, _ := routing.Compute(in, w.State, w.Now)
		in.Policies = applied(w.Published, c)
		after, _ := routing.Compute(in, w.State, w.Now)
		had, gets := before.Table.Routes[port].Tiers, after.Table.Routes[port].Tiers
		for _, s := range p.Services {
			for _, consumer := range s.Consumers {
				if consumer.Cluster != in.Self {
					continue
				}
				if d := cmp.Diff(had, consumer.Before.Tiers) + cmp.Diff(gets, consumer.After.Tiers); d != "" {
					t.Fatal(d)
				}
				return
			}
		}
		if d := cmp.Diff(had, gets); d != "" {
			t.Fatalf("the plan is silent on our own cluster, and it changes:\n%s", d)
		}
	})
}

// What was planned and is then published changes nothing when it is planned again.
func TestPropertyPlanAfterItsApplicationIsEmpty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := anyWorld(t)
		c := anyChange(t, w)
		w.Published = applied(w.Published, c)
		w.InForce = func(federation.Member) []federation.Policy { return w.Published }
		if p, err := plan.Make(w, c); err != nil || p.Changes() {
			t.Fatalf("%v, %+v", err, p)
		}
	})
}

// The predicted share is where the decision's winner is.
func TestPropertyEachConsumersConnectionsAllGoSomewhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := anyWorld(t)
		p, err := plan.Make(w, anyChange(t, w))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range p.Services {
			for _, c := range s.Consumers {
				for _, side := range []plan.Side{c.Before, c.After} {
					var sum float64
					for _, part := range side.Shares {
						sum += part
					}
					if want := !side.NoTarget(); (sum > 0.999 && sum < 1.001) != want || !want && sum != 0 {
						t.Fatalf("shares %v of %+v", side.Shares, side.Tiers)
					}
				}
			}
		}
	})
}
