package policystore

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// policyValue keeps the newest version's fields beside its own, as before there was a
// history. All fields are written even when empty: encodeValue keeps what is left out. A
// reader of a version without one of them does as if it were empty.
type policyValue struct {
	header
	Order uint64 `json:"order"`
	versionValue
	// Observed is 0 in a value from before the field: Generation is meant then.
	Observed int64          `json:"observedGeneration"`
	Rollout  *planValue     `json:"rollout"`
	Undo     int64          `json:"undo"`
	Hold     bool           `json:"hold"`
	History  []versionValue `json:"history"`
}

type versionValue struct {
	Targets     []targetValue              `json:"targets"`
	Regions     []federation.Region        `json:"regions"`
	Generation  int64                      `json:"generation"`
	OnPartition federation.PartitionPolicy `json:"onPartition"`
	// MaxRecordAge is a Go duration; "" is none.
	MaxRecordAge string `json:"maxRecordAge"`
}

type targetValue struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

type planValue struct {
	Waves []waveValue `json:"waves"`
	Bake  string      `json:"bake"`
	// MaxErrors is in thousandths; nil is no gate.
	MaxErrors  *uint16 `json:"maxErrorsPerMille"`
	MaxLatency string  `json:"maxLatency"`
}

type waveValue struct {
	Regions  []federation.Region      `json:"regions,omitempty"`
	Clusters []federation.ClusterName `json:"clusters,omitempty"`
}

func policyToValue(p federation.Policy) policyValue {
	v := policyValue{
		header: header{schemaVersion}, Order: p.Order, versionValue: versionToValue(p.PolicyVersion),
		Observed: p.Observed,
		Rollout:  planToValue(p.Rollout), Undo: p.Undo, Hold: p.Hold, History: []versionValue{},
	}
	for _, h := range p.History {
		v.History = append(v.History, versionToValue(h))
	}
	return v
}

func versionToValue(p federation.PolicyVersion) versionValue {
	v := versionValue{
		Targets: []targetValue{}, Regions: p.Regions, Generation: p.Generation,
		OnPartition: p.OnPartition, MaxRecordAge: durationText(p.MaxRecordAge),
	}
	if v.Regions == nil {
		v.Regions = []federation.Region{}
	}
	for _, t := range p.Targets {
		v.Targets = append(v.Targets, targetValue(t))
	}
	return v
}

func planToValue(p *federation.RolloutPlan) *planValue {
	if p == nil {
		return nil
	}
	v := &planValue{Waves: []waveValue{}, Bake: durationText(p.Bake), MaxLatency: durationText(p.MaxLatency)}
	for _, w := range p.Waves {
		v.Waves = append(v.Waves, waveValue(w))
	}
	if p.MaxErrors.Known {
		v.MaxErrors = &p.MaxErrors.PerMille
	}
	return v
}

func decodePolicy(r ref, data []byte, revision uint64) (federation.Policy, error) {
	var v policyValue
	if err := decodeValue(data, &v); err != nil {
		return federation.Policy{}, err
	}
	p := federation.Policy{
		ID:    federation.PolicyID{Origin: r.cluster, Namespace: r.namespace, Name: r.name},
		Order: v.Order, Revision: revision, Observed: cmp.Or(v.Observed, v.Generation), Undo: v.Undo, Hold: v.Hold,
	}
	var faults []error
	if v.Order == 0 {
		faults = append(faults, errors.New("policy without order"))
	}
	if len(v.History) > federation.MaxPolicyHistory {
		faults = append(faults, fmt.Errorf("policy with %d earlier versions, at most %d are allowed", len(v.History), federation.MaxPolicyHistory))
	}
	var err error
	if p.PolicyVersion, err = v.version(); err != nil {
		faults = append(faults, err)
	}
	for _, h := range v.History {
		earlier, err := h.version()
		if err != nil {
			faults = append(faults, fmt.Errorf("generation %d: %w", h.Generation, err))
		}
		p.History = append(p.History, earlier)
	}
	if p.Rollout, err = v.Rollout.plan(); err != nil {
		faults = append(faults, err)
	}
	return p, errors.Join(faults...)
}

func (v versionValue) version() (federation.PolicyVersion, error) {
	p := federation.PolicyVersion{Generation: v.Generation, Rules: federation.Rules{Regions: v.Regions, OnPartition: v.OnPartition}}
	for _, t := range v.Targets {
		p.Targets = append(p.Targets, federation.ServiceName(t))
	}
	var err error
	if p.MaxRecordAge, err = positive(v.MaxRecordAge); err != nil {
		return p, fmt.Errorf("policy's maxRecordAge: %w", err)
	}
	return p, nil
}

func (v *planValue) plan() (*federation.RolloutPlan, error) {
	if v == nil {
		return nil, nil
	}
	p := &federation.RolloutPlan{}
	if len(v.Waves) > federation.MaxWaves {
		return nil, fmt.Errorf("policy with %d waves, at most %d are allowed", len(v.Waves), federation.MaxWaves)
	}
	for _, w := range v.Waves {
		p.Waves = append(p.Waves, federation.Wave(w))
	}
	if v.MaxErrors != nil {
		p.MaxErrors = federation.Measure{Known: true, PerMille: *v.MaxErrors}
	}
	var faults [2]error
	p.Bake, faults[0] = positive(v.Bake)
	p.MaxLatency, faults[1] = positive(v.MaxLatency)
	if err := errors.Join(faults[:]...); err != nil {
		return nil, fmt.Errorf("policy's rollout: %w", err)
	}
	return p, nil
}

// durationText is "" for 0.
func durationText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// positive reads durationText.
func positive(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no positive duration", text)
	}
	return d, nil
}
