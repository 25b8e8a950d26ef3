package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// Config says what a world is drawn from.
type Config struct {
	Seed uint64
	// Least and Most bound the number of clusters.
	Least, Most int
	// Faults is how many are drawn.
	Faults int
	// Warm is how long the world runs before the first fault; FaultsFor how long faults
	// begin; FaultMost how long one lasts at most; Settle how long the world runs after
	// the last one has ended.
	Warm, FaultsFor, FaultMost, Settle time.Duration
}

// DefaultConfig is what `make sim` runs: some two virtual minutes.
func DefaultConfig(seed uint64) Config {
	return Config{
		Seed: seed, Least: 4, Most: 7, Faults: 10,
		Warm: 15 * time.Second, FaultsFor: 45 * time.Second, FaultMost: 20 * time.Second, Settle: 50 * time.Second,
	}
}

// Plan is everything about a world that the seed alone decides.
type Plan struct {
	Config
	Clusters int
	Faults   []Fault
	Changes  []change
	Policies []federation.Policy
	Exports  map[federation.ServiceName][]federation.Export
	// Gone is the cluster that is lost near the end and never comes back; -1 is none.
	Gone int
}

// change is what one cluster's endpoints do.
type change struct {
	at        time.Duration
	cluster   int
	service   int
	withdrawn bool
	ready     uint32
	load      uint16
}

const services = 5

func serviceName(i int) federation.ServiceName {
	return federation.ServiceName{Namespace: "shop", Name: fmt.Sprintf("s%d", i)}
}

func servicePort(i int) federation.ServicePort {
	return federation.ServicePort{Service: serviceName(i), Port: 80}
}

// MaxRecordAge is what the policy of the last service bounds.
const MaxRecordAge = 8 * time.Second

// Draw makes the plan of a seed.
func Draw(cfg Config) Plan {
	rng := rand.New(rand.NewPCG(cfg.Seed, 0)) //nolint:gosec // a simulation
	p := Plan{Config: cfg, Clusters: cfg.Least + rng.IntN(cfg.Most-cfg.Least+1), Gone: -1}
	p.Faults = schedule(rng, p.Clusters, cfg.Faults, cfg.Warm, cfg.Warm+cfg.FaultsFor, cfg.FaultMost)
	p.Policies = policies()
	p.drawExports(rng)
	p.drawChanges(rng)
	if rng.IntN(3) == 0 {
		p.Gone = rng.IntN(p.Clusters)
	}
	return p
}

// policies: the first service has none, the others one each.
func policies() []federation.Policy {
	out := make([]federation.Policy, 0, services-1)
	for i, rules := range []federation.Rules{
		{OnPartition: federation.PartitionKeep},
		{OnPartition: federation.PartitionWithdraw},
		{OnPartition: federation.PartitionWithdrawWithQuorum},
		{MaxRecordAge: MaxRecordAge},
	} {
		p := federation.Policy{ID: federation.PolicyID{Origin: "c0", Namespace: "shop", Name: fmt.Sprintf("p%d", i+1)}}
		p.Rules, p.Targets = rules, []federation.ServiceName{serviceName(i + 1)}
		p.Regions, p.Order = []federation.Region{regions[i%len(regions)].name}, uint64(i+1) //nolint:gosec // small
		out = append(out, p)
	}
	return out
}

// drawExports has every service exported by at least two clusters.
func (p *Plan) drawExports(rng *rand.Rand) {
	p.Exports = map[federation.ServiceName][]federation.Export{}
	for s := range services {
		exporters := rng.Perm(p.Clusters)[:2+rng.IntN(p.Clusters-1)]
		slices.Sort(exporters)
		for order, c := range exporters {
			p.Exports[serviceName(s)] = append(p.Exports[serviceName(s)], federation.Export{
				Cluster: clusterName(c), Service: serviceName(s), Order: uint64(order + 1), //nolint:gosec // small
				Ports: []federation.ExportedPort{{Name: "http", Port: 80, Protocol: federation.TCP}},
			})
		}
	}
}

// exports says whether a cluster exports a service.
func (p *Plan) exports(c, service int) bool {
	return slices.ContainsFunc(p.Exports[serviceName(service)], func(e federation.Export) bool { return e.Cluster == clusterName(c) })
}

// drawChanges has endpoints flip, services withdrawn and exported again, until some
// seconds after the last fault.
func (p *Plan) drawChanges(rng *rand.Rand) {
	end := p.faultsEnd() + 5*time.Second
	for at := time.Second; at < end; at += between(rng, 20*time.Millisecond, 400*time.Millisecond) {
		c := change{at: at, cluster: rng.IntN(p.Clusters), service: rng.IntN(services), load: uint16(rng.IntN(1000))} //nolint:gosec // small
		switch rng.IntN(6) {
		case 0:
			c.withdrawn = true
		case 1:
			c.ready = 0
		default:
			c.ready = 1 + rng.Uint32N(9)
		}
		if p.exports(c.cluster, c.service) {
			p.Changes = append(p.Changes, c)
		}
	}
}

// faultsEnd is when the last fault has ended.
func (p *Plan) faultsEnd() time.Duration {
	end := p.Warm
	for _, f := range p.Faults {
		end = max(end, f.end())
	}
	return end
}

// End is how long the world runs.
func (p *Plan) End() time.Duration { return p.faultsEnd() + p.Settle }

// String is the plan as a person reads it.
func (p *Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d clusters, %d changes, %s", p.Seed, p.Clusters, len(p.Changes), p.End())
	if p.Gone >= 0 {
		fmt.Fprintf(&b, "; c%d is lost for good at %s", p.Gone, p.faultsEnd())
	}
	b.WriteByte('\n')
	for _, f := range p.Faults {
		fmt.Fprintf(&b, "  %s\n", f)
	}
	return b.String()
}
