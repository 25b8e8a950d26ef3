package liveness_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/liveness"
	"github.com/causeway-mesh/causeway/federation/routing"
)

func anyPath(t *rapid.T) routing.PathReport {
	return routing.PathReport{
		State:   rapid.SampledFrom([]routing.PathState{routing.PathUp, routing.PathDown, routing.PathUnknown}).Draw(t, "state"),
		Silence: anyAge(t), RTT: 50 * time.Millisecond, Refused: rapid.Bool().Draw(t, "refused"), Hung: rapid.Bool().Draw(t, "hung"),
		Unheard: rapid.Bool().Draw(t, "unheard"), Draining: rapid.Bool().Draw(t, "draining"),
	}
}

func anyAge(t *rapid.T) time.Duration {
	return time.Duration(rapid.IntRange(-1, 20).Draw(t, "age")) * time.Second
}

func anyLeg(t *rapid.T) federation.Leg {
	up := rapid.Bool().Draw(t, "up")
	return federation.Leg{From: rapid.SampledFrom([]federation.ClusterName{"a", "b", "c"}).Draw(t, "from"),
		To: rapid.SampledFrom([]federation.ClusterName{"us", "a"}).Draw(t, "to"), Up: up, Down: !up, Unheard: rapid.Bool().Draw(t, "unheard"), Age: anyAge(t)}
}

func anyEvidence(t *rapid.T) liveness.Evidence {
	return liveness.Evidence{
		Self: "us", Others: 3, Paths: rapid.SliceOfN(rapid.Custom(anyPath), 0, 3).Draw(t, "paths"),
		Member: rapid.SampledFrom([]liveness.Membership{liveness.MemberAlive, liveness.MemberSuspect, liveness.MemberDead, liveness.MemberUnknown}).Draw(t, "member"),
		Owner:  liveness.Owner{Age: anyAge(t), APIServerLost: rapid.Bool().Draw(t, "lost")},
		Legs:   rapid.SliceOfN(rapid.Custom(anyLeg), 0, 3).Draw(t, "legs"),
	}
}

func anyFleet(t *rapid.T) map[federation.ClusterName]liveness.Evidence {
	return rapid.MapOfN(rapid.SampledFrom([]federation.ClusterName{"a", "b", "c"}), rapid.Custom(anyEvidence), 1, 3).Draw(t, "fleet")
}

// proved says whether one path has answered lately, and refuted whether all have failed.
func proved(e liveness.Evidence) (proved, refuted bool) {
	refuted = len(e.Paths) > 0
	for _, p := range e.Paths {
		proved = proved || p.State == routing.PathUp && p.Silence <= liveness.ProofMaxAge
		refuted = refuted && p.State == routing.PathDown
	}
	return proved, refuted
}

// Through any history: nothing is called reachable without a young proof, nothing dead
// unless all its paths are, or it was and is held back.
func TestPropertyVerdictsHaveProofs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var held map[federation.ClusterName]liveness.Held
		now := time.Duration(0)
		for range rapid.IntRange(1, 20).Draw(t, "rounds") {
			now += time.Duration(rapid.IntRange(0, 20).Draw(t, "step")) * time.Second
			fleet := anyFleet(t)
			held = liveness.Judge(fleet, held, now)
			for name, h := range held {
				proved, refuted := proved(fleet[name])
				if (h.Kind.Carries() || h.Kind == federation.Draining) && !proved {
					t.Fatalf("%s is %s without a proof", name, h.Kind)
				}
				if h.Kind.Dead() && !refuted && h.Reason != liveness.ReasonFlapping {
					t.Fatalf("%s is %s (%s) with %+v", name, h.Kind, h.Reason, fleet[name].Paths)
				}
				if h.Reason == "" || h.Cause == "" {
					t.Fatalf("%s is %s without a cause", name, h.Kind)
				}
			}
		}
	})
}

func TestPropertyAVerdictStandsWhileItsWitnessesAndTheClockDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first, second := anyFleet(t), anyFleet(t)
		held := liveness.Judge(second, liveness.Judge(first, nil, 0), time.Second)
		if diff := cmp.Diff(held, liveness.Judge(second, held, time.Second), cmpopts.IgnoreUnexported(liveness.Held{})); diff != "" {
			t.Fatalf("the same evidence at the same moment:\n%s", diff)
		}
	})
}

func TestPropertySelfSuspicionDeclaresNobodyDead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fleet := map[federation.ClusterName]liveness.Evidence{}
		for _, name := range []federation.ClusterName{"a", "b", "c"}[:rapid.IntRange(2, 3).Draw(t, "peers")] {
			e := anyEvidence(t)
			e.Paths = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) routing.PathReport {
				return path(routing.PathDown, func(p *routing.PathReport) { p.Unheard, p.Silence = rapid.Bool().Draw(t, "unheard"), time.Second })
			}), 1, 3).Draw(t, "down")
			fleet[name] = e
		}
		for name, h := range liveness.Judge(fleet, nil, 0) {
			if h.Kind != federation.Unknown {
				t.Fatalf("%s is %s", name, h.Kind)
			}
		}
	})
}

func TestPropertyReturnsAreHalfAMinuteApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f fleet
		now, last, rose := time.Duration(0), federation.Reachable, -time.Hour
		f.at(0, speaking(up))
		fallen := false
		for range rapid.IntRange(1, 60).Draw(t, "rounds") {
			now += time.Duration(rapid.IntRange(1, 8).Draw(t, "step")) * time.Second
			p := rapid.SampledFrom([]routing.PathReport{up, down, unknown}).Draw(t, "path")
			v := f.at(now, speaking(p))
			if p.State == routing.PathDown && !v.Kind.Dead() {
				t.Fatalf("at %s it is down and %s", now, v.Kind)
			}
			fallen = fallen || v.Kind.Dead()
			if v.Kind == federation.Reachable && fallen {
				if now-rose < liveness.FlapPause {
					t.Fatalf("at %s it has come back from %s, %s after it last did", now, last, now-rose)
				}
				rose, fallen = now, false
			}
			last = v.Kind
		}
	})
}
