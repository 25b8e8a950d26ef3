package rollout

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/causeway-mesh/causeway/federation"
)

func anyWave(t *rapid.T) federation.Wave {
	return federation.Wave{
		Regions:  rapid.SliceOfN(rapid.SampledFrom([]federation.Region{"a", "b", "c", "x"}), 0, 2).Draw(t, "regions"),
		Clusters: rapid.SliceOfN(rapid.SampledFrom([]federation.ClusterName{"a1", "b2", "c1", "c3"}), 0, 2).Draw(t, "clusters"),
	}
}

func anyPlan(t *rapid.T) *federation.RolloutPlan {
	return &federation.RolloutPlan{
		Waves:     rapid.SliceOfN(rapid.Custom(anyWave), 0, 3).Draw(t, "waves"),
		Bake:      time.Duration(rapid.IntRange(0, 15).Draw(t, "bake")) * time.Second,
		MaxErrors: federation.Measure{Known: rapid.Bool().Draw(t, "gate"), PerMille: 10},
	}
}

func anyClusters(t *rapid.T) []federation.ClusterName {
	return rapid.SliceOfNDistinct(rapid.SampledFrom([]federation.ClusterName{"a1", "a2", "b1", "b2", "c1", "c2", "c3"}), 1, 6, rapid.ID).Draw(t, "members")
}

// history watches a rig and says what no moment may show.
type history struct {
	*rig
	last   federation.Rollout
	lastAt time.Duration                    // when its wave began
	had    map[federation.ClusterName]int64 // what held, at each change of the store
	left   map[federation.ClusterName]map[int64]bool
}

func newHistory(r *rig) *history {
	return &history{rig: r, had: map[federation.ClusterName]int64{}, left: map[federation.ClusterName]map[int64]bool{}}
}

// allowed are the versions that may hold somewhere now.
func (h *history) allowed() []int64 {
	p, r := h.policy(), h.record()
	switch {
	case p.Undo != 0:
		return []int64{p.Undo}
	case r == nil && len(p.History) > 0:
		return []int64{p.History[0].Generation}
	case r == nil:
		return []int64{0}
	case r.Phase == done:
		return []int64{r.To}
	case r.Phase == back:
		return []int64{r.From}
	}
	return []int64{r.From, r.To}
}

// check is invariants 1 to 3 at one moment.
func (h *history) check(t *rapid.T) {
	allowed := h.allowed()
	for name, m := range h.in.Members {
		holds := h.inForce(name)
		if !slices.Contains(allowed, holds) {
			t.Fatalf("%d holds in %s, want one of %v: %+v", holds, name, allowed, h.record())
		}
		if r := h.record(); r != nil && len(allowed) == 2 && (holds == r.To) != (reach(*h.policy().Rollout, m) <= r.Wave) {
			t.Fatalf("%d holds in %s out of its turn: %+v", holds, name, r)
		}
		h.sequence(t, name, holds)
	}
	h.transition(t)
}

// sequence: who has left a version is not given it again by the rollout that took it.
func (h *history) sequence(t *rapid.T, name federation.ClusterName, holds int64) {
	had, known := h.had[name]
	h.had[name] = holds
	if !known || had == holds {
		return
	}
	if h.left[name] == nil {
		h.left[name] = map[int64]bool{}
	}
	h.left[name][had] = true
	if r := h.record(); h.left[name][holds] && r != nil && holds == r.To && h.policy().Undo == 0 {
		t.Fatalf("%s was given %d again", name, holds)
	}
}

// transition: phases and waves go one way.
func (h *history) transition(t *rapid.T) {
	r := h.record()
	if r == nil || *r == h.last {
		return
	}
	was := h.last
	if h.last = *r; r.To != was.To || r.Wave != was.Wave {
		h.lastAt = h.now
	}
	switch final := was.Phase == done || was.Phase == back; {
	case r.To < was.To:
		t.Fatalf("from %+v back to %+v", was, r)
	case r.To != was.To:
		if r.Wave != 0 && r.Phase == going {
			t.Fatalf("begins in wave %d: %+v", r.Wave, r)
		}
	case r.From != was.From && r.Reason != ReasonUndone:
		t.Fatalf("goes back to another version: %+v, %+v", was, r)
	case final && r.Reason != ReasonUndone:
		t.Fatalf("went on after its end: %+v, %+v", was, r)
	case r.Wave != was.Wave && (r.Wave != was.Wave+1 || r.Phase != going || was.Phase != going):
		t.Fatalf("from wave %d to %d: %+v", was.Wave, r.Wave, r)
	}
}

// decide lets the coordinator step, and looks at the waves that it ends.
func (h *history) decide(t *rapid.T) {
	was, began := h.record(), max(h.lastAt, h.office)
	d := h.step()
	if len(d.Put) > 1 || len(d.Put) == 1 && h.policy().Rollout == nil {
		t.Fatalf("decided twice at once, or without a plan: %+v", d)
	}
	if len(d.Put) == 0 || was == nil || d.Put[0].To != was.To || d.Put[0].Wave == was.Wave && d.Put[0].Phase != done {
		return
	}
	for name, m := range h.in.Members {
		p, present := h.in.Presence[name]
		if present && reach(*h.policy().Rollout, m) <= was.Wave && p.Applied < max(was.Revision, h.policy().Revision) {
			t.Fatalf("wave %d ended without %s", was.Wave, name)
		}
	}
	if h.now-began < h.policy().Rollout.Bake {
		t.Fatalf("wave %d baked for %s", was.Wave, h.now-began)
	}
}

// disturb is anything that can happen.
func (h *history) disturb(t *rapid.T) {
	names := slices.Sorted(maps.Keys(h.in.Members))
	name := rapid.SampledFrom(names).Draw(t, "cluster")
	switch rapid.IntRange(0, 13).Draw(t, "event") {
	case 0, 1, 2:
		h.apply(name)
	case 3, 4:
		h.now += time.Duration(rapid.IntRange(0, 12).Draw(t, "seconds")) * time.Second
	case 5:
		h.applyAll()
	case 6:
		h.succeedCoordinator()
	case 7:
		delete(h.in.Presence, name)
	case 8:
		h.publish()
	case 9:
		h.edit(func(p *federation.Policy) { p.Hold = !p.Hold })
	case 10:
		h.measure(name, failing(uint16(rapid.IntRange(0, 20).Draw(t, "per mille"))))
	case 11:
		h.renew()
	case 12:
		for range rapid.IntRange(1, 12).Draw(t, "ticks") {
			h.second()
			h.decide(t)
			h.check(t)
		}
	default:
		h.rare(t)
	}
}

// rare is what would end most histories at once if it happened often.
func (h *history) rare(t *rapid.T) {
	switch p := h.policy(); rapid.IntRange(0, 5).Draw(t, "rare") {
	case 0:
		if len(p.History) > 0 {
			to := rapid.SampledFrom(p.History).Draw(t, "undo").Generation
			h.edit(func(p *federation.Policy) { p.Undo = to })
			h.had, h.left = map[federation.ClusterName]int64{}, map[federation.ClusterName]map[int64]bool{}
		}
	case 1:
		plan := anyPlan(t)
		h.edit(func(p *federation.Policy) { p.Rollout = plan })
		h.had, h.left = map[federation.ClusterName]int64{}, map[federation.ClusterName]map[int64]bool{}
	}
}

// Whatever happens in whatever order, invariants 1 to 3 hold at every moment.
func TestPropertyOneRolloutAtATimeInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(newRig(anyPlan(t), anyClusters(t)...))
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			h.disturb(t)
			h.check(t)
			h.decide(t)
			h.check(t)
		}
	})
}

// rest lets a disturbed federation come to rest: all are back, and nobody holds.
func (h *history) rest(t *rapid.T) {
	h.edit(func(p *federation.Policy) { p.Hold = false })
	for name := range h.in.Members {
		h.apply(name)
	}
	h.tick(150)
}

// Whatever happened, a federation at rest has ended its rollout, everywhere alike, and
// nothing more is written (invariants 2 and 4).
func TestPropertyARolloutEndsAndNothingMoreIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(newRig(anyPlan(t), anyClusters(t)...))
		for range rapid.IntRange(0, 30).Draw(t, "events") {
			h.disturb(t)
			h.decide(t)
			h.check(t)
		}
		h.rest(t)
		r, writes := *h.record(), h.writes
		if r.To != h.policy().Generation || r.Phase != done && r.Phase != back {
			t.Fatalf("it has not ended: %+v", r)
		}
		for name, holds := range h.holds {
			if !slices.Contains(h.allowed(), holds) {
				t.Fatalf("%d holds in %s after %+v", holds, name, r)
			}
		}
		s := h.progress()
		if len(s.Waiting)+len(s.Absent) > 0 || s.Phase == done && s.Updated != s.Total {
			t.Fatalf("progress tells of somebody still: %+v", s)
		}
		h.disturbNothing(t)
		if h.writes != writes {
			t.Fatalf("%d writes after the end: %+v, then %+v", h.writes-writes, r, h.record())
		}
	})
}

// disturbNothing is what must not make a coordinator write.
func (h *history) disturbNothing(t *rapid.T) {
	for range 10 {
		switch rapid.IntRange(0, 3).Draw(t, "nothing") {
		case 0:
			h.now += time.Hour
		case 1:
			h.succeedCoordinator()
		case 2:
			for name := range h.in.Members {
				h.measure(name, failing(500))
			}
			h.tick(30)
		case 3:
			delete(h.in.Presence, "a1")
		}
		h.step()
	}
}

// A step writes only what changes a phase, a wave or a version: while nothing but the
// clock, presence and readings change, a rollout has a bounded number of writes.
func TestPropertyWritesAreFew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(newRig(anyPlan(t), anyClusters(t)...))
		names := slices.Sorted(maps.Keys(h.in.Members))
		for range 100 {
			name := rapid.SampledFrom(names).Draw(t, "cluster")
			switch rapid.IntRange(0, 3).Draw(t, "event") {
			case 0:
				h.apply(name)
			case 1:
				delete(h.in.Presence, name)
			case 2:
				h.tick(5)
			case 3:
				h.measure(name, failing(uint16(rapid.IntRange(0, 20).Draw(t, "per mille"))))
			}
			h.step()
			h.step()
		}
		if most := len(h.policy().Rollout.Waves) + 2; h.writes > most {
			t.Fatalf("%d writes, want at most %d: %+v", h.writes, most, h.record())
		}
	})
}

// Coordinators that die at any step do not change what becomes of a rollout.
func TestPropertyAnotherCoordinatorComesToTheSameEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plan, members := anyPlan(t), anyClusters(t)
		bad := map[federation.ClusterName]Reading{}
		for _, name := range members {
			bad[name] = failing(uint16(rapid.SampledFrom([]int{0, 0, 10, 11, 1000}).Draw(t, "per mille")))
		}
		deaths := rapid.SliceOfN(rapid.IntRange(0, 120), 0, 8).Draw(t, "deaths")
		run := func(deaths []int) federation.Rollout {
			r := newRig(plan, members...)
			for name, reading := range bad {
				r.measure(name, reading)
			}
			for second := range 400 {
				r.tick(1)
				if slices.Contains(deaths, second) {
					r.succeedCoordinator()
				}
			}
			return *r.record()
		}
		one, many := run(nil), run(deaths)
		if one.Phase != many.Phase || one.To != many.To || one.From != many.From || one.Wave != many.Wave || one.Reason != many.Reason {
			t.Fatalf("one coordinator: %+v\nmany: %+v", one, many)
		}
		if one.Phase != done && one.Phase != back {
			t.Fatalf("it has not ended: %+v", one)
		}
	})
}
