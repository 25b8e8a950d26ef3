package standing

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/rollout"
)

func TestStandingNamesWhomItWaitsForAndWhomNot(t *testing.T) {
	got := Status(rollout.Standing{
		Generation: 5, From: 4, Phase: federation.RolloutProgressing, Reason: "WaveReached", Message: "wave 1 of 2",
		Wave: 1, Waves: 2, Updated: 1, Total: 3, Waiting: []federation.ClusterName{"a", "b"}, Absent: []federation.ClusterName{"c"},
	})
	want := &api.RolloutStatus{
		Phase: "Progressing", Generation: 5, From: 4, Wave: 1, Waves: 2, Updated: 1, Total: 3, Reason: "WaveReached",
		Message: "wave 1 of 2; waits for a, b; does not wait for c, which the policy store has no sign of life of",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got := Status(rollout.Standing{}); got != nil {
		t.Errorf("without a plan: %+v", got)
	}
	if got := Status(rollout.Standing{Waves: 1}); got.Phase != PhasePending {
		t.Errorf("before a coordinator: %+v", got)
	}
}

func TestMessageFitsTheAPI(t *testing.T) {
	s := rollout.Standing{Waves: 1}
	for i := range 300 {
		s.Waiting = append(s.Waiting, federation.ClusterName(fmt.Sprintf("cluster-%d", i)))
	}
	if got := Status(s).Message; len(got) > 1024 || !strings.HasSuffix(got, "...") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
}
