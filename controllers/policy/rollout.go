package policy

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/standing"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
)

// plan translates spec.rollout; nil is none.
func plan(spec *api.Rollout) (*federation.RolloutPlan, error) {
	if spec == nil {
		return nil, nil
	}
	p := &federation.RolloutPlan{}
	for _, w := range spec.Waves {
		var wave federation.Wave
		for _, r := range w.Regions {
			wave.Regions = append(wave.Regions, federation.Region(r))
		}
		for _, c := range w.Clusters {
			wave.Clusters = append(wave.Clusters, federation.ClusterName(c))
		}
		p.Waves = append(p.Waves, wave)
	}
	if spec.Bake != nil {
		p.Bake = spec.Bake.Duration
	}
	if spec.MaxLatency != nil {
		p.MaxLatency = spec.MaxLatency.Duration
	}
	if spec.MaxErrorRate == "" {
		return p, nil
	}
	percent, err := strconv.ParseFloat(strings.TrimSuffix(spec.MaxErrorRate, "%"), 64)
	if err != nil || percent < 0 || percent > 100 {
		return nil, fmt.Errorf("spec.rollout.maxErrorRate %q is no part from 0%% to 100%%", spec.MaxErrorRate)
	}
	p.MaxErrors = federation.Measure{Known: true, PerMille: uint16(math.Round(percent * 10))}
	return p, nil
}

// steer fills in what a person has said of a policy since it was published. A fault says
// what of it, or of the spec, cannot be meant.
func steer(want *federation.Policy, policy *api.RoutingPolicy, have *federation.Policy, invalid error) string {
	var err error
	want.Undo, err = undo(policy, have)
	if err := errors.Join(invalid, err); err != nil {
		return err.Error()
	}
	return ""
}

// undo reads the annotation of a person who goes back: the generation of the history to
// go back to, 0 for none. It counts only while the newest version is the one that the
// person saw.
func undo(policy *api.RoutingPolicy, have *federation.Policy) (int64, error) {
	text, ok := policy.Annotations[api.AnnotationRolloutUndo]
	if !ok || have == nil {
		return 0, nil
	}
	from, to, ok := strings.Cut(text, "/")
	old, err := strconv.ParseInt(from, 10, 64)
	back, err2 := strconv.ParseInt(to, 10, 64)
	if !ok || err != nil || err2 != nil {
		return 0, fmt.Errorf(`annotation %s is %q, want "<metadata.generation>/<generation to go back to>"; causewayctl rollout undo writes it`, api.AnnotationRolloutUndo, text)
	}
	if old != policy.Generation || old != have.Observed {
		return 0, nil // the author has moved on
	}
	if !slices.ContainsFunc(have.History, func(v federation.PolicyVersion) bool { return v.Generation == back }) {
		return 0, fmt.Errorf("annotation %s: generation %d is not in the history of this policy, which has %s", api.AnnotationRolloutUndo, back, generations(have.History))
	}
	return back, nil
}

func generations(history []federation.PolicyVersion) string {
	if len(history) == 0 {
		return "none"
	}
	var out []string
	for _, v := range history {
		out = append(out, strconv.FormatInt(v.Generation, 10))
	}
	return strings.Join(out, ", ")
}

// unknownWaves names what waves name and no member is.
func unknownWaves(view *engine.View, p *federation.RolloutPlan) string {
	if p == nil {
		return ""
	}
	for i, w := range p.Waves {
		if fault := unknownRegions(view, w.Regions); fault != "" {
			return fmt.Sprintf("spec.rollout.waves[%d]: %s", i, fault)
		}
		for _, c := range w.Clusters {
			if !slices.ContainsFunc(view.Members, func(m engine.MemberView) bool { return m.Name == c }) {
				return fmt.Sprintf("spec.rollout.waves[%d]: no member is called %q", i, c)
			}
		}
	}
	return ""
}

// show tells of a published policy which versions there are and how far the newest has
// come. have is nil before that.
func show(status *api.RoutingPolicyStatus, have *engine.HeldPolicy) {
	status.Rollout, status.History = nil, nil
	if have == nil {
		return
	}
	held := int64(0)
	if have.Holds {
		held = have.Version.Generation
	}
	status.Rollout, status.History = standing.Status(have.Standing), history(have.Policy, held)
}

// history shows the versions that the federation keeps, the newest first.
func history(p federation.Policy, inForce int64) []api.PolicyVersion {
	var out []api.PolicyVersion
	for _, v := range append([]federation.PolicyVersion{p.PolicyVersion}, p.History...) {
		shown := api.PolicyVersion{
			Generation: v.Generation, InForce: v.Generation == inForce, OnPartition: string(v.OnPartition.Or()),
			Targets: []string{}, Regions: []string{},
		}
		for _, t := range v.Targets {
			shown.Targets = append(shown.Targets, t.Name)
		}
		for _, r := range v.Regions {
			shown.Regions = append(shown.Regions, string(r))
		}
		if v.MaxRecordAge > 0 {
			shown.MaxRecordAge = &metav1.Duration{Duration: v.MaxRecordAge}
		}
		out = append(out, shown)
	}
	return out
}
