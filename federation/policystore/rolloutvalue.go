package policystore

import (
	"fmt"
	"strings"

	"github.com/causeway-mesh/causeway/federation"
)

// rolloutValue is how far one policy's change has come. Whoever coordinates writes it,
// below its own name: rollouts/<origin>/<namespace>/<name> is one key for all of them.
type rolloutValue struct {
	header
	To          int64                   `json:"to"`
	From        int64                   `json:"from"`
	Phase       federation.RolloutPhase `json:"phase"`
	Wave        int                     `json:"wave"`
	Reason      string                  `json:"reason"`
	Message     string                  `json:"message"`
	Coordinator federation.ClusterName  `json:"coordinator"`
}

func rolloutToValue(r federation.Rollout) rolloutValue {
	return rolloutValue{
		header: header{schemaVersion}, To: r.To, From: r.From, Phase: r.Phase, Wave: r.Wave,
		Reason: r.Reason, Message: r.Message, Coordinator: r.Coordinator,
	}
}

func decodeRollout(at ref, data []byte, revision uint64) (federation.Rollout, error) {
	var v rolloutValue
	if err := decodeValue(data, &v); err != nil {
		return federation.Rollout{}, err
	}
	switch v.Phase {
	case federation.RolloutProgressing, federation.RolloutPaused, federation.RolloutCompleted, federation.RolloutRolledBack:
	default:
		return federation.Rollout{}, fmt.Errorf("rollout in the unknown phase %q", v.Phase)
	}
	if v.Wave < 0 || v.Wave > federation.MaxWaves {
		return federation.Rollout{}, fmt.Errorf("rollout in wave %d, want 0 to %d", v.Wave, federation.MaxWaves)
	}
	return federation.Rollout{
		Policy: federation.PolicyID{Origin: at.cluster, Namespace: at.namespace, Name: at.name},
		To:     v.To, From: v.From, Phase: v.Phase, Wave: v.Wave, Reason: v.Reason, Message: v.Message,
		Coordinator: v.Coordinator, Revision: revision,
	}, nil
}

func (k keys) rollout(id federation.PolicyID) string {
	return strings.Join([]string{k.prefix + "rollouts", string(id.Origin), id.Namespace, id.Name}, "/")
}
