package rollout

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/federation"
)

const (
	going  = federation.RolloutProgressing
	paused = federation.RolloutPaused
	done   = federation.RolloutCompleted
	back   = federation.RolloutRolledBack
)

// canary is a, then b, then who is left.
func canary(bake time.Duration) *federation.RolloutPlan {
	return &federation.RolloutPlan{Waves: []federation.Wave{region("a"), region("b")}, Bake: bake}
}

func gatedAt(perMille uint16, bake time.Duration) *federation.RolloutPlan {
	p := canary(bake)
	p.MaxErrors = federation.Measure{Known: true, PerMille: perMille}
	return p
}

// secondVersion has generation 1 completed and generation 2 in its first wave.
func secondVersion(t *testing.T, plan *federation.RolloutPlan) *rig {
	t.Helper()
	r := newRig(plan, "a1", "b1", "c1")
	r.tick(200)
	r.want(t, stands{1, 0, done, 2, ReasonCompleted})
	r.publish()
	r.step()
	r.want(t, stands{2, 1, going, 0, ReasonWaveReached})
	return r
}

func TestWavesComeInOrderEachAfterItsBakeTime(t *testing.T) {
	r := newRig(canary(10*time.Second), "a1", "a2", "b1", "c1")
	r.tick(1)
	r.want(t, stands{1, 0, going, 0, ReasonWaveReached})
	r.tick(10)
	r.wantHolds(t, map[federation.ClusterName]int64{"a1": 1, "a2": 1, "b1": 0, "c1": 0})
	r.want(t, stands{1, 0, going, 0, ReasonWaveReached})
	r.tick(1)
	r.want(t, stands{1, 0, going, 1, ReasonWaveReached})
	r.tick(11)
	r.want(t, stands{1, 0, going, 2, ReasonWaveReached})
	r.tick(11)
	r.want(t, stands{1, 0, done, 2, ReasonCompleted})
	r.wantHolds(t, map[federation.ClusterName]int64{"a1": 1, "a2": 1, "b1": 1, "c1": 1})
	if r.tick(100); r.writes != 4 {
		t.Errorf("%d writes for three waves and their end", r.writes)
	}
}

func TestAPlanThatNamesAllClustersHasNoWaveMore(t *testing.T) {
	r := newRig(canary(0), "a1", "b1")
	r.tick(10)
	r.want(t, stands{1, 0, done, 1, ReasonCompleted})
}

func TestStepSaysWhenTimeAloneWillDo(t *testing.T) {
	r := newRig(canary(10*time.Second), "a1", "b1")
	if d := r.step(); d.Again != 0 {
		t.Errorf("asks to be called after %s while a write is on its way", d.Again)
	}
	r.applyAll()
	if d := r.step(); d.Again != 10*time.Second {
		t.Errorf("asks to be called after %s, want the bake time", d.Again)
	}
	r.now += 4 * time.Second
	if d := r.step(); d.Again != 6*time.Second {
		t.Errorf("asks to be called after %s, want what is left of the bake time", d.Again)
	}
}

func TestAWaveWaitsForPresentClustersOnly(t *testing.T) {
	r := newRig(canary(5*time.Second), "a1", "a2", "a3", "b1")
	delete(r.in.Presence, "a3") // its lease is gone
	r.step()
	for range 60 {
		r.now += time.Second
		r.apply("a1") // a2 is there and reads nothing
		r.step()
	}
	r.want(t, stands{1, 0, going, 0, ReasonWaveReached})
	r.tick(6)
	r.want(t, stands{1, 0, going, 1, ReasonWaveReached})
	if m := r.record().Message; !strings.Contains(m, "not waited for, as they have no presence: a3") {
		t.Errorf("the message does not name the absent cluster: %s", m)
	}
	r.tick(6)
	r.apply("a3")
	if r.holds["a3"] != 1 {
		t.Errorf("the cluster that came back has generation %d, want 1", r.holds["a3"])
	}
}

func TestANewCoordinatorCountsTheWaveAnew(t *testing.T) {
	r := newRig(canary(10*time.Second), "a1", "b1")
	r.tick(9)
	r.succeedCoordinator()
	r.tick(10)
	r.want(t, stands{1, 0, going, 0, ReasonWaveReached})
	r.tick(1)
	r.want(t, stands{1, 0, going, 1, ReasonWaveReached})
}

func TestANewerVersionTakesThePlaceOfOneOnItsWay(t *testing.T) {
	r := secondVersion(t, canary(10*time.Second))
	r.tick(15)
	r.want(t, stands{2, 1, going, 1, ReasonWaveReached})
	r.publish()
	r.tick(1)
	r.want(t, stands{3, 1, going, 0, ReasonWaveReached})
	r.applyAll()
	r.wantHolds(t, map[federation.ClusterName]int64{"a1": 3, "b1": 1, "c1": 1})
}

func TestAFailingGateTakesTheRolloutBackEverywhere(t *testing.T) {
	r := secondVersion(t, gatedAt(10, time.Minute))
	r.measure("a1", failing(50))
	r.tick(10)
	r.want(t, stands{2, 1, going, 0, ReasonWaveReached})
	r.tick(10)
	r.want(t, stands{2, 1, back, 0, ReasonGateFailed})
	r.applyAll()
	r.wantHolds(t, map[federation.ClusterName]int64{"a1": 1, "b1": 1, "c1": 1})
	const want = "the error rate of shop/cart in a1 is 5.0%, above 1.0%, in 6 measurements in a row: generation 2 is taken back, generation 1 holds everywhere"
	if got := r.record().Message; got != want {
		t.Errorf("the message is %q, want %q", got, want)
	}
	r.tick(100)
	r.want(t, stands{2, 1, back, 0, ReasonGateFailed})
	r.publish()
	r.tick(1)
	r.want(t, stands{3, 1, going, 0, ReasonWaveReached})
}

func TestTheFirstVersionIsTakenBackToNone(t *testing.T) {
	r := newRig(gatedAt(10, time.Minute), "a1", "b1")
	r.measure("a1", failing(50))
	r.tick(30)
	r.want(t, stands{1, 0, back, 0, ReasonGateFailed})
	r.wantHolds(t, map[federation.ClusterName]int64{"a1": 0, "b1": 0})
}

func TestALatencyGate(t *testing.T) {
	plan := canary(time.Minute)
	plan.MaxLatency = 20 * time.Millisecond
	r := secondVersion(t, plan)
	r.measure("a1", Reading{Latency: 20 * time.Millisecond})
	r.tick(30)
	r.want(t, stands{2, 1, going, 0, ReasonWaveReached})
	r.measure("a1", Reading{Latency: 21 * time.Millisecond, Version: federation.Version{}})
	r.succeedCoordinator() // the rig's measurements begin anew
	r.tick(30)
	r.want(t, stands{2, 1, back, 0, ReasonGateFailed})
	if m := r.record().Message; !strings.Contains(m, "the latency of shop/cart in a1 is 21ms, above 20ms") {
		t.Error(m)
	}
}

func TestAGatePassesWithoutEnoughEvidence(t *testing.T) {
	for name, run := range map[string]func(r *rig){
		"at the bound": func(r *rig) { r.measure("a1", failing(10)); r.tick(40) },
		"of a cluster that does not have it yet": func(r *rig) {
			r.measure("b1", failing(900))
			r.tick(40)
		},
		"of a cluster that a new plan took out of the wave": func(r *rig) {
			r.tick(1)
			r.edit(func(p *federation.Policy) { p.Rollout.Waves = []federation.Wave{region("b"), region("c")} })
			r.measure("a1", failing(900))
			r.tick(40)
		},
		"of the time before": func(r *rig) {
			r.measure("a1", failing(900))
			r.tick(10)
			delete(r.in.Readings, Spot{"a1", cart})
			r.tick(30)
		},
		"one measurement that stays": func(r *rig) {
			r.measure("a1", failing(900))
			for range 40 {
				r.now += time.Second
				r.applyAll()
				r.step()
			}
		},
		"not in a row": func(r *rig) {
			r.measure("a1", failing(900))
			for i := range 40 {
				reading := r.in.Readings[Spot{"a1", cart}]
				reading.Errors.PerMille = uint16(900 * min(i%4, 1))
				r.in.Readings[Spot{"a1", cart}] = reading
				r.tick(1)
			}
		},
		"unknown in between": func(r *rig) {
			r.measure("a1", failing(900))
			for i := range 40 {
				reading := r.in.Readings[Spot{"a1", cart}]
				reading.Errors.Known = i%4 != 0
				r.in.Readings[Spot{"a1", cart}] = reading
				r.tick(1)
			}
		},
		"gone in between": func(r *rig) {
			for i := range 40 {
				if r.measure("a1", failing(900)); i%4 == 0 {
					delete(r.in.Readings, Spot{"a1", cart})
				} else {
					reading := r.in.Readings[Spot{"a1", cart}]
					reading.Version.Sequence = uint64(i + 1)
					r.in.Readings[Spot{"a1", cart}] = reading
				}
				r.tick(1)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := secondVersion(t, gatedAt(10, time.Minute))
			run(r)
			r.want(t, stands{2, 1, going, 0, ReasonWaveReached})
		})
	}
}

func TestAGateFailsWhileTheRolloutIsPausedOrWaits(t *testing.T) {
	for name, disturb := range map[string]func(r *rig){
		"paused": func(r *rig) { r.edit(func(p *federation.Policy) { p.Hold = true }) },
		"waits for another cluster": func(r *rig) {
			r.join("a2")
			r.in.Members["a2"] = federation.Member{Name: "a2", Region: "a"}
			r.in.Presence["a2"] = federation.Presence{Cluster: "a2"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := secondVersion(t, gatedAt(10, time.Minute))
			disturb(r)
			r.measure("a1", failing(50))
			for range 30 {
				r.now += time.Second
				reading := r.in.Readings[Spot{"a1", cart}]
				reading.Version.Sequence++
				r.in.Readings[Spot{"a1", cart}] = reading
				r.apply("a1")
				r.step()
			}
			r.want(t, stands{2, 1, back, 0, ReasonGateFailed})
		})
	}
}

func TestAGatedWaveIsWatchedForAsLongAsAGateTakes(t *testing.T) {
	r := secondVersion(t, gatedAt(10, 0))
	r.tick(20)
	r.want(t, stands{2, 1, going, 0, ReasonWaveReached})
	r.tick(1)
	r.want(t, stands{2, 1, going, 1, ReasonWaveReached})
	if m := r.record().Message; !strings.Contains(m, "unknown: error rate of shop/cart in a1") {
		t.Errorf("what no gate knew is not named: %s", m)
	}
}

func TestHoldStopsAWaveAndLetsItGoOn(t *testing.T) {
	r := secondVersion(t, canary(10*time.Second))
	r.edit(func(p *federation.Policy) { p.Hold = true })
	r.tick(100)
	r.want(t, stands{2, 1, paused, 0, ReasonHeld})
	writes := r.writes
	if r.tick(10); r.writes != writes {
		t.Errorf("a paused rollout was written %d times more", r.writes-writes)
	}
	r.edit(func(p *federation.Policy) { p.Hold = false })
	r.step()
	r.want(t, stands{2, 1, going, 0, ReasonResumed})
	r.tick(1)
	r.want(t, stands{2, 1, going, 1, ReasonWaveReached})
}

func TestAHeldPolicyBeginsNoWave(t *testing.T) {
	r := newRig(canary(0), "a1", "b1")
	r.edit(func(p *federation.Policy) { p.Hold = true })
	if r.tick(10); r.writes != 0 {
		t.Errorf("a held policy was written of: %+v", r.record())
	}
	r.edit(func(p *federation.Policy) { p.Hold = false })
	r.tick(1)
	r.want(t, stands{1, 0, going, 0, ReasonWaveReached})
}

func TestUndoEndsTheRolloutAndTheNextOneBeginsThere(t *testing.T) {
	for name, wait := range map[string]int{"on its way": 5, "completed": 100} {
		t.Run(name, func(t *testing.T) {
			r := secondVersion(t, canary(10*time.Second))
			r.tick(wait)
			r.edit(func(p *federation.Policy) { p.Undo = 1 })
			r.applyAll()
			r.wantHolds(t, map[federation.ClusterName]int64{"a1": 1, "b1": 1, "c1": 1})
			r.step()
			if got := r.record(); got.To != 2 || got.From != 1 || got.Phase != back || got.Reason != ReasonUndone {
				t.Fatalf("the rollout stands otherwise: %+v", got)
			}
			writes := r.writes
			r.edit(func(p *federation.Policy) { p.Undo = 0 })
			if r.tick(50); r.writes != writes {
				t.Errorf("taking the undo away wrote %+v", r.record())
			}
			r.publish()
			r.tick(1)
			if got := r.record(); got.From != 1 || got.Phase != going || got.Wave != 0 {
				t.Errorf("the next one does not begin where the undo went: %+v", got)
			}
		})
	}
}

func TestUndoBeforeACoordinatorHasSpoken(t *testing.T) {
	r := secondVersion(t, canary(10*time.Second))
	r.tick(100)
	r.publish()
	r.edit(func(p *federation.Policy) { p.Undo = 1 })
	r.tick(5)
	r.want(t, stands{3, 1, back, 0, ReasonUndone})
}

func TestAPolicyGetsAPlanWhileItIsInForce(t *testing.T) {
	r := newRig(nil, "a1", "b1")
	r.applyAll()
	r.edit(func(p *federation.Policy) {
		p.Rollout = canary(0)
		p.History = []federation.PolicyVersion{p.PolicyVersion} // as its publisher does
	})
	r.tick(5)
	r.want(t, stands{1, 1, done, 1, ReasonHeldBefore})
	r.wantHolds(t, map[federation.ClusterName]int64{"a1": 1, "b1": 1})
}

func TestATighterVersionIsCompletedAtOnce(t *testing.T) {
	r := secondVersion(t, canary(10*time.Second))
	r.tightens = func(before, after federation.PolicyVersion) bool {
		return before.Generation < 3 && after.Generation == 3
	}
	r.publish()
	r.applyAll()
	r.wantHolds(t, map[federation.ClusterName]int64{"a1": 3, "b1": 3, "c1": 3})
	r.step()
	r.want(t, stands{3, 1, done, 2, ReasonTightened})
}

func TestUndoDoesNotGoPastATighterVersion(t *testing.T) {
	r := secondVersion(t, canary(0))
	r.tightens = func(before, after federation.PolicyVersion) bool {
		return before.Generation < 2 && after.Generation == 2
	}
	r.tick(20)
	r.publish()
	r.tick(20)
	r.edit(func(p *federation.Policy) { p.Undo = 1 })
	r.tick(5)
	r.want(t, stands{3, 2, back, 2, ReasonUndone})
	r.wantHolds(t, map[federation.ClusterName]int64{"a1": 2, "b1": 2, "c1": 2})
}

func TestRecordsWithoutAPlanAreDeleted(t *testing.T) {
	gone := federation.PolicyID{Origin: "a", Namespace: "shop", Name: "gone"}
	r := secondVersion(t, canary(10*time.Second))
	r.in.Rollouts[gone] = federation.Rollout{Policy: gone, To: 1, Phase: done}
	if diff := cmp.Diff([]federation.PolicyID{gone}, r.step().Delete); diff != "" {
		t.Fatal(diff)
	}
	r.edit(func(p *federation.Policy) { p.Rollout = nil })
	r.applyAll()
	r.wantHolds(t, map[federation.ClusterName]int64{"a1": 2, "b1": 2, "c1": 2})
	if diff := cmp.Diff([]federation.PolicyID{shop}, r.step().Delete); diff != "" {
		t.Fatal(diff)
	}
	if d := r.step(); len(d.Delete)+len(d.Put) != 0 {
		t.Errorf("more is written: %+v", d)
	}
}

func TestAPlanThatBringsAClusterIntoTheWaveWaitsForIt(t *testing.T) {
	r := secondVersion(t, canary(10*time.Second))
	r.tick(5)
	r.edit(func(p *federation.Policy) {
		p.Rollout.Waves = []federation.Wave{{Regions: []federation.Region{"a", "b"}}}
	})
	for range 20 {
		r.now += time.Second
		r.apply("a1")
		r.step()
	}
	r.want(t, stands{2, 1, going, 0, ReasonWaveReached})
	r.tick(1)
	r.want(t, stands{2, 1, going, 1, ReasonWaveReached})
}

func TestAWriteThatFailedIsDecidedAgain(t *testing.T) {
	r := newRig(canary(0), "a1", "b1")
	first, state := Step(r.in, r.now, State{})
	second, _ := Step(r.in, r.now, state)
	if diff := cmp.Diff(first, second); diff != "" || len(first.Put) != 1 {
		t.Errorf("decided otherwise (-first +second):\n%s", diff)
	}
	if got := first.Put[0]; got.Coordinator != "a1" || got.Policy != shop {
		t.Errorf("the record is not signed: %+v", got)
	}
}

func TestAStepMayBeTakenAgainFromTheSameState(t *testing.T) {
	r := secondVersion(t, gatedAt(10, time.Minute))
	r.measure("a1", failing(900))
	r.tick(11)
	before := r.state
	r.now += GateStreak
	r.renew()
	first, _ := Step(r.in, r.now, before)
	second, _ := Step(r.in, r.now, before)
	if diff := cmp.Diff(first, second); diff != "" || len(first.Put) != 1 || first.Put[0].Phase != back {
		t.Errorf("decided otherwise (-first +second):\n%s", diff)
	}
}

func TestARollbackThatWasNotWrittenIsDecidedAgain(t *testing.T) {
	r := newRig(&federation.RolloutPlan{Waves: []federation.Wave{region("a"), region("b")}, Bake: time.Minute, MaxErrors: federation.Measure{Known: true, PerMille: 10}}, "a1", "b1")
	r.tick(600)
	r.publish()
	for sequence := uint64(1); ; sequence++ {
		r.applyAll()
		r.in.Readings[Spot{"a1", cart}] = Reading{Errors: federation.Measure{Known: true, PerMille: 500}, Version: federation.Version{Epoch: 1, Sequence: sequence}}
		before := maps.Clone(r.in.Rollouts)
		d := r.step()
		if len(d.Put) > 0 && d.Put[0].Phase == federation.RolloutRolledBack {
			r.in.Rollouts = before // the write has failed
			break
		}
		if r.now += time.Second; sequence > 600 {
			t.Fatal("the gate has never failed")
		}
	}
	for range 3 { // and nothing new is measured
		r.now += time.Minute
		before := maps.Clone(r.in.Rollouts)
		d := r.step()
		if len(d.Put) != 1 || d.Put[0].Phase != federation.RolloutRolledBack {
			t.Fatalf("then it decides %+v", d.Put)
		}
		r.in.Rollouts = before
	}
}
