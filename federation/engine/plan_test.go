package engine

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/plan"
)

// westFirst is a policy of our own cluster.
func westFirst() federation.Policy {
	return federation.Policy{ID: federation.PolicyID{Origin: "us-east", Namespace: "shop", Name: "order"}, PolicyVersion: federation.PolicyVersion{
		Targets: []federation.ServiceName{checkout}, Rules: federation.Rules{Regions: []federation.Region{"us-west"}},
	}}
}

func TestPlanIsTheTableThatFollowsOnceItIsPublished(t *testing.T) {
	r := ready(t)
	r.round()
	p, err := r.Plan(plan.Change{Apply: []federation.Policy{westFirst()}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.tables) != 1 || len(r.state.Policies) != 0 {
		t.Fatal("planning changed something")
	}
	published := westFirst()
	published.Order = 9
	next := state()
	next.Policies = []federation.Policy{published}
	r.onState(next)
	r.round()
	for _, c := range p.Services[0].Consumers {
		if c.Cluster != "us-east" {
			continue
		}
		if d := cmp.Diff(r.tables[0].Routes[port].Tiers, c.Before.Tiers) + cmp.Diff(r.tables[1].Routes[port].Tiers, c.After.Tiers); d != "" {
			t.Error(d)
		}
	}
	if p, err = r.Plan(plan.Change{Apply: []federation.Policy{westFirst()}}); err != nil || p.Changes() {
		t.Errorf("planned again once it is published: %v, %+v", err, p.Services)
	}
}

func TestNobodyPlansWithoutLeadingOrKnowing(t *testing.T) {
	r := ready(t)
	if _, err := r.Plan(plan.Change{}); !errors.Is(err, ErrNotDecided) {
		t.Errorf("before the first round: %v", err)
	}
	r.round()
	r.StepDown()
	if _, err := r.Plan(plan.Change{}); !errors.Is(err, ErrNotLeading) {
		t.Errorf("stepped down: %v", err)
	}
	r.Lead(8)
	r.Unconfigure()
	r.round()
	if _, err := r.Plan(plan.Change{}); !errors.Is(err, ErrNotDecided) {
		t.Errorf("outside a federation: %v", err)
	}
}
