// Package standing shows in a status how far a policy's rollout has come.
//
// It owns the translation; what it says is federation/rollout's. Pure, any goroutine.
package standing

import (
	"strings"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/rollout"
)

// PhasePending is a rollout's that no coordinator has begun.
const PhasePending = "Pending"

// maxMessage is what the API admits.
const maxMessage = 1024

// Status is nil for a policy without a plan.
func Status(s rollout.Standing) *api.RolloutStatus {
	if s.Waves == 0 {
		return nil
	}
	out := &api.RolloutStatus{
		Phase: string(s.Phase), Generation: s.Generation, From: s.From, Wave: int32(s.Wave), Waves: int32(s.Waves), //nolint:gosec // bounded by MaxWaves
		Updated: int32(s.Updated), Total: int32(s.Total), Reason: s.Reason, Message: s.Message, //nolint:gosec // clusters
	}
	if out.Phase == "" {
		out.Phase = PhasePending
	}
	if len(s.Waiting) > 0 {
		out.Message += "; waits for " + join(s.Waiting)
	}
	if len(s.Absent) > 0 {
		out.Message += "; does not wait for " + join(s.Absent) + ", which the policy store has no sign of life of"
	}
	out.Message = strings.TrimPrefix(out.Message, "; ")
	if len(out.Message) > maxMessage {
		out.Message = out.Message[:maxMessage-3] + "..."
	}
	return out
}

func join(names []federation.ClusterName) string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		out = append(out, string(n))
	}
	return strings.Join(out, ", ")
}
