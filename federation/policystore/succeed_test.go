package policystore

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/rollout"
)

func asks(generation int64, region federation.Region) federation.PolicyVersion {
	return federation.PolicyVersion{Generation: generation, Rules: federation.Rules{Regions: []federation.Region{region}}}
}

func generations(p federation.Policy) []int64 {
	out := []int64{p.Generation}
	for _, h := range p.History {
		out = append(out, h.Generation)
	}
	return out
}

func TestVersionsFollowEachOtherAndASameOneIsNone(t *testing.T) {
	stored := federation.Policy{}
	plan := &federation.RolloutPlan{Waves: []federation.Wave{{Regions: []federation.Region{"a"}}}}
	for _, step := range []struct {
		what string
		asks federation.PolicyVersion
		plan *federation.RolloutPlan
		want []int64
	}{
		{"the first", asks(1, "a"), nil, []int64{1}},
		{"another", asks(2, "b"), nil, []int64{2, 1}},
		{"the same again", asks(3, "b"), nil, []int64{2, 1}},
		{"a plan for what holds", asks(4, "b"), plan, []int64{2, 2, 1}},
		{"the plan again", asks(5, "b"), plan, []int64{2, 2, 1}},
		{"another under the plan", asks(6, "c"), plan, []int64{6, 2, 1}},
	} {
		stored = succeed(federation.Policy{PolicyVersion: step.asks, Rollout: step.plan}, stored, nil)
		stored.Order = 1
		if d := cmp.Diff(step.want, generations(stored)); d != "" {
			t.Errorf("%s:\n%s", step.what, d)
		}
		if stored.Observed != step.asks.Generation {
			t.Errorf("%s: observed %d", step.what, stored.Observed)
		}
	}
}

func TestAPlanForWhatHoldsTakesItFromNobody(t *testing.T) {
	old := federation.Policy{Order: 1, PolicyVersion: asks(2, "b"), History: []federation.PolicyVersion{asks(1, "a")}}
	p := succeed(federation.Policy{PolicyVersion: asks(3, "b"), Rollout: &federation.RolloutPlan{Waves: []federation.Wave{{Regions: []federation.Region{"first"}}}}}, old, nil)
	got, why, ok := rollout.InForce(p, nil, federation.Member{Name: "c", Region: "last"})
	if !ok || got.Generation != 2 || why.Reason != rollout.ReasonHeldBefore {
		t.Errorf("%v, generation %d, %s", ok, got.Generation, why.Reason)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	stored := federation.Policy{}
	for i := range int64(30) {
		stored = succeed(federation.Policy{PolicyVersion: asks(i+1, federation.Region(rune('a'+i)))}, stored, nil)
		stored.Order = 1
	}
	if len(stored.History) != federation.MaxPolicyHistory || stored.History[0].Generation != 29 {
		t.Errorf("%v", generations(stored))
	}
}

func TestWhatFollowsAnUndoFollowsWhatHeld(t *testing.T) {
	plan := &federation.RolloutPlan{Waves: []federation.Wave{{Regions: []federation.Region{"first"}}}}
	old := federation.Policy{Order: 1, Observed: 4, Undo: 3, PolicyVersion: asks(4, "bad"), History: []federation.PolicyVersion{asks(3, "good"), asks(1, "older")}}
	last := federation.Member{Name: "c", Region: "last"}
	for what, next := range map[string]federation.PolicyVersion{"a version under a plan": asks(5, "better"), "a plan alone": asks(5, "bad")} {
		p := succeed(federation.Policy{PolicyVersion: next, Rollout: plan}, old, nil)
		if got, why, ok := rollout.InForce(p, nil, last); !ok || got.Generation != 3 {
			t.Errorf("%s: generation %d holds, %t, %s", what, got.Generation, ok, why.Reason)
		}
	}
	held := succeed(federation.Policy{Observed: 4, Hold: true, Undo: 3, PolicyVersion: asks(4, "bad")}, old, nil)
	if held.Generation != 4 || held.History[0].Generation != 3 {
		t.Errorf("a pause has made a version: %v", generations(held))
	}
}
