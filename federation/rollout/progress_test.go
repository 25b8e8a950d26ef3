package rollout

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/causeway-mesh/causeway/federation"
)

func (r *rig) progress() Standing {
	return Progress(*r.policy(), r.record(), r.in.Members, r.in.Presence)
}

func TestProgress(t *testing.T) {
	type names = []federation.ClusterName
	for name, test := range map[string]struct {
		run  func(r *rig)
		want Standing
	}{
		"no coordinator yet": {
			run:  func(*rig) {},
			want: Standing{Generation: 1, Phase: going, Reason: ReasonAwaitsCoordinator, Waves: 3, Total: 4},
		},
		"held before it began": {
			run:  func(r *rig) { r.edit(func(p *federation.Policy) { p.Hold = true }) },
			want: Standing{Generation: 1, Phase: paused, Reason: ReasonHeld, Waves: 3, Total: 4},
		},
		"a wave has begun and nobody has it": {
			run:  func(r *rig) { r.step() },
			want: Standing{Generation: 1, Phase: going, Reason: ReasonWaveReached, Wave: 1, Waves: 3, Total: 4, Waiting: names{"a1", "a2"}},
		},
		"one has it, one has gone": {
			run:  func(r *rig) { r.step(); r.apply("a1"); delete(r.in.Presence, "a2") },
			want: Standing{Generation: 1, Phase: going, Reason: ReasonWaveReached, Wave: 1, Waves: 3, Updated: 1, Total: 4, Absent: names{"a2"}},
		},
		"completed, and one has not heard so yet": {
			run:  func(r *rig) { r.tick(40); r.applyAll(); r.in.Presence["c1"] = federation.Presence{Applied: 2} },
			want: Standing{Generation: 1, Phase: done, Reason: ReasonCompleted, Wave: 3, Waves: 3, Updated: 4, Total: 4},
		},
		"a newer version waits": {
			run:  func(r *rig) { r.tick(40); r.publish() },
			want: Standing{Generation: 2, From: 1, Phase: going, Reason: ReasonAwaitsCoordinator, Waves: 3, Total: 4},
		},
		"gone back by hand": {
			run: func(r *rig) { r.tick(40); r.publish(); r.tick(5); r.edit(func(p *federation.Policy) { p.Undo = 1 }) },
			want: Standing{Generation: 2, From: 1, Phase: back, Reason: ReasonUndone, Wave: 1, Waves: 3, Total: 4,
				Waiting: names{"a1", "a2", "b1", "c1"}},
		},
		"without a plan": {
			run: func(r *rig) {
				r.edit(func(p *federation.Policy) { p.Rollout = nil })
				r.apply("b1")
			},
			want: Standing{Generation: 1, Phase: done, Reason: ReasonNoPlan, Updated: 1, Total: 4, Waiting: names{"a1", "a2", "c1"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(canary(10*time.Second), "a1", "a2", "b1", "c1")
			test.run(r)
			got := r.progress()
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(Standing{}, "Message"), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("stands otherwise (-want +got):\n%s", diff)
			}
			if got.Message == "" {
				t.Error("there is no sentence for it")
			}
		})
	}
}

func TestProgressOfAGateThatFailedCountsNobody(t *testing.T) {
	r := secondVersion(t, gatedAt(10, time.Minute))
	r.measure("a1", failing(50))
	r.tick(30)
	got := r.progress()
	if got.Phase != back || got.Updated != 0 || got.Message != r.record().Message || len(got.Waiting) != 0 {
		t.Errorf("stands otherwise: %+v", got)
	}
}
