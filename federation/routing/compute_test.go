package routing_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

var (
	checkout = federation.ServiceName{Namespace: "shop", Name: "checkout"}
	port     = federation.ServicePort{Service: checkout, Port: 80}
)

func export(c federation.ClusterName, order uint64) federation.Export {
	return federation.Export{
		Cluster: c, Service: checkout, Order: order,
		Ports: []federation.ExportedPort{{Name: "http", Port: 80, Protocol: federation.TCP}},
	}
}

func held(c federation.ClusterName, ready uint32) map[federation.ServicePort]federation.HeldRecord {
	return map[federation.ServicePort]federation.HeldRecord{
		port: {HealthRecord: federation.HealthRecord{Cluster: c, Port: port, Ready: ready, Total: 2}},
	}
}

// world is the demo's: three clusters in three regions, checkout in the two of the US.
func world() routing.Inputs {
	members := map[federation.ClusterName]federation.Member{}
	for _, c := range []federation.ClusterName{"us-east", "us-west", "eu-west"} {
		members[c] = federation.Member{Name: c, Region: federation.Region(c), TrustDomain: "d"}
	}
	reachable := func(ms int) federation.Verdict {
		return federation.Verdict{Kind: federation.Reachable, RTT: time.Duration(ms) * time.Millisecond}
	}
	return routing.Inputs{
		Self: "eu-west", Federation: "prod", Members: members,
		Exports: map[federation.ServiceName][]federation.Export{checkout: {export("us-west", 1), export("us-east", 2)}},
		Health: map[federation.ClusterName]map[federation.ServicePort]federation.HeldRecord{
			"us-east": held("us-east", 2), "us-west": held("us-west", 2),
		},
		Verdicts: map[federation.ClusterName]federation.Verdict{"us-east": reachable(64), "us-west": reachable(146)},
		Egress:   map[federation.ServicePort]routing.EgressPort{port: {Port: 20000}},
	}
}

func clusters(t *testing.T, in routing.Inputs) []federation.ClusterName {
	t.Helper()
	result, _ := routing.Compute(in, routing.State{}, 0)
	var out []federation.ClusterName
	for _, tier := range result.Table.Routes[port].Tiers {
		for _, target := range tier.Targets {
			out = append(out, target.Cluster)
		}
	}
	return out
}

func TestDefaultOrderIsOwnClusterOwnRegionThenDistance(t *testing.T) {
	in := world()
	if got, want := clusters(t, in), []federation.ClusterName{"us-east", "us-west"}; !slices.Equal(got, want) {
		t.Errorf("by distance: %v, want %v", got, want)
	}
	in.Members["eu-west-2"] = federation.Member{Name: "eu-west-2", Region: "eu-west"}
	in.Exports[checkout] = append(in.Exports[checkout], export("eu-west-2", 3), export("eu-west", 4))
	if got, want := clusters(t, in), []federation.ClusterName{"eu-west", "eu-west-2", "us-east", "us-west"}; !slices.Equal(got, want) {
		t.Errorf("own cluster, own region, distance: %v, want %v", got, want)
	}
}

// asks is a policy's version for checkout with an order of regions.
func asks(regions ...federation.Region) federation.PolicyVersion {
	return federation.PolicyVersion{Targets: []federation.ServiceName{checkout}, Rules: federation.Rules{Regions: regions}}
}

func TestPolicyOrderBeatsDistanceAndUnlistedRegionsComeLast(t *testing.T) {
	in := world()
	in.Policies = []federation.Policy{
		{ID: federation.PolicyID{Origin: "us-west", Namespace: "shop", Name: "first"}, PolicyVersion: asks("us-west"), Order: 1},
		{ID: federation.PolicyID{Origin: "us-east", Namespace: "shop", Name: "later"}, PolicyVersion: asks("us-east"), Order: 2},
	}
	if got, want := clusters(t, in), []federation.ClusterName{"us-west", "us-east"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: the earlier policy decides", got, want)
	}
	result, _ := routing.Compute(in, routing.State{}, 0)
	if rule := result.Table.Routes[port].Rule; rule != "us-west:shop/first" {
		t.Errorf("rule is %q", rule)
	}
}

func TestDeadPathStaysAsLastResort(t *testing.T) {
	in := world()
	in.Verdicts["us-east"] = federation.Verdict{Kind: federation.ClusterDown}
	in.Verdicts["us-west"] = federation.Verdict{Kind: federation.LinkDown}
	if got := clusters(t, in); len(got) != 2 {
		t.Fatalf("targets are %v: the last route must not be removed (fail static)", got)
	}
	d := routing.Decide(in, port)
	for _, c := range d.Candidates {
		if !c.LastResort || c.Reason != routing.ReasonPathDead {
			t.Errorf("%s: last resort %t because %s", c.Cluster, c.LastResort, c.Reason)
		}
	}
}

func TestControlPlaneDownKeepsRoutes(t *testing.T) {
	in := world()
	in.Verdicts["us-east"] = federation.Verdict{Kind: federation.ControlPlaneDown, RTT: 64 * time.Millisecond}
	if w, ok := routing.Decide(in, port).Winner(); !ok || w.Cluster != "us-east" || w.LastResort {
		t.Fatalf("winner is %+v", w)
	}
}

func TestOwnersWordRemovesTarget(t *testing.T) {
	for name, change := range map[string]func(*federation.HealthRecord){
		"nothing ready": func(r *federation.HealthRecord) { r.Ready = 0 },
		"withdrawn":     func(r *federation.HealthRecord) { r.Withdrawn = true },
	} {
		in := world()
		r := in.Health["us-east"][port]
		change(&r.HealthRecord)
		in.Health["us-east"] = map[federation.ServicePort]federation.HeldRecord{port: r}
		if got, want := clusters(t, in), []federation.ClusterName{"us-west"}; !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// A cold operator has heard nobody: it must neither empty nor reorder a table.
func TestUnknownHealthKeepsTargetInItsPlace(t *testing.T) {
	in := world()
	in.Policies = []federation.Policy{{PolicyVersion: asks("us-east", "us-west"), Order: 1}}
	in.Health, in.Verdicts = nil, nil
	if got, want := clusters(t, in), []federation.ClusterName{"us-east", "us-west"}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestStrangerIsNoTarget(t *testing.T) {
	in := world()
	delete(in.Members, "us-east")
	if got, want := clusters(t, in), []federation.ClusterName{"us-west"}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestUDPPortIsNotRouted(t *testing.T) {
	in := world()
	x := export("us-east", 1)
	x.Ports[0].Protocol = federation.UDP
	in.Exports[checkout] = []federation.Export{x}
	result, _ := routing.Compute(in, routing.State{}, 0)
	if len(result.Table.Routes) != 0 {
		t.Fatalf("routes: %v", result.Table.Routes)
	}
}

// anyInputs draws a fleet with random members, exports, health, verdicts, policies.
func anyInputs(t *rapid.T) routing.Inputs {
	names := []federation.ClusterName{"a", "b", "c", "d", "e"}
	regions := []federation.Region{"r1", "r2", "r3"}
	kinds := []federation.VerdictKind{federation.Reachable, federation.LinkDown, federation.GatewayDown, federation.ControlPlaneDown, federation.ClusterDown, federation.Unknown}
	in := routing.Inputs{
		Self: "a", Members: map[federation.ClusterName]federation.Member{}, Exports: map[federation.ServiceName][]federation.Export{},
		Health:   map[federation.ClusterName]map[federation.ServicePort]federation.HeldRecord{},
		Verdicts: map[federation.ClusterName]federation.Verdict{}, Egress: map[federation.ServicePort]routing.EgressPort{port: {Port: 20000}},
	}
	for i, n := range names {
		if rapid.Bool().Draw(t, "member") {
			in.Members[n] = federation.Member{Name: n, Region: rapid.SampledFrom(regions).Draw(t, "region")}
		}
		if rapid.Bool().Draw(t, "exports") {
			in.Exports[checkout] = append(in.Exports[checkout], export(n, uint64(i)))
		}
		if rapid.Bool().Draw(t, "known") {
			in.Health[n] = held(n, rapid.Uint32Range(0, 3).Draw(t, "ready"))
		}
		in.Verdicts[n] = federation.Verdict{Kind: rapid.SampledFrom(kinds).Draw(t, "verdict"), RTT: time.Duration(rapid.IntRange(0, 200).Draw(t, "rtt")) * time.Millisecond}
	}
	if rapid.Bool().Draw(t, "policy") {
		in.Policies = []federation.Policy{{PolicyVersion: asks(rapid.SliceOfNDistinct(rapid.SampledFrom(regions), 1, 3, rapid.ID[federation.Region]).Draw(t, "order")...)}}
	}
	return in
}

func TestPropertyTableAndDecisionTellTheSameStory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInputs(t)
		result, _ := routing.Compute(in, routing.State{}, 0)
		again, _ := routing.Compute(in, routing.State{}, 0)
		if diff := cmp.Diff(result, again); diff != "" {
			t.Fatalf("equal inputs, different tables:\n%s", diff)
		}
		d := result.Decisions[port]
		inTable := map[federation.ClusterName]int{}
		for i, tier := range result.Table.Routes[port].Tiers {
			for _, target := range tier.Targets {
				if _, twice := inTable[target.Cluster]; twice {
					t.Fatalf("%s is a target twice", target.Cluster)
				}
				inTable[target.Cluster] = i
				if target.Weight < 1 {
					t.Fatalf("weight of %s is %d", target.Cluster, target.Weight)
				}
			}
		}
		for _, c := range d.Candidates {
			tier, ok := inTable[c.Cluster]
			if ok != c.In || ok && tier != c.Tier {
				t.Fatalf("%+v, in the table: %t, tier %d", c, ok, tier)
			}
			if _, member := in.Members[c.Cluster]; c.In && !member {
				t.Fatalf("%s is no member and a target", c.Cluster)
			}
			if r, known := in.Health[c.Cluster][port]; c.In && known && r.Ready == 0 {
				t.Fatalf("%s says nothing is ready and is a target", c.Cluster)
			}
		}
		w, ok := d.Winner()
		if ok != (len(inTable) > 0) {
			t.Fatalf("winner %t, targets %d", ok, len(inTable))
		}
		for _, c := range d.Candidates {
			if ok && c.In && !c.LastResort && w.LastResort {
				t.Fatalf("winner %s is a last resort while %s is not", w.Cluster, c.Cluster)
			}
		}
	})
}
