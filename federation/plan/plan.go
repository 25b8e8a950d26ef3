package plan

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// MaxDecisions bounds what one plan asks of Compute: service ports times clusters.
const MaxDecisions = 1 << 18

// ErrTooLarge: a change would take more than MaxDecisions, or has more than MaxPolicies.
var ErrTooLarge = errors.New("the plan is too large: plan fewer policies at a time")

// Plan is what a change would do.
type Plan struct {
	// Self is the cluster from whose knowledge it was predicted, and which would author
	// the policies.
	Self federation.ClusterName
	// Policies are the outcomes: the applied ones in their order, then the deleted.
	Policies []Outcome
	// Services are the exported ports for which something changes, sorted.
	Services []Service
	// Dormant are services whose rules change and that no cluster exports.
	Dormant []federation.ServiceName
}

// Changes says whether anything would be other than it is: a table, or the rules that
// hold for a service. A policy that only says again what holds changes nothing.
func (p Plan) Changes() bool { return len(p.Services) > 0 || len(p.Dormant) > 0 }

// Refused says whether a policy would not be accepted.
func (p Plan) Refused() bool {
	return slices.ContainsFunc(p.Policies, func(o Outcome) bool { return o.Action == Refused })
}

// Service is one exported port with what changes.
type Service struct {
	Port federation.ServicePort
	// Consumers are the clusters in which something changes, by name.
	Consumers []Consumer
	// Importers is how many clusters call it, as far as is known.
	Importers int
	// Before and After are the predicted shares of the connections of all importers.
	Before, After Shares
}

// Consumer is one cluster's route before and after.
type Consumer struct {
	Cluster       federation.ClusterName
	Region        federation.Region
	Before, After Side
}

// Side is a route at one time.
type Side struct {
	// Rule is as in routing.Decision; Rules are what it asks, zero without a policy.
	Rule  string
	Rules federation.Rules
	Tiers []routing.Tier
	// Shares is where new connections go.
	Shares Shares
}

// NoTarget says whether calls have nowhere to go.
func (s Side) NoTarget() bool { return len(s.Tiers) == 0 }

// Evacuated are the regions that take connections before and none after, sorted.
func (s Service) Evacuated() []federation.Region {
	var out []federation.Region
	for region := range s.Before {
		if s.After[region] <= negligible {
			out = append(out, region)
		}
	}
	slices.Sort(out)
	return out
}

// Make predicts what a change would do. It errs when the change as a whole cannot be
// planned: a policy of another cluster, one named twice, too many (ErrTooLarge).
func Make(w World, c Change) (Plan, error) {
	if err := c.validate(w.Inputs.Self); err != nil {
		return Plan{}, err
	}
	a := survey(w)
	d := a.settle(c)
	out := Plan{Self: w.Inputs.Self, Policies: d.outcomes}
	ports := 0
	for port := range a.exported {
		if d.services[port.Service] {
			ports++
		}
	}
	if n := ports * len(w.Inputs.Members); n > MaxDecisions {
		return Plan{}, fmt.Errorf("%w: %d service ports in %d clusters", ErrTooLarge, ports, len(w.Inputs.Members))
	}
	out.Services = a.compare(d)
	out.Dormant = a.dormant(d)
	return out, nil
}

// compare computes every consumer's table twice.
func (a atlas) compare(d draft) []Service {
	found := map[federation.ServicePort]*account{}
	for _, name := range slices.Sorted(maps.Keys(a.Inputs.Members)) {
		before := a.InForce(a.Inputs.Members[name])
		had := a.sides(name, before, d.services)
		gets := a.sides(name, d.over(before), d.services)
		for port, side := range had {
			if found[port] == nil {
				found[port] = &account{Service: Service{Port: port}}
			}
			found[port].add(Consumer{Cluster: name, Region: a.Inputs.Members[name].Region, Before: side, After: gets[port]})
		}
	}
	var out []Service
	for _, t := range found {
		if len(t.Consumers) > 0 {
			out = append(out, t.close())
		}
	}
	slices.SortFunc(out, func(a, b Service) int { return a.Port.Compare(b.Port) })
	return out
}

// sides is one consumer's routes under policies.
func (a atlas) sides(consumer federation.ClusterName, policies []federation.Policy, services map[federation.ServiceName]bool) map[federation.ServicePort]Side {
	result, _ := routing.Compute(a.inputs(consumer, policies, services), a.State, a.Now)
	out := make(map[federation.ServicePort]Side, len(result.Decisions))
	for port, decision := range result.Decisions {
		s := Side{Rule: decision.Rule, Tiers: result.Table.Routes[port].Tiers}
		if p := routing.Ruling(policies, port.Service); p != nil {
			s.Rules = p.Rules
		}
		s.Shares = shares(a.Inputs.Members, s.Tiers)
		out[port] = s
	}
	return out
}

// account gathers one port's consumers.
type account struct {
	Service
	before, after []Shares
}

func (t *account) add(c Consumer) {
	t.before, t.after = append(t.before, c.Before.Shares), append(t.after, c.After.Shares)
	if !c.Before.Rules.SameRules(c.After.Rules) || !reflect.DeepEqual(c.Before.Tiers, c.After.Tiers) {
		t.Consumers = append(t.Consumers, c)
	}
}

func (t *account) close() Service {
	t.Importers, t.Before, t.After = len(t.before), mean(t.before), mean(t.after)
	return t.Service
}

// dormant are the services of a draft that nobody exports and whose rules change.
func (a atlas) dormant(d draft) []federation.ServiceName {
	var out []federation.ServiceName
	for svc := range d.services {
		if !a.carried[svc] && a.ruledAnew(svc, d) {
			out = append(out, svc)
		}
	}
	slices.SortFunc(out, federation.ServiceName.Compare)
	return out
}

func (a atlas) ruledAnew(svc federation.ServiceName, d draft) bool {
	for _, m := range a.Inputs.Members {
		before := a.InForce(m)
		had, gets := rulesOf(before, svc), rulesOf(d.over(before), svc)
		if !had.SameRules(gets) {
			return true
		}
	}
	return false
}

func rulesOf(policies []federation.Policy, svc federation.ServiceName) federation.Rules {
	if p := routing.Ruling(policies, svc); p != nil {
		return p.Rules
	}
	return federation.Rules{}
}
