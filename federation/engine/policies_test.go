package engine

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/policystore"
)

func TestRoutingFollowsTheVersionThatItsWaveHasBroughtHere(t *testing.T) {
	target := []federation.ServiceName{{Namespace: "shop", Name: "checkout"}}
	version := func(generation int64, region federation.Region) federation.PolicyVersion {
		return federation.PolicyVersion{Generation: generation, Targets: target, Rules: federation.Rules{Regions: []federation.Region{region}}}
	}
	id := federation.PolicyID{Origin: "a", Namespace: "shop", Name: "p"}
	state := policystore.State{
		Policies: []federation.Policy{{
			ID: id, PolicyVersion: version(2, "new"), History: []federation.PolicyVersion{version(1, "old")},
			Rollout: &federation.RolloutPlan{Waves: []federation.Wave{{Regions: []federation.Region{"first"}}}, Bake: time.Minute},
		}},
		Rollouts: map[federation.PolicyID]federation.Rollout{id: {Policy: id, To: 2, From: 1, Phase: federation.RolloutProgressing}},
	}
	follows := func(region federation.Region) federation.Region {
		t.Helper()
		got := inForce(heldPolicies(state, federation.Member{Name: "self", Region: region}))
		if len(got) != 1 {
			t.Fatalf("%d policies hold", len(got))
		}
		return got[0].Regions[0]
	}
	if got := follows("first"); got != "new" {
		t.Errorf("the first wave follows %s", got)
	}
	if got := follows("last"); got != "old" {
		t.Errorf("who awaits his wave follows %s", got)
	}
	state.Policies[0].History = nil
	state.Rollouts = nil
	if got := inForce(heldPolicies(state, federation.Member{Name: "self", Region: "first"})); len(got) != 0 {
		t.Errorf("before any wave hold %s", cmp.Diff(nil, got))
	}
}
