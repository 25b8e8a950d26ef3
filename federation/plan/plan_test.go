package plan_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/plan"
	"github.com/causeway-mesh/causeway/federation/routing"
)

var (
	checkout = federation.ServiceName{Namespace: "shop", Name: "checkout"}
	cart     = federation.ServiceName{Namespace: "shop", Name: "cart"}
	port     = federation.ServicePort{Service: checkout, Port: 80}
)

// world is three clusters that all serve checkout with two endpoints, and know of each
// other; we are us-east.
func world(published ...federation.Policy) plan.World {
	in := routing.Inputs{
		Self: "us-east", Federation: "prod",
		Members:  map[federation.ClusterName]federation.Member{},
		Exports:  map[federation.ServiceName][]federation.Export{},
		Health:   map[federation.ClusterName]map[federation.ServicePort]federation.HeldRecord{},
		Verdicts: map[federation.ClusterName]federation.Verdict{},
	}
	for i, c := range []federation.ClusterName{"eu-west", "us-east", "us-west"} {
		in.Members[c] = federation.Member{Name: c, Region: federation.Region(c)}
		in.Exports[checkout] = append(in.Exports[checkout], federation.Export{Cluster: c, Service: checkout, Order: uint64(i + 1),
			Ports: []federation.ExportedPort{{Port: 80, Protocol: federation.TCP}}})
		in.Health[c] = map[federation.ServicePort]federation.HeldRecord{port: {HealthRecord: federation.HealthRecord{Cluster: c, Port: port, Ready: 2, Total: 2}}}
		if c != in.Self {
			in.Verdicts[c] = federation.Verdict{Kind: federation.Reachable}
		}
	}
	return plan.World{Inputs: in, Published: published, InForce: func(federation.Member) []federation.Policy { return published }}
}

func policy(name string, order uint64, regions ...federation.Region) federation.Policy {
	return federation.Policy{
		ID: federation.PolicyID{Origin: "us-east", Namespace: "shop", Name: name}, Order: order,
		PolicyVersion: federation.PolicyVersion{Targets: []federation.ServiceName{checkout}, Rules: federation.Rules{Regions: regions}},
	}
}

func by(origin federation.ClusterName, p federation.Policy) federation.Policy {
	p.ID.Origin = origin
	return p
}

func mustMake(t *testing.T, w plan.World, c plan.Change) plan.Plan {
	t.Helper()
	p, err := plan.Make(w, c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func apply(p ...federation.Policy) plan.Change { return plan.Change{Apply: p} }

// goes is each consumer's first region before and after.
func goes(s plan.Service) map[federation.ClusterName]string {
	out := map[federation.ClusterName]string{}
	for _, c := range s.Consumers {
		first := func(s plan.Side) string {
			if s.NoTarget() {
				return "-"
			}
			return string(s.Tiers[0].Region)
		}
		out[c.Cluster] = first(c.Before) + " " + first(c.After)
	}
	return out
}

func TestFirstPolicyMovesTheClustersThatCallElsewhere(t *testing.T) {
	p := mustMake(t, world(), apply(policy("order", 0, "us-west", "eu-west")))
	if len(p.Services) != 1 || !p.Changes() || p.Policies[0].Action != plan.Create {
		t.Fatalf("%+v", p)
	}
	want := map[federation.ClusterName]string{"eu-west": "eu-west us-west", "us-east": "us-east us-west", "us-west": "us-west us-west"}
	if d := cmp.Diff(want, goes(p.Services[0])); d != "" {
		t.Error(d)
	}
	s := p.Services[0]
	third := 1.0 / 3
	if d := cmp.Diff(plan.Shares{"eu-west": third, "us-east": third, "us-west": third}, s.Before); d != "" || s.Importers != 3 {
		t.Errorf("%d importers\n%s", s.Importers, d)
	}
	if d := cmp.Diff(plan.Shares{"us-west": 1}, s.After); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]federation.Region{"eu-west", "us-east"}, s.Evacuated()); d != "" {
		t.Error(d)
	}
}

func TestPublishedPolicyKeepsItsPlaceAndANewOneComesLast(t *testing.T) {
	older, newer := policy("older", 3, "us-east"), by("us-west", policy("newer", 5, "eu-west"))
	w := world(older, newer)
	changed := policy("older", 0, "us-west")
	p := mustMake(t, w, apply(changed))
	if got := goes(p.Services[0]); got["eu-west"] != "us-east us-west" || p.Policies[0].Action != plan.Update {
		t.Errorf("a change of the older policy: %v, %+v", got, p.Policies)
	}
	p = mustMake(t, w, apply(policy("third", 0, "us-west")))
	want := []plan.Contest{{Target: checkout, Other: older.ID, Order: 3}}
	if d := cmp.Diff(want, p.Policies[0].Loses); d != "" || p.Changes() {
		t.Errorf("changes %t\n%s", p.Changes(), d)
	}
	if p = mustMake(t, w, apply(policy("third", 0, "us-east"))); p.Changes() || len(p.Policies[0].Loses) != 0 {
		t.Errorf("a co-author: %+v", p)
	}
}

func TestOlderPolicyThatBeginsToSpeakOfATargetNamesTheOneItOverrides(t *testing.T) {
	older, newer := policy("older", 3, "us-east"), by("us-west", policy("newer", 5, "eu-west"))
	older.Targets = []federation.ServiceName{cart}
	changed := policy("older", 0, "us-east")
	p := mustMake(t, world(older, newer), apply(changed))
	if d := cmp.Diff([]plan.Contest{{Target: checkout, Other: newer.ID, Order: 5}}, p.Policies[0].Overrides); d != "" {
		t.Error(d)
	}
	newer.ID.Origin = "us-east"
	p = mustMake(t, world(older, newer), plan.Change{Apply: []federation.Policy{changed}, Delete: []federation.PolicyID{newer.ID}})
	if got := p.Policies[0].Overrides; len(got) != 0 {
		t.Errorf("one that goes in the same change is overridden: %+v", got)
	}
}

func TestDeletedPolicyGivesWayToTheNextOne(t *testing.T) {
	older, newer := policy("older", 3, "us-east"), by("us-west", policy("newer", 5, "us-west"))
	p := mustMake(t, world(older, newer), plan.Change{Delete: []federation.PolicyID{older.ID}})
	if got := goes(p.Services[0]); got["eu-west"] != "us-east us-west" || p.Policies[0].Action != plan.Delete {
		t.Errorf("%v, %+v", got, p.Policies)
	}
	absent := federation.PolicyID{Origin: "us-east", Namespace: "shop", Name: "absent"}
	if p = mustMake(t, world(older), plan.Change{Delete: []federation.PolicyID{absent}}); p.Changes() || p.Policies[0].Action != plan.Unchanged {
		t.Errorf("deleting what is not published: %+v", p)
	}
}

func TestPolicyThatCannotHoldIsRefusedAndChangesNothing(t *testing.T) {
	none, outside := policy("none", 0, "us-east"), policy("outside", 0, "us-east")
	none.Targets = nil
	outside.Targets = []federation.ServiceName{{Namespace: "bank", Name: "checkout"}}
	for says, candidate := range map[string]federation.Policy{
		`region "us-esat" belongs to no member; known: eu-west, us-east, us-west`: policy("typo", 0, "us-esat", "us-west"),
		"it has no targets":  none,
		"it names no region": policy("aimless", 0),
		"target bank/checkout lies outside its namespace": outside,
	} {
		p := mustMake(t, world(policy("other", 1, "us-west")), apply(candidate))
		if o := p.Policies[0]; o.Action != plan.Refused || o.Why != says || p.Changes() || !p.Refused() {
			t.Errorf("%s: %+v, changes %t", says, o, p.Changes())
		}
	}
}

func TestChangeThatMakesNoSenseAsAWholeIsAnError(t *testing.T) {
	many := plan.Change{}
	for range plan.MaxPolicies + 1 {
		many.Apply = append(many.Apply, policy("many", 0, "us-east"))
	}
	one := policy("one", 0, "us-east")
	for name, c := range map[string]plan.Change{
		"another cluster's": apply(by("us-west", one)), "twice": {Apply: []federation.Policy{one}, Delete: []federation.PolicyID{one.ID}}, "too many": many,
	} {
		if _, err := plan.Make(world(), c); err == nil || errors.Is(err, plan.ErrTooLarge) != (name == "too many") {
			t.Errorf("%s: %v", name, err)
		}
	}
	wide := world()
	for i := range uint16(60000) {
		e := wide.Inputs.Exports[checkout]
		e[0].Ports = append(e[0].Ports, federation.ExportedPort{Port: 1000 + i, Protocol: federation.TCP})
	}
	for i := range 3 {
		name := federation.ClusterName(rune('a' + i))
		wide.Inputs.Members[name] = federation.Member{Name: name}
	}
	if _, err := plan.Make(wide, apply(one)); !errors.Is(err, plan.ErrTooLarge) {
		t.Errorf("360,000 decisions: %v", err)
	}
}

func TestTargetThatNobodyExportsIsNamedAndItsRulesChangeAllTheSame(t *testing.T) {
	candidate := policy("order", 0, "us-east")
	candidate.Targets = []federation.ServiceName{cart}
	p := mustMake(t, world(), apply(candidate))
	if !slices.Equal(p.Policies[0].Unexported, candidate.Targets) || !slices.Equal(p.Dormant, candidate.Targets) || !p.Changes() {
		t.Errorf("%+v", p)
	}
	older := by("us-west", candidate)
	older.Order = 1
	if p = mustMake(t, world(older), apply(candidate)); p.Changes() {
		t.Errorf("a co-author's words change something: %+v", p.Dormant)
	}
}

func TestClusterThatDoesNotImportAServiceIsNoConsumerOfIt(t *testing.T) {
	w := world()
	w.Inputs.Egress = map[federation.ServicePort]routing.EgressPort{}
	s := mustMake(t, w, apply(policy("order", 0, "us-west"))).Services[0]
	if _, ours := goes(s)["us-east"]; ours || s.Importers != 2 {
		t.Errorf("%d importers, %v", s.Importers, goes(s))
	}
}

func TestRulesThatMoveNothingNowAreAChange(t *testing.T) {
	w := world(policy("order", 1, "us-east"))
	candidate := policy("order", 0, "us-east")
	candidate.MaxRecordAge = time.Minute
	p := mustMake(t, w, apply(candidate))
	if len(p.Services) != 1 || plan.Moved(p.Services[0].Before, p.Services[0].After) != 0 {
		t.Errorf("%+v", p.Services)
	}
}

func TestConsumerThatLosesItsLastTargetIsSeen(t *testing.T) {
	w := world()
	for c, held := range w.Inputs.Health {
		r := held[port]
		r.Age = time.Hour
		w.Inputs.Health[c][port] = r
	}
	w.Inputs.Exports[checkout] = w.Inputs.Exports[checkout][2:] // us-west alone
	candidate := policy("strict", 0, "us-west")
	candidate.MaxRecordAge = time.Minute
	p := mustMake(t, w, apply(candidate))
	want := map[federation.ClusterName]string{"eu-west": "us-west -", "us-east": "us-west -", "us-west": "us-west us-west"}
	if d := cmp.Diff(want, goes(p.Services[0])); d != "" {
		t.Error(d)
	}
	if s := p.Services[0]; plan.Moved(s.Before, s.After) < 0.6 || len(s.Evacuated()) != 0 {
		t.Errorf("moved %v, evacuated %v", plan.Moved(s.Before, s.After), s.Evacuated())
	}
}

func TestOtherClustersDecideByTheirOwnWays(t *testing.T) {
	w := world()
	w.Inputs.Exports[checkout] = w.Inputs.Exports[checkout][1:] // us-east and us-west
	w.Inputs.Verdicts["us-west"] = federation.Verdict{Kind: federation.LinkDown}
	w.Legs = []federation.Leg{
		{From: "eu-west", To: "us-east", Up: true, RTT: 90 * time.Millisecond},
		{From: "eu-west", To: "us-west", Up: true, RTT: 30 * time.Millisecond},
	}
	before := func(w plan.World) federation.Region {
		for _, c := range mustMake(t, w, apply(policy("p", 0, "us-west"))).Services[0].Consumers {
			if c.Cluster == "eu-west" {
				for region := range c.Before.Shares {
					return region
				}
			}
		}
		return ""
	}
	if got := before(w); got != "us-west" {
		t.Errorf("our dead link keeps another cluster from the nearest region: it goes to %s", got)
	}
	w.Legs[1].Up, w.Legs[1].Down, w.Inputs.Verdicts["us-west"] = false, true, federation.Verdict{Kind: federation.Reachable}
	for _, c := range mustMake(t, w, apply(policy("p", 0, "us-west"))).Services[0].Consumers {
		if c.Cluster == "eu-west" && !c.After.Tiers[0].Targets[0].LastResort {
			t.Error("a way that the consumer itself finds dead is no last resort")
		}
	}
	w.Legs[1] = federation.Leg{From: "eu-near", To: "us-west", Up: true, RTT: 20 * time.Millisecond}
	w.Inputs.Members["eu-near"] = federation.Member{Name: "eu-near", Region: "eu-west"}
	if got := before(w); got != "us-west" {
		t.Errorf("a neighbour's round trip does not stand in for one that nobody measured: %s", got)
	}
}

func TestWeightsShareATierOfOneRegion(t *testing.T) {
	w := world()
	w.Inputs.Members["us-east-2"] = federation.Member{Name: "us-east-2", Region: "us-east"}
	w.Inputs.Exports[checkout] = append(w.Inputs.Exports[checkout], federation.Export{Cluster: "us-east-2", Service: checkout, Order: 9,
		Ports: []federation.ExportedPort{{Port: 80, Protocol: federation.TCP}}})
	p := mustMake(t, w, apply(policy("p", 0, "us-west")))
	for _, c := range p.Services[0].Consumers {
		if c.Cluster == "us-east" {
			if d := cmp.Diff(plan.Shares{"us-east": 1}, c.Before.Shares); d != "" {
				t.Error(d)
			}
		}
	}
	if got := plan.Moved(plan.Shares{"a": 0.5, "b": 0.5}, plan.Shares{"a": 0.75, "c": 0.25}); got != 0.5 {
		t.Errorf("moved %v", got)
	}
}

func TestLastResortTakesNothingWhileThereIsABetterTarget(t *testing.T) {
	w := world()
	w.Inputs.Verdicts["us-west"] = federation.Verdict{Kind: federation.ClusterDown}
	for _, c := range mustMake(t, w, apply(policy("p", 0, "us-west", "eu-west"))).Services[0].Consumers {
		want := federation.Region("eu-west")
		if c.Cluster == "us-west" {
			want = "us-west"
		}
		if d := cmp.Diff(plan.Shares{want: 1}, c.After.Shares); d != "" {
			t.Errorf("%s:\n%s", c.Cluster, d)
		}
	}
	if got := plan.Moved(plan.Shares{}, plan.Shares{"a": 1}); got != 1 {
		t.Errorf("calls that find a target again: %v move", got)
	}
}

func TestWavesNameTheClustersThatTheyResolveTo(t *testing.T) {
	candidate := policy("p", 0, "us-west")
	candidate.Rollout = &federation.RolloutPlan{Waves: []federation.Wave{
		{Clusters: []federation.ClusterName{"us-west"}},
		{Regions: []federation.Region{"us-west", "eu-west"}},
		{Clusters: []federation.ClusterName{"nobody"}},
	}}
	want := []plan.Wave{{Clusters: []federation.ClusterName{"us-west"}}, {Clusters: []federation.ClusterName{"eu-west"}}, {},
		{Clusters: []federation.ClusterName{"us-east"}, Rest: true}}
	p := mustMake(t, world(), apply(candidate))
	if d := cmp.Diff(want, p.Policies[0].Waves); d != "" {
		t.Error(d)
	}
	published := candidate
	published.Order, published.Rollout = 1, nil
	if p = mustMake(t, world(published), apply(candidate)); p.Changes() || p.Policies[0].Action != plan.Update {
		t.Errorf("other waves alone: %+v", p)
	}
}

func TestVersionThatIsStillRolledOutIsTheOneThatAChangeReplaces(t *testing.T) {
	newest := policy("p", 1, "us-west")
	w := world(newest)
	w.InForce = func(m federation.Member) []federation.Policy {
		if m.Name == "us-west" {
			return w.Published
		}
		return []federation.Policy{policy("p", 1, "us-east")}
	}
	if p := mustMake(t, w, apply(newest)); p.Changes() {
		t.Errorf("what is published already changes %+v", p.Services)
	}
	earlier := policy("p", 1, "us-east").PolicyVersion
	earlier.Targets = []federation.ServiceName{cart}
	w.Published[0].History = []federation.PolicyVersion{earlier}
	inForce := w.InForce
	w.InForce = func(m federation.Member) []federation.Policy {
		if m.Name == "us-east" {
			return []federation.Policy{{ID: newest.ID, Order: 1, PolicyVersion: earlier}}
		}
		return inForce(m)
	}
	if p := mustMake(t, w, apply(policy("p", 0, "eu-west"))); !slices.Equal(p.Dormant, []federation.ServiceName{cart}) {
		t.Errorf("an earlier version's target gets other rules, and the plan names %v", p.Dormant)
	}
	w.InForce = inForce
	got := goes(mustMake(t, w, apply(policy("p", 0, "eu-west"))).Services[0])
	want := map[federation.ClusterName]string{"eu-west": "us-east eu-west", "us-east": "us-east eu-west", "us-west": "us-west eu-west"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
