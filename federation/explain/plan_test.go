package explain

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/plan"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// evacuation moves two ports of one service away from us-east, in one of two clusters.
func evacuation() plan.Plan {
	side := func(region federation.Region, rules federation.Rules) plan.Side {
		return plan.Side{Rules: rules, Shares: plan.Shares{region: 1},
			Tiers: []routing.Tier{{Region: region, Targets: []routing.Target{{Cluster: federation.ClusterName(region), Weight: 2}}}}}
	}
	p := plan.Plan{Self: "us-east"}
	for _, port := range []uint16{80, 81} {
		p.Services = append(p.Services, plan.Service{
			Port:   federation.ServicePort{Service: federation.ServiceName{Namespace: "shop", Name: "checkout"}, Port: port},
			Before: plan.Shares{"us-east": 0.5, "us-west": 0.5}, After: plan.Shares{"us-west": 1}, Importers: 2,
			Consumers: []plan.Consumer{{Cluster: "eu-west", Before: side("us-east", federation.Rules{}), After: side("us-west", federation.Rules{Regions: []federation.Region{"us-west"}})}},
		})
	}
	return p
}

func TestSummaryCountsServicesClustersAndEvacuations(t *testing.T) {
	for want, p := range map[string]plan.Plan{
		"Plan: no service changes; nothing is written":                                                 {},
		"Plan: 1 service changes in 1 cluster; 1 service evacuates us-east; nothing is written":        evacuation(),
		"Plan: no service changes; 1 service that nobody exports gets other rules; nothing is written": {Dormant: make([]federation.ServiceName, 1)},
		"Plan: no service changes; 2 policies would be refused; nothing is written": {
			Policies: []plan.Outcome{{Action: plan.Refused}, {Action: plan.Refused}, {Action: plan.Unchanged}}},
	} {
		if got := PlanOf(p).Summary(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestPlanIsToldWithWhatItAssumesAndListsAreNeverNull(t *testing.T) {
	text, err := json.Marshal(PlanOf(evacuation()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"cluster":"us-east"`, `"moved":0.5`, `"evacuates":["us-east"]`, `"share":{"us-west":1}`, "weigh the same", `"dormant":[]`, `"onPartition":"Demote"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	if strings.Contains(string(text), "null") {
		t.Errorf("%s", text)
	}
}
