package engine

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/policystore"
	"github.com/causeway-mesh/causeway/federation/rollout"
	"github.com/causeway-mesh/causeway/federation/routing"
)

var rolled = federation.PolicyID{Origin: "us-west", Namespace: checkout.Namespace, Name: "p"}

// rolling is a state in which a policy for checkout is on its way.
func rolling(phase federation.RolloutPhase) policystore.State {
	s := state()
	s.Policies = []federation.Policy{{
		ID: rolled, PolicyVersion: federation.PolicyVersion{Generation: 2, Targets: []federation.ServiceName{checkout}},
		Rollout: &federation.RolloutPlan{Waves: []federation.Wave{{Clusters: []federation.ClusterName{"us-east"}}}},
	}}
	s.Rollouts = map[federation.PolicyID]federation.Rollout{rolled: {Policy: rolled, To: 2, Phase: phase}}
	return s
}

func (r *rig) reports(instance string, calls map[federation.ServicePort]routing.PortCalls) {
	r.OnReport(routing.GatewayReport{Instance: instance, Calls: calls, Applied: r.table.Version})
}

func TestCallsAreToldOnlyWhileTheirPolicyIsRolledOut(t *testing.T) {
	r := ready(t)
	second := federation.ServicePort{Service: checkout, Port: 81}
	r.reports("gw-1", map[federation.ServicePort]routing.PortCalls{port: {Outcomes: 60, Failed: 3, Slowest: time.Second}})
	r.reports("gw-2", map[federation.ServicePort]routing.PortCalls{port: {Outcomes: 40, Slowest: time.Millisecond}, second: {Outcomes: 9, Failed: 9, Slowest: time.Minute}})
	for phase, want := range map[federation.RolloutPhase][]federation.ServiceCalls{
		federation.RolloutProgressing: {{Service: checkout, Errors: federation.Measure{Known: true, PerMille: 30}, Latency: time.Second}},
		federation.RolloutPaused:      {{Service: checkout, Errors: federation.Measure{Known: true, PerMille: 30}, Latency: time.Second}},
		federation.RolloutCompleted:   nil, federation.RolloutRolledBack: nil, "": nil,
	} {
		r.onState(rolling(phase))
		r.measured = measurement{}
		p := r.presence(r.now())
		if d := cmp.Diff(want, p.Calls); d != "" {
			t.Errorf("%q:\n%s", phase, d)
		}
	}
}

func TestAMeasurementStandsForAWhile(t *testing.T) {
	r := ready(t)
	r.onState(rolling(federation.RolloutProgressing))
	errors := func(failed uint32, now time.Duration) uint16 {
		t.Helper()
		r.reports("gw-1", map[federation.ServicePort]routing.PortCalls{port: {Outcomes: 100, Failed: failed}})
		return r.presence(now).Calls[0].Errors.PerMille
	}
	first := errors(1, time.Second)
	if again := errors(2, 2*time.Second); again != first {
		t.Errorf("a second later it is %d, not %d", again, first)
	}
	if next := errors(2, time.Second+measureEvery); next != 20 || first != 10 {
		t.Errorf("then it is %d after %d", next, first)
	}
}

func TestAppliedWaitsForEveryConnectedGateway(t *testing.T) {
	r := ready(t)
	s := state()
	s.ContentRevision = 10
	r.onState(s)
	r.round()
	r.reports("gw-1", nil)
	r.reports("gw-2", nil)
	r.round()
	if got := r.presence(r.now()).Applied; got != 10 {
		t.Fatalf("both gateways have followed: %d", got)
	}
	s.ContentRevision = 11
	s.Exports = nil
	r.onState(s)
	r.round()
	r.reports("gw-1", nil)
	if got := r.presence(r.now()).Applied; got != 10 {
		t.Errorf("one gateway has not followed: %d", got)
	}
	r.reports("gw-2", nil)
	if got := r.presence(r.now()).Applied; got != 11 {
		t.Errorf("both have: %d", got)
	}
}

func TestACoordinatorReadsClientsBeforeEndpoints(t *testing.T) {
	r := ready(t)
	s := rolling(federation.RolloutProgressing)
	s.Presence = map[federation.ClusterName]federation.Presence{"us-east": {
		Calls: []federation.ServiceCalls{{Service: checkout, Errors: federation.Measure{Known: true, PerMille: 10}, Latency: time.Second}},
	}, "us-west": {Calls: []federation.ServiceCalls{{Service: checkout}}}}
	r.onState(s)
	record := func(perMille uint16) map[federation.ServicePort]federation.HeldRecord {
		return map[federation.ServicePort]federation.HeldRecord{port: {HealthRecord: federation.HealthRecord{Errors: federation.Measure{Known: true, PerMille: perMille}, Version: federation.Version{Epoch: 2, Sequence: 9}}}}
	}
	r.records = map[federation.ClusterName]map[federation.ServicePort]federation.HeldRecord{"us-east": record(500), "us-west": record(20)}
	version := federation.Version{Epoch: 7, Sequence: 1}
	want := map[rollout.Spot]rollout.Reading{
		{Cluster: "us-east", Service: checkout}: {Errors: federation.Measure{Known: true, PerMille: 10}, Latency: time.Second, Version: version},
		{Cluster: "us-west", Service: checkout}: {Errors: federation.Measure{Known: true, PerMille: 20}, Version: version},
	}
	if d := cmp.Diff(want, r.readings(0)); d != "" {
		t.Error(d)
	}
	spot := rollout.Spot{Cluster: "us-west", Service: checkout}
	if again := r.readings(time.Second)[spot]; again.Version != version {
		t.Errorf("a second later it is a new measurement: %v", again.Version)
	}
	if same := r.readings(measureEvery)[spot]; !same.Version.Newer(version) {
		t.Errorf("a figure that stays is not measured again: %v", same.Version)
	}
	old := r.records["us-west"][port]
	old.Age = freshRecord + time.Second
	r.records["us-west"][port] = old
	if got, ok := r.readings(2 * measureEvery)[spot]; ok {
		t.Errorf("what is old is a measurement: %+v", got)
	}
}
