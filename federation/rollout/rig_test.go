package rollout

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/federation"
)

var (
	shop = federation.PolicyID{Origin: "a", Namespace: "shop", Name: "order"}
	cart = federation.ServiceName{Namespace: "shop", Name: "cart"}
)

func ver(generation int64) federation.PolicyVersion {
	return federation.PolicyVersion{Generation: generation, Targets: []federation.ServiceName{cart}}
}

func vers(generations ...int64) []federation.PolicyVersion {
	var out []federation.PolicyVersion
	for _, g := range generations {
		out = append(out, ver(g))
	}
	return out
}

func region(r federation.Region) federation.Wave {
	return federation.Wave{Regions: []federation.Region{r}}
}

// rig is a store, the clusters that read it, and a coordinator.
type rig struct {
	in       Inputs
	now      time.Duration
	office   time.Duration // when the coordinator took it
	state    State
	revision uint64
	tightens tighten
	holds    map[federation.ClusterName]int64 // the version that each cluster applied
	writes   int
}

// newRig has a policy of one generation and clusters that stand where the store stands:
// "a1" is a cluster in the region "a".
func newRig(plan *federation.RolloutPlan, clusters ...federation.ClusterName) *rig {
	r := &rig{revision: 1, tightens: Tightens, holds: map[federation.ClusterName]int64{}, in: Inputs{
		Self: "a1", Rollouts: map[federation.PolicyID]federation.Rollout{}, Readings: map[Spot]Reading{},
		Members: map[federation.ClusterName]federation.Member{}, Presence: map[federation.ClusterName]federation.Presence{},
		Policies: []federation.Policy{{ID: shop, PolicyVersion: ver(1), Observed: 1, Rollout: plan, Revision: 1}},
	}}
	for _, name := range clusters {
		r.join(name)
	}
	return r
}

func (r *rig) join(name federation.ClusterName) {
	r.in.Members[name] = federation.Member{Name: name, Region: federation.Region(name[:1])}
	r.apply(name)
}

func (r *rig) policy() *federation.Policy { return &r.in.Policies[0] }

func (r *rig) record() *federation.Rollout {
	if v, ok := r.in.Rollouts[shop]; ok {
		return &v
	}
	return nil
}

// edit is an author's change of the object.
func (r *rig) edit(change func(*federation.Policy)) {
	r.revision++
	p := r.policy()
	change(p)
	p.Revision, p.Observed = r.revision, p.Observed+1
}

// publish is a new version.
func (r *rig) publish() {
	r.edit(func(p *federation.Policy) {
		p.History = Trim(append([]federation.PolicyVersion{p.PolicyVersion}, p.History...), r.record())
		p.PolicyVersion, p.Undo = ver(p.Observed+1), 0
	})
}

// inForce is the generation that holds in a cluster by what the store says now; 0 is none.
func (r *rig) inForce(name federation.ClusterName) int64 {
	v, _, _ := inForce(*r.policy(), r.record(), r.in.Members[name], r.tightens)
	return v.Generation
}

// apply lets a cluster read the store.
func (r *rig) apply(name federation.ClusterName) {
	r.holds[name] = r.inForce(name)
	r.in.Presence[name] = federation.Presence{Cluster: name, Applied: r.revision}
}

func (r *rig) applyAll() {
	for _, name := range slices.Sorted(maps.Keys(r.in.Presence)) {
		r.apply(name)
	}
}

// step lets the coordinator decide and write.
func (r *rig) step() Decision {
	var d Decision
	d, r.state = step(r.in, r.now, r.state, r.tightens)
	for _, put := range d.Put {
		r.revision++
		r.writes++
		put.Revision = r.revision
		r.in.Rollouts[put.Policy] = put
	}
	for _, id := range d.Delete {
		r.revision++
		r.writes++
		delete(r.in.Rollouts, id)
	}
	return d
}

// tick lets a second pass in which every present cluster reads the store.
func (r *rig) tick(seconds int) {
	for range seconds {
		r.second()
		r.step()
	}
}

// second is a tick without the coordinator.
func (r *rig) second() {
	r.now += time.Second
	r.renew()
	r.applyAll()
}

// renew is a new measurement of the same value, everywhere.
func (r *rig) renew() {
	for spot, reading := range r.in.Readings {
		reading.Version.Sequence++
		r.in.Readings[spot] = reading
	}
}

// succeedCoordinator is another one's start.
func (r *rig) succeedCoordinator() { r.state, r.office = State{}, r.now }

func (r *rig) measure(name federation.ClusterName, reading Reading) {
	reading.Version = federation.Version{Epoch: 1, Sequence: 1}
	r.in.Readings[Spot{name, cart}] = reading
}

func failing(perMille uint16) Reading {
	return Reading{Errors: federation.Measure{Known: true, PerMille: perMille}}
}

// stands is what a test says of a record.
type stands struct {
	To, From int64
	Phase    federation.RolloutPhase
	Wave     int
	Reason   string
}

func (r *rig) want(t *testing.T, want stands) {
	t.Helper()
	got := r.in.Rollouts[shop]
	if diff := cmp.Diff(want, stands{got.To, got.From, got.Phase, got.Wave, got.Reason}); diff != "" {
		t.Fatalf("the rollout stands otherwise (-want +got):\n%s%s", diff, got.Message)
	}
}

func (r *rig) wantHolds(t *testing.T, want map[federation.ClusterName]int64) {
	t.Helper()
	if diff := cmp.Diff(want, r.holds); diff != "" {
		t.Fatalf("clusters stand on other versions (-want +got):\n%s", diff)
	}
}
