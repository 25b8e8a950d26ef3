// Package explain is how an operator tells a person what it knows and what it
// decided: the JSON of its admin endpoint, read by causewayctl and the console.
//
// It owns the shape of the answers. It leaves to others to decide anything: a
// value here is copied from the engine's view, never worked out again.
//
// Plain values; any goroutine.
//
// Invariants:
//  1. Ages are in milliseconds at the moment of the answer.
//  2. Fields are only added; a reader ignores those it does not know.
package explain

import (
	"cmp"
	"slices"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// Status is the answer to GET /v1/status.
type Status struct {
	Version      string    `json:"version"`
	Replica      string    `json:"replica"`
	Leading      bool      `json:"leading"`
	Epoch        uint64    `json:"epoch"`
	Cluster      string    `json:"cluster"`
	Federation   string    `json:"federation"`
	Store        Store     `json:"policyStore"`
	Gossip       Gossip    `json:"gossip"`
	NameConflict string    `json:"nameConflict,omitempty"`
	Registration string    `json:"registrationError,omitempty"`
	Members      []Member  `json:"members"`
	Gateways     []Gateway `json:"gateways"`
	Services     []Service `json:"services"`
	// Matrix is how far the regions are from each other, as the clusters measure it.
	Matrix []Leg `json:"matrix"`
	// APIServerLost: the answering operator's own API server does not answer it.
	APIServerLost bool `json:"apiServerLost,omitempty"`
}

// Leg is one directed pair of clusters.
type Leg struct {
	From       string  `json:"from"`
	FromRegion string  `json:"fromRegion"`
	To         string  `json:"to"`
	ToRegion   string  `json:"toRegion"`
	State      string  `json:"state"` // Up, Down, Unknown
	RTTMS      float64 `json:"rttMs,omitempty"`
	JitterMS   float64 `json:"jitterMs,omitempty"`
	Loss       float64 `json:"loss,omitempty"` // 0 to 1
	AgeMS      int64   `json:"ageMs"`
	// Estimated: nobody measures the round trip; network coordinates tell it.
	Estimated bool `json:"estimated,omitempty"`
}

// Version is the answer to GET /v1/version, of operators and gateways alike.
type Version struct {
	Version string `json:"version"`
}

// Store is how the operator stands with the policy store.
type Store struct {
	Connected bool   `json:"connected"`
	Reason    string `json:"reason"`
	Message   string `json:"message,omitempty"`
	Revision  uint64 `json:"revision"`
	AgeMS     int64  `json:"ageMs"`
}

// Gossip is how the operator stands with the other operators.
type Gossip struct {
	Running bool   `json:"running"`
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
	Alive   int    `json:"alive"`
}

// Member is a cluster with the verdict on it.
type Member struct {
	Name     string   `json:"name"`
	Region   string   `json:"region"`
	Zone     string   `json:"zone,omitempty"`
	Self     bool     `json:"self,omitempty"`
	Verdict  string   `json:"verdict"`
	Reason   string   `json:"reason,omitempty"`
	Cause    string   `json:"cause"`
	AgeMS    int64    `json:"ageMs"`
	ProofMS  int64    `json:"proofAgeMs"`
	RTTMS    float64  `json:"rttMs,omitempty"`
	JitterMS float64  `json:"jitterMs,omitempty"`
	Loss     float64  `json:"loss,omitempty"` // 0 to 1
	Gateways []string `json:"gateways"`
}

// Gateway is one replica of the own cluster.
type Gateway struct {
	Instance    string            `json:"instance"`
	Connected   bool              `json:"connected"`
	Advertise   string            `json:"advertise"`
	TableEpoch  uint64            `json:"tableEpoch"`
	Table       uint64            `json:"tableSequence"`
	Behind      bool              `json:"behind,omitempty"`
	Draining    bool              `json:"draining,omitempty"`
	FailedPorts map[string]string `json:"failedPorts,omitempty"`
	Untrusted   map[string]string `json:"trustErrors,omitempty"`
}

// Service is one imported port with the decision on it: the answer to
// GET /v1/explain?service=namespace/name[:port] is a list of these.
type Service struct {
	Service string `json:"service"`
	Port    uint16 `json:"port"`
	From    string `json:"from"`
	Rule    string `json:"rule"`
	Goes    string `json:"goesTo"`
	// OnPartition and MaxRecordAgeMS are the rule's; 0 is no maximum.
	OnPartition    string      `json:"onPartition,omitempty"`
	MaxRecordAgeMS int64       `json:"maxRecordAgeMs,omitempty"`
	Candidates     []Candidate `json:"candidates"`
}

// Candidate is one exporter as the operator weighed it.
type Candidate struct {
	Cluster     string `json:"cluster"`
	Region      string `json:"region"`
	In          bool   `json:"in"`
	Tier        int    `json:"tier"`
	LastResort  bool   `json:"lastResort,omitempty"`
	Reason      string `json:"reason"`
	HealthKnown bool   `json:"healthKnown"`
	Ready       uint32 `json:"ready"`
	Total       uint32 `json:"total"`
	// Capacity 0 and the measures' null are unknown.
	Capacity       uint32  `json:"capacity,omitempty"`
	LoadPerMille   *uint16 `json:"loadPerMille,omitempty"`
	ErrorsPerMille *uint16 `json:"errorsPerMille,omitempty"`
	Zones          []Zone  `json:"zones,omitempty"`
	HealthAgeMS    int64   `json:"healthAgeMs"`
	Verdict        string  `json:"verdict"`
	VerdictCause   string  `json:"verdictCause"`
	VerdictAgeMS   int64   `json:"verdictAgeMs"`
	RTTMS          float64 `json:"rttMs,omitempty"`
	Order          uint64  `json:"order"`
}

// Zone is the part of a candidate's endpoints that stands in one zone.
type Zone struct {
	Zone  string `json:"zone"`
	Ready uint32 `json:"ready"`
	Total uint32 `json:"total"`
}

// Services converts decisions, sorted by port. An empty name means all.
func Services(decisions map[federation.ServicePort]routing.Decision, only func(federation.ServicePort) bool) []Service {
	out := []Service{}
	for port, d := range decisions {
		if only == nil || only(port) {
			out = append(out, service(d))
		}
	}
	slices.SortFunc(out, func(a, b Service) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Port, b.Port))
	})
	return out
}

func service(d routing.Decision) Service {
	s := Service{
		Service: d.Port.Service.String(), Port: d.Port.Port, From: string(d.Consumer), Rule: d.Rule,
		OnPartition: string(d.OnPartition), MaxRecordAgeMS: d.MaxRecordAge.Milliseconds(),
		Candidates: make([]Candidate, 0, len(d.Candidates)),
	}
	if w, ok := d.Winner(); ok {
		s.Goes = string(w.Cluster)
	}
	for _, c := range d.Candidates {
		s.Candidates = append(s.Candidates, Candidate{
			Cluster: string(c.Cluster), Region: string(c.Region), In: c.In, Tier: c.Tier, LastResort: c.LastResort,
			Reason: string(c.Reason), HealthKnown: c.HealthKnown, Ready: c.Ready, Total: c.Total, HealthAgeMS: c.HealthAge.Milliseconds(),
			Verdict: string(c.Verdict.Kind), VerdictCause: c.Verdict.Cause, VerdictAgeMS: c.Verdict.Age.Milliseconds(),
			RTTMS: Millis(c.Verdict.RTT), Order: c.Order,
			Capacity: c.Capacity, LoadPerMille: perMille(c.Load), ErrorsPerMille: perMille(c.Errors), Zones: zones(c.Zones),
		})
	}
	return s
}

// perMille is nil for what has not been measured.
func perMille(m federation.Measure) *uint16 {
	if !m.Known {
		return nil
	}
	return &m.PerMille
}

func zones(in []federation.ZoneCount) []Zone {
	var out []Zone
	for _, z := range in {
		out = append(out, Zone{Zone: string(z.Zone), Ready: z.Ready, Total: z.Total})
	}
	return out
}

// Millis is a duration in milliseconds with its fraction, for people.
func Millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
