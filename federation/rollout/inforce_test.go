package rollout

import (
	"testing"

	"github.com/causeway-mesh/causeway/federation"
)

func TestInForce(t *testing.T) {
	plan := &federation.RolloutPlan{Waves: []federation.Wave{region("a"), region("b")}}
	record := func(to, from int64, phase federation.RolloutPhase, wave int) *federation.Rollout {
		return &federation.Rollout{Policy: shop, To: to, From: from, Phase: phase, Wave: wave}
	}
	const going, paused, done, back = federation.RolloutProgressing, federation.RolloutPaused, federation.RolloutCompleted, federation.RolloutRolledBack
	for name, test := range map[string]struct {
		policy federation.Policy
		record *federation.Rollout
		want   [3]int64 // in a, b and c, which no wave names
		reason [3]string
	}{
		"without a plan the newest holds": {
			policy: federation.Policy{PolicyVersion: ver(2), History: vers(1)}, record: record(2, 1, going, 0),
			want: [3]int64{2, 2, 2}, reason: [3]string{"NoPlan", "NoPlan", "NoPlan"},
		},
		"undo holds everywhere, with or without a plan": {
			policy: federation.Policy{PolicyVersion: ver(3), History: vers(2, 1), Undo: 1, Rollout: plan}, record: record(3, 2, going, 0),
			want: [3]int64{1, 1, 1}, reason: [3]string{"Undone", "Undone", "Undone"},
		},
		"undo without a plan": {
			policy: federation.Policy{PolicyVersion: ver(3), History: vers(2, 1), Undo: 2},
			want:   [3]int64{2, 2, 2}, reason: [3]string{"Undone", "Undone", "Undone"},
		},
		"undo of what is not in the history is none": {
			policy: federation.Policy{PolicyVersion: ver(3), History: vers(2), Undo: 1, Rollout: plan}, record: record(3, 2, done, 2),
			want: [3]int64{3, 3, 3}, reason: [3]string{"Completed", "Completed", "Completed"},
		},
		"undo of the newest is none": {
			policy: federation.Policy{PolicyVersion: ver(3), History: vers(2), Undo: 3, Rollout: plan}, record: record(3, 2, going, 0),
			want: [3]int64{3, 2, 2}, reason: [3]string{"WaveReached", "WaveAwaited", "WaveAwaited"},
		},
		"the first publication waits for a coordinator": {
			policy: federation.Policy{PolicyVersion: ver(1), Rollout: plan},
			reason: [3]string{"NotYet", "NotYet", "NotYet"},
		},
		"without a record the one before holds": {
			policy: federation.Policy{PolicyVersion: ver(3), History: vers(2, 1), Rollout: plan},
			want:   [3]int64{2, 2, 2}, reason: [3]string{"AwaitsCoordinator", "AwaitsCoordinator", "AwaitsCoordinator"},
		},
		"a version that held before it had a plan holds on": {
			policy: federation.Policy{PolicyVersion: ver(3), History: vers(3, 2), Rollout: plan},
			want:   [3]int64{3, 3, 3}, reason: [3]string{"HeldBefore", "HeldBefore", "HeldBefore"},
		},
		"and is rolled back by its record all the same": {
			policy: federation.Policy{PolicyVersion: ver(3), History: vers(3, 2), Rollout: plan}, record: record(3, 2, back, 0),
			want: [3]int64{2, 2, 2}, reason: [3]string{"RolledBack", "RolledBack", "RolledBack"},
		},
		"the first wave": {
			policy: federation.Policy{PolicyVersion: ver(2), History: vers(1), Rollout: plan}, record: record(2, 1, going, 0),
			want: [3]int64{2, 1, 1}, reason: [3]string{"WaveReached", "WaveAwaited", "WaveAwaited"},
		},
		"the first wave of the first version": {
			policy: federation.Policy{PolicyVersion: ver(1), Rollout: plan}, record: record(1, 0, going, 0),
			want: [3]int64{1, 0, 0}, reason: [3]string{"WaveReached", "WaveAwaited", "WaveAwaited"},
		},
		"paused in the second wave": {
			policy: federation.Policy{PolicyVersion: ver(2), History: vers(1), Rollout: plan}, record: record(2, 1, paused, 1),
			want: [3]int64{2, 2, 1}, reason: [3]string{"WaveReached", "WaveReached", "WaveAwaited"},
		},
		"the wave of those that no wave names": {
			policy: federation.Policy{PolicyVersion: ver(2), History: vers(1), Rollout: plan}, record: record(2, 1, going, 2),
			want: [3]int64{2, 2, 2}, reason: [3]string{"WaveReached", "WaveReached", "WaveReached"},
		},
		"rolled back to none": {
			policy: federation.Policy{PolicyVersion: ver(1), Rollout: plan}, record: record(1, 0, back, 1),
			reason: [3]string{"RolledBack", "RolledBack", "RolledBack"},
		},
		"a newer generation waits on the wave that the last one had come to": {
			policy: federation.Policy{PolicyVersion: ver(3), History: vers(2, 1), Rollout: plan}, record: record(2, 1, going, 0),
			want: [3]int64{2, 1, 1}, reason: [3]string{"AwaitsCoordinator", "AwaitsCoordinator", "AwaitsCoordinator"},
		},
		"a newer generation waits on what the last one went back to": {
			policy: federation.Policy{PolicyVersion: ver(3), History: vers(2, 1), Rollout: plan}, record: record(2, 1, back, 0),
			want: [3]int64{1, 1, 1}, reason: [3]string{"AwaitsCoordinator", "AwaitsCoordinator", "AwaitsCoordinator"},
		},
		"generations in between that no coordinator saw do not hold": {
			policy: federation.Policy{PolicyVersion: ver(4), History: vers(3, 2, 1), Rollout: plan}, record: record(2, 1, done, 2),
			want: [3]int64{2, 2, 2}, reason: [3]string{"AwaitsCoordinator", "AwaitsCoordinator", "AwaitsCoordinator"},
		},
		"a lost version that was rolled out is replaced by the one before it": {
			policy: federation.Policy{PolicyVersion: ver(4), History: vers(3, 1), Rollout: plan}, record: record(2, 1, done, 2),
			want: [3]int64{1, 1, 1}, reason: [3]string{"VersionLost", "VersionLost", "VersionLost"},
		},
		"a lost version that was gone back to is replaced by none": {
			policy: federation.Policy{PolicyVersion: ver(4), History: vers(3), Rollout: plan}, record: record(4, 2, going, 0),
			want: [3]int64{4, 0, 0}, reason: [3]string{"WaveReached", "VersionLost", "VersionLost"},
		},
		"a record of an earlier object of that name counts for nothing": {
			policy: federation.Policy{PolicyVersion: ver(1), Rollout: plan}, record: record(7, 6, done, 2),
			reason: [3]string{"NotYet", "NotYet", "NotYet"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for i, region := range []federation.Region{"a", "b", "c"} {
				v, why, ok := InForce(test.policy, test.record, federation.Member{Name: "x", Region: region})
				if v.Generation != test.want[i] || ok != (test.want[i] != 0) || why.Reason != test.reason[i] {
					t.Errorf("in %s %d holds (%t, %s), want %d (%s)", region, v.Generation, ok, why.Reason, test.want[i], test.reason[i])
				}
				if why.Message == "" {
					t.Errorf("in %s there is no sentence for %s", region, why.Reason)
				}
			}
		})
	}
}

// Generation 3 is the first that is tight, in these tests.
func tightAt3(before, after federation.PolicyVersion) bool {
	return before.Generation < 3 && after.Generation == 3
}

func TestATighterVersionHoldsPastWavesAndIsNotTakenBack(t *testing.T) {
	plan := &federation.RolloutPlan{Waves: []federation.Wave{region("a")}}
	for name, test := range map[string]struct {
		policy federation.Policy
		record *federation.Rollout
		want   int64
	}{
		"before a coordinator has spoken":    {policy: federation.Policy{PolicyVersion: ver(3), History: vers(2)}, want: 3},
		"as the first publication":           {policy: federation.Policy{PolicyVersion: ver(3)}, want: 3},
		"before its wave":                    {policy: federation.Policy{PolicyVersion: ver(3), History: vers(2)}, record: &federation.Rollout{To: 3, From: 2, Phase: federation.RolloutProgressing}, want: 3},
		"when it is rolled back":             {policy: federation.Policy{PolicyVersion: ver(3), History: vers(2)}, record: &federation.Rollout{To: 3, From: 2, Phase: federation.RolloutRolledBack}, want: 3},
		"when its author goes back past it":  {policy: federation.Policy{PolicyVersion: ver(3), History: vers(2), Undo: 2}, want: 3},
		"when a later one waits":             {policy: federation.Policy{PolicyVersion: ver(4), History: vers(3, 2)}, record: &federation.Rollout{To: 2, Phase: federation.RolloutCompleted}, want: 3},
		"but an undo down to it is an undo":  {policy: federation.Policy{PolicyVersion: ver(4), History: vers(3, 2), Undo: 3}, want: 3},
		"and a looser later one is let pass": {policy: federation.Policy{PolicyVersion: ver(4), History: vers(3, 2)}, record: &federation.Rollout{To: 4, From: 3, Phase: federation.RolloutCompleted}, want: 4},
	} {
		t.Run(name, func(t *testing.T) {
			test.policy.Rollout = plan
			v, why, ok := inForce(test.policy, test.record, federation.Member{Name: "x", Region: "b"}, tightAt3)
			if !ok || v.Generation != test.want {
				t.Errorf("%d holds (%t, %s), want %d", v.Generation, ok, why.Reason, test.want)
			}
		})
	}
}

func TestTrimKeepsWhatClustersStandOn(t *testing.T) {
	long := vers(13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 2, 1)
	for name, test := range map[string]struct {
		record *federation.Rollout
		oldest []int64
	}{
		"without a record the oldest go":     {oldest: []int64{5, 4}},
		"what a rollout would go back to":    {record: &federation.Rollout{To: 13, From: 1}, oldest: []int64{5, 1}},
		"what one brought, and came from":    {record: &federation.Rollout{To: 2, From: 1}, oldest: []int64{2, 1}},
		"a record of newer ones keeps none":  {record: &federation.Rollout{To: 13, From: 12}, oldest: []int64{5, 4}},
		"nor does one of versions long gone": {record: &federation.Rollout{To: 3, From: 0}, oldest: []int64{5, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Trim(long, test.record)
			if len(got) != federation.MaxPolicyHistory {
				t.Fatalf("%d versions are kept, want %d", len(got), federation.MaxPolicyHistory)
			}
			for i, want := range test.oldest {
				if g := got[len(got)-2+i].Generation; g != want {
					t.Errorf("generation %d is kept, want %d", g, want)
				}
			}
		})
	}
}
