package routing

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// Inputs is everything a decision may depend on.
type Inputs struct {
	Self       federation.ClusterName
	Federation string
	// Members are the clusters of the federation, our own among them.
	Members map[federation.ClusterName]federation.Member
	// Exports are all exports, by service, sorted by Order.
	Exports map[federation.ServiceName][]federation.Export
	// Policies are those in force, sorted by Order: the first that targets a
	// service decides.
	Policies []federation.Policy
	// Health is what owners said; our own cluster's records are in it too.
	Health map[federation.ClusterName]map[federation.ServicePort]federation.HeldRecord
	// Verdicts are ours on the other members.
	Verdicts map[federation.ClusterName]federation.Verdict
	// Egress holds the imported ports that have a listening port allotted.
	Egress map[federation.ServicePort]EgressPort
	// Served, Operators and Bundles go into the table as they are.
	Served    map[federation.ServicePort]Served
	Operators []Operator
	Bundles   map[federation.TrustDomain][]byte
}

// EgressPort is what the gateways listen on for one imported port.
type EgressPort struct {
	Port        uint16
	AppProtocol string
}

// State is what one computation leaves for the next: the home of hysteresis and
// dwell times. It is opaque to callers.
type State struct {
	// missing is since when a target's record has been missing, on the caller's clock:
	// a record that never came is as old as the wait for it.
	missing map[source]time.Duration
}

// source is who should have said something of what.
type source struct {
	cluster federation.ClusterName
	port    federation.ServicePort
}

// Result is a table without a version, and why it is as it is.
type Result struct {
	Table     Table
	Decisions map[federation.ServicePort]Decision
}

// Compute decides every imported port. now is the caller's monotonic clock, read
// by rules that need time to pass.
func Compute(in Inputs, prev State, now time.Duration) (Result, State) {
	out := Result{
		Table: Table{
			Self: in.Self, Federation: in.Federation,
			Peers:  peers(in),
			Routes: make(map[federation.ServicePort]Route, len(in.Egress)),
			Served: in.Served, Operators: in.Operators, Bundles: in.Bundles,
		},
		Decisions: make(map[federation.ServicePort]Decision, len(in.Egress)),
	}
	next := State{missing: map[source]time.Duration{}}
	for port, egress := range in.Egress {
		d := decide(in, port, prev.waits(in, port, now, next))
		if len(d.Candidates) == 0 {
			continue // exported by nobody any more
		}
		out.Decisions[port] = d
		out.Table.Routes[port] = Route{
			Port: port, EgressPort: egress.Port, AppProtocol: egress.AppProtocol,
			EarlyData: earlyData(in.Exports[port.Service]), Tiers: d.tiers(), Rule: d.Rule,
		}
	}
	return out, next
}

// waits is for how long the record of each exporter of a port has been missing; it
// notes in next since when.
func (s State) waits(in Inputs, port federation.ServicePort, now time.Duration, next State) map[federation.ClusterName]time.Duration {
	out := map[federation.ClusterName]time.Duration{}
	for _, e := range in.Exports[port.Service] {
		if _, known := in.Health[e.Cluster][port]; known {
			continue
		}
		key := source{e.Cluster, port}
		began, waiting := s.missing[key]
		if !waiting {
			began = now
		}
		next.missing[key] = began
		out[e.Cluster] = now - began
	}
	return out
}

func peers(in Inputs) map[federation.ClusterName]Peer {
	out := make(map[federation.ClusterName]Peer, len(in.Members))
	for name, m := range in.Members {
		if name == in.Self {
			continue
		}
		out[name] = Peer{Cluster: name, Region: m.Region, TrustDomain: m.TrustDomain, Gateways: m.Gateways}
	}
	return out
}

// earlyData needs every exporter's consent: the bytes may be sent to any of them.
func earlyData(exports []federation.Export) bool {
	for _, e := range exports {
		if !e.EarlyData {
			return false
		}
	}
	return len(exports) > 0
}

// Decide ranks the clusters that export one port, best first.
func Decide(in Inputs, port federation.ServicePort) Decision { return decide(in, port, nil) }

// decide is Decide; waits is for how long records have been missing.
func decide(in Inputs, port federation.ServicePort, waits map[federation.ClusterName]time.Duration) Decision {
	policy := policyFor(in.Policies, port.Service)
	d := Decision{Port: port, Consumer: in.Self, Rule: RuleDefault, OnPartition: federation.PartitionDemote}
	if policy != nil {
		d.Policy, d.Rule = policy.ID, policy.ID.String()
		d.OnPartition, d.MaxRecordAge = policy.OnPartition.Or(), policy.MaxRecordAge
	}
	for _, e := range in.Exports[port.Service] {
		if exportsPort(e, port.Port) {
			d.Candidates = append(d.Candidates, d.judge(in, e, waits[e.Cluster]))
		}
	}
	slices.SortFunc(d.Candidates, func(a, b Candidate) int {
		return cmp.Or(rank(in, policy, a).compare(rank(in, policy, b)), cmp.Compare(a.Cluster, b.Cluster))
	})
	d.number(in, policy)
	return d
}

func exportsPort(e federation.Export, port uint16) bool {
	return slices.ContainsFunc(e.Ports, func(p federation.ExportedPort) bool {
		return p.Port == port && p.Protocol == federation.TCP
	})
}

func policyFor(policies []federation.Policy, svc federation.ServiceName) *federation.Policy {
	for i := range policies {
		if slices.Contains(policies[i].Targets, svc) {
			return &policies[i]
		}
	}
	return nil
}

// judge says whether one exporter is a target, and why.
func (d Decision) judge(in Inputs, e federation.Export, waited time.Duration) Candidate {
	c := Candidate{Cluster: e.Cluster, Order: e.Order, Weight: 1}
	m, member := in.Members[e.Cluster]
	c.Region = m.Region
	if e.Cluster == in.Self {
		c.Verdict = federation.Verdict{Kind: federation.Reachable, Cause: "this cluster"}
	} else {
		c.Verdict = in.Verdicts[e.Cluster]
	}
	record, known := in.Health[e.Cluster][d.Port]
	age := waited
	if known {
		c.Ready, c.Total, c.HealthAge, c.HealthKnown = record.Ready, record.Total, record.Age, true
		c.Capacity, c.Load, c.Errors, c.Zones = record.Capacity, record.Load, record.Errors, record.Zones
		age = record.Age
		c.Weight = max(1, record.Ready)
	}
	switch {
	case !member:
		c.Reason = ReasonNotMember
	case e.Headless:
		c.Reason = ReasonHeadless
	case known && record.Withdrawn:
		c.Reason = ReasonWithdrawn
	case known && record.Ready == 0:
		c.Reason = ReasonNoReadyEndpoints
	case d.MaxRecordAge > 0 && age > d.MaxRecordAge && e.Cluster != in.Self:
		c.Reason = ReasonRecordTooOld
	case c.Verdict.Kind.Dead():
		d.partitioned(&c)
	case c.Verdict.Kind == federation.Draining:
		c.In, c.LastResort, c.Reason = true, true, ReasonDraining
	case !known:
		c.In, c.Reason = true, ReasonHealthUnknown
	default:
		c.In, c.Reason = true, ReasonHealthy
	}
	return c
}

// partitioned says what becomes of a candidate whose data path is dead.
func (d Decision) partitioned(c *Candidate) {
	withdraw := d.OnPartition == federation.PartitionWithdraw ||
		d.OnPartition == federation.PartitionWithdrawWithQuorum && c.Verdict.Quorum()
	if withdraw {
		c.Reason = ReasonPartitioned
		return
	}
	c.In, c.LastResort, c.Reason = true, d.OnPartition != federation.PartitionKeep, ReasonPathDead
}

// place is where a candidate's region stands: smaller is better, field by field.
type place struct {
	listed int // position in the policy's order; unlisted regions come after all listed
	self   int // 0 is our own cluster
	home   int // 0 is our own region
	rtt    time.Duration
	region federation.Region
}

// unmeasured stands for a round trip that nobody has measured: after all others.
const unmeasured = time.Hour

func rank(in Inputs, policy *federation.Policy, c Candidate) place {
	p := place{self: 1, home: 1, region: c.Region}
	if policy != nil {
		if p.listed = slices.Index(policy.Regions, c.Region); p.listed < 0 {
			p.listed = len(policy.Regions)
		}
	}
	if c.Cluster == in.Self {
		p.self = 0
	}
	if home := in.Members[in.Self].Region; home != "" && c.Region == home {
		p.home = 0
	}
	if policy == nil || p.listed == len(policy.Regions) {
		p.rtt = regionRTT(in, c.Region)
	}
	return p
}

func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(p.listed, o.listed), cmp.Compare(p.home, o.home), cmp.Compare(p.self, o.self),
		cmp.Compare(p.rtt, o.rtt), cmp.Compare(p.region, o.region))
}

// rttStep coarsens measured round trips, so that jitter does not reorder regions
// that are equally far.
const rttStep = 10 * time.Millisecond

// regionRTT is the least measured round trip to any member of a region, rounded
// to rttStep; our own region is at 0.
func regionRTT(in Inputs, r federation.Region) time.Duration {
	if r == in.Members[in.Self].Region {
		return 0
	}
	best := unmeasured
	for name := range maps.Keys(in.Members) {
		if v := in.Verdicts[name]; in.Members[name].Region == r && v.RTT > 0 {
			best = min(best, v.RTT.Round(rttStep))
		}
	}
	return best
}
