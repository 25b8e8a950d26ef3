package explain

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/plan"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// MaxPlanBytes bounds the body of a PlanRequest.
const MaxPlanBytes = 4 << 20

// PlanRequest is the body of POST /v1/plan. Nothing is written on account of it.
type PlanRequest struct {
	// Policies are RoutingPolicy objects as the API server would store them.
	Policies []json.RawMessage `json:"policies"`
	// Delete are "namespace/name" of RoutingPolicies of the answering cluster.
	Delete []string `json:"delete"`
}

// Plan is the answer to it.
type Plan struct {
	// Cluster answered: what it knows of the others is what was predicted from.
	Cluster string `json:"cluster"`
	// Assumes are the assumptions behind the prediction, in sentences.
	Assumes  []string      `json:"assumes"`
	Policies []PlanPolicy  `json:"policies"`
	Services []PlanService `json:"services"`
	// Dormant are services whose rules change and that no cluster exports.
	Dormant []string `json:"dormant"`
	// Changes: something would be other than it is; Refused: a policy would not be accepted.
	Changes bool `json:"changes"`
	Refused bool `json:"refused"`
}

// PlanPolicy is what becomes of one policy.
type PlanPolicy struct {
	Policy     string        `json:"policy"` // origin:namespace/name
	Action     string        `json:"action"` // Create, Update, Delete, Unchanged, Refused
	Why        string        `json:"why,omitempty"`
	Loses      []PlanContest `json:"loses,omitempty"`
	Overrides  []PlanContest `json:"overrides,omitempty"`
	Unexported []string      `json:"unexported,omitempty"`
	Waves      []PlanWave    `json:"waves,omitempty"`
}

// PlanContest is one target that another policy speaks of as well.
type PlanContest struct {
	Service string `json:"service"`
	Other   string `json:"other"`
	Order   uint64 `json:"order"`
}

// PlanWave is one step of a rollout.
type PlanWave struct {
	Clusters []string `json:"clusters"`
	Rest     bool     `json:"rest,omitempty"`
}

// PlanService is one service port for which something changes.
type PlanService struct {
	Service   string         `json:"service"`
	Port      uint16         `json:"port"`
	Consumers []PlanConsumer `json:"consumers"`
	// Importers is how many clusters call it; Before and After are the parts of their new
	// connections by region, 0 to 1, and Moved is the part that goes elsewhere.
	Importers int                `json:"importers"`
	Before    map[string]float64 `json:"before"`
	After     map[string]float64 `json:"after"`
	Moved     float64            `json:"moved"`
	// Evacuates are the regions that take connections now and would take none.
	Evacuates []string `json:"evacuates"`
}

// PlanConsumer is one cluster in which a service's route or rules change.
type PlanConsumer struct {
	Cluster string   `json:"cluster"`
	Region  string   `json:"region"`
	Before  PlanSide `json:"before"`
	After   PlanSide `json:"after"`
	// Moved is the part of this cluster's new connections that goes elsewhere, 0 to 1.
	Moved float64 `json:"moved"`
}

// PlanSide is a route at one time.
type PlanSide struct {
	Rule           string `json:"rule"`
	OnPartition    string `json:"onPartition"`
	MaxRecordAgeMS int64  `json:"maxRecordAgeMs,omitempty"`
	// Tiers are tried in order; none is no target.
	Tiers [][]PlanTarget     `json:"tiers"`
	Share map[string]float64 `json:"share"` // by region, 0 to 1
}

// PlanTarget is a cluster that serves.
type PlanTarget struct {
	Cluster    string `json:"cluster"`
	Weight     uint32 `json:"weight"`
	LastResort bool   `json:"lastResort,omitempty"`
}

// planAssumes holds for every plan.
var planAssumes = []string{
	"every cluster is taken to know what the answering one knows, but for the round trips and dead links that it tells itself",
	"other clusters are taken to import every exported service",
	"every cluster's calls weigh the same: nobody measures how much each one calls",
}

// PlanOf converts a plan.
func PlanOf(p plan.Plan) Plan {
	return Plan{
		Cluster: string(p.Self), Assumes: planAssumes, Changes: p.Changes(), Refused: p.Refused(),
		Policies: each(p.Policies, planPolicy), Services: each(p.Services, planService), Dormant: each(p.Dormant, federation.ServiceName.String),
	}
}

func planPolicy(o plan.Outcome) PlanPolicy {
	return PlanPolicy{
		Policy: o.Policy.String(), Action: string(o.Action), Why: o.Why, Loses: each(o.Loses, planContest), Overrides: each(o.Overrides, planContest),
		Unexported: each(o.Unexported, federation.ServiceName.String), Waves: each(o.Waves, planWave),
	}
}

func planContest(c plan.Contest) PlanContest {
	return PlanContest{Service: c.Target.String(), Other: c.Other.String(), Order: c.Order}
}

func planWave(w plan.Wave) PlanWave { return PlanWave{Clusters: texts(w.Clusters), Rest: w.Rest} }

func planService(s plan.Service) PlanService {
	return PlanService{
		Service: s.Port.Service.String(), Port: s.Port.Port, Consumers: each(s.Consumers, planConsumer), Importers: s.Importers,
		Before: byRegion(s.Before), After: byRegion(s.After), Moved: plan.Moved(s.Before, s.After), Evacuates: texts(s.Evacuated()),
	}
}

func planConsumer(c plan.Consumer) PlanConsumer {
	return PlanConsumer{
		Cluster: string(c.Cluster), Region: string(c.Region), Before: planSide(c.Before), After: planSide(c.After),
		Moved: plan.Moved(c.Before.Shares, c.After.Shares),
	}
}

func planSide(s plan.Side) PlanSide {
	return PlanSide{
		Rule: s.Rule, OnPartition: string(s.Rules.OnPartition.Or()), MaxRecordAgeMS: s.Rules.MaxRecordAge.Milliseconds(),
		Share: byRegion(s.Shares), Tiers: each(s.Tiers, planTier),
	}
}

func planTier(t routing.Tier) []PlanTarget {
	return each(t.Targets, func(t routing.Target) PlanTarget {
		return PlanTarget{Cluster: string(t.Cluster), Weight: t.Weight, LastResort: t.LastResort}
	})
}

func byRegion(s plan.Shares) map[string]float64 {
	out := map[string]float64{}
	for region, part := range s {
		out[string(region)] = part
	}
	return out
}

// each is never nil, so that JSON shows a list.
func each[T, U any](in []T, f func(T) U) []U {
	out := make([]U, 0, len(in))
	for _, one := range in {
		out = append(out, f(one))
	}
	return out
}

func texts[T ~string](in []T) []string { return each(in, func(s T) string { return string(s) }) }

// Summary is a plan in one line.
func (p Plan) Summary() string {
	clusters, services := map[string]bool{}, map[string]bool{}
	leaves := map[string]map[string]bool{} // services by region
	for _, s := range p.Services {
		services[s.Service] = true
		for _, c := range s.Consumers {
			clusters[c.Cluster] = true
		}
		for _, region := range s.Evacuates {
			if leaves[region] == nil {
				leaves[region] = map[string]bool{}
			}
			leaves[region][s.Service] = true
		}
	}
	var parts []string
	if len(services) == 0 {
		parts = append(parts, "no service changes")
	} else {
		parts = append(parts, count(len(services), "service changes", "services change")+" in "+count(len(clusters), "cluster", "clusters"))
	}
	for _, region := range slices.Sorted(maps.Keys(leaves)) {
		parts = append(parts, count(len(leaves[region]), "service evacuates ", "services evacuate ")+region)
	}
	if n := len(p.Dormant); n > 0 {
		parts = append(parts, count(n, "service that nobody exports gets other rules", "services that nobody exports get other rules"))
	}
	refused := 0
	for _, o := range p.Policies {
		if o.Action == string(plan.Refused) {
			refused++
		}
	}
	if refused > 0 {
		parts = append(parts, count(refused, "policy would be refused", "policies would be refused"))
	}
	return "Plan: " + strings.Join(append(parts, "nothing is written"), "; ")
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
