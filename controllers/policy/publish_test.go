package policy

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
)

func view() *engine.View {
	v := &engine.View{Self: "eu-west"}
	for _, r := range []federation.Region{"us-west", "us-east", "eu-west", "us-east"} {
		v.Members = append(v.Members, engine.MemberView{Member: federation.Member{Name: federation.ClusterName(r), Region: r}})
	}
	return v
}

func want(p *api.RoutingPolicy) federation.Policy {
	out, _ := Wanted("eu-west", p)
	return out
}

// hold is a policy whose newest version holds.
func hold(p federation.Policy) engine.HeldPolicy {
	return engine.HeldPolicy{Policy: p, Version: p.PolicyVersion, Holds: true}
}

func TestUnknownRegionIsNamedWithThoseThatThereAre(t *testing.T) {
	got := unknownRegions(view(), []federation.Region{"us-esat", "us-west"})
	if want := `region "us-esat" belongs to no member; known: eu-west, us-east, us-west`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := unknownRegions(view(), []federation.Region{"us-east"}); got != "" {
		t.Errorf("a known region: %q", got)
	}
}

func TestEarlierPolicyWinsAndIsNamed(t *testing.T) {
	target := federation.ServiceName{Namespace: "shop", Name: "checkout"}
	policy := func(name string, order uint64, regions ...federation.Region) federation.Policy {
		return federation.Policy{
			ID: federation.PolicyID{Origin: "us-east", Namespace: "shop", Name: name}, Order: order,
			PolicyVersion: federation.PolicyVersion{Targets: []federation.ServiceName{target}, Rules: federation.Rules{Regions: regions}},
		}
	}
	first, second, same := policy("first", 1, "us-east"), policy("second", 2, "us-west"), policy("same", 3, "us-east")
	v := view()
	v.Policies = []engine.HeldPolicy{hold(first), hold(second), hold(same)}
	if got := conflict(v, first); got != "" {
		t.Errorf("the earliest has a conflict: %s", got)
	}
	if got := conflict(v, second); !strings.Contains(got, "us-east:shop/first (order 1") {
		t.Errorf("the loser does not name the winner: %q", got)
	}
	v.Policies = []engine.HeldPolicy{hold(first), hold(same)}
	if got := conflict(v, same); got != "" {
		t.Errorf("the same order of regions is a conflict: %s", got)
	}
	same.OnPartition = federation.PartitionDemote // the default, said aloud
	if v.Policies[1] = hold(same); conflict(v, same) != "" {
		t.Error("the default is a conflict with itself")
	}
	other := same
	if other.OnPartition = federation.PartitionWithdraw; conflict(v, other) == "" {
		t.Error("another onPartition is no conflict")
	}
	other = same
	if other.MaxRecordAge = time.Minute; conflict(v, other) == "" {
		t.Error("another maxRecordAge is no conflict")
	}
}

func TestPartitionRulesArePublished(t *testing.T) {
	p := &api.RoutingPolicy{}
	if got := want(p); got.OnPartition != federation.PartitionDemote || got.MaxRecordAge != 0 {
		t.Errorf("an object from before the fields: %+v", got)
	}
	p.Spec.OnPartition, p.Spec.MaxRecordAge = api.PartitionWithdrawWithQuorum, &metav1.Duration{Duration: time.Minute}
	got := want(p)
	if got.OnPartition != federation.PartitionWithdrawWithQuorum || got.MaxRecordAge != time.Minute {
		t.Errorf("%+v", got)
	}
	if same(want(&api.RoutingPolicy{}), got) {
		t.Error("other rules are not published")
	}
}
