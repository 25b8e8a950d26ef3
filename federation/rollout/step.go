package rollout

import (
	"cmp"
	"slices"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// Inputs are what a coordinator knows: all of one revision of the store, and Readings.
type Inputs struct {
	// Self is the coordinator's cluster.
	Self federation.ClusterName
	// Policies each stand there once.
	Policies []federation.Policy
	Rollouts map[federation.PolicyID]federation.Rollout
	Members  map[federation.ClusterName]federation.Member
	// Presence has no entry for a cluster whose lease is gone.
	Presence map[federation.ClusterName]federation.Presence
	// Readings are what was measured last; where there is none, nothing is known.
	Readings map[Spot]Reading
}

// Decision is what the coordinator has to write. What it wrote must come back in the next
// Inputs with its Revision; until then Step decides the same again, so a write that
// failed needs no care. Each write should compare the record's revision.
type Decision struct {
	// Put has at most one record a policy, in the order of Inputs.Policies.
	Put []federation.Rollout
	// Delete are records that no policy with a plan stands behind, by their policy.
	Delete []federation.PolicyID
	// Again is how long it takes at most until Step has something new to say of equal
	// inputs; 0 is never. It is to be called at each change of the inputs too.
	Again time.Duration
}

// The reasons of a federation.Rollout, beside ReasonUndone, ReasonCompleted,
// ReasonHeldBefore, ReasonTightened and ReasonWaveReached.
const (
	ReasonGateFailed = "GateFailed"
	ReasonHeld       = "Held"
	ReasonResumed    = "Resumed"
)

// State is what a coordinator remembers between two steps. The zero value is a new
// coordinator's; one that has lost its office and won it again starts from it.
type State struct {
	watches map[federation.PolicyID]watch
}

// Step is the coordinator's next step. now is its monotonic clock, from any zero; prev is
// what the step before returned and may be used again. The driver calls it in one
// goroutine, from when it has won the election until it has lost it.
func Step(in Inputs, now time.Duration, prev State) (Decision, State) {
	return step(in, now, prev, Tightens)
}

func step(in Inputs, now time.Duration, prev State, tightens tighten) (Decision, State) {
	next := State{watches: map[federation.PolicyID]watch{}}
	d := Decision{}
	planned := map[federation.PolicyID]bool{}
	for _, p := range in.Policies {
		if p.Rollout == nil {
			continue
		}
		planned[p.ID] = true
		c := change{in: in, p: p, now: now, tightens: tightens}
		if r, ok := in.Rollouts[p.ID]; ok {
			c.r = &r
		}
		put, w, again := c.step(prev.watches[p.ID])
		if w != nil {
			next.watches[p.ID] = *w
		}
		if put != nil {
			put.Policy, put.Coordinator, put.Revision = p.ID, in.Self, 0
			d.Put = append(d.Put, *put)
		}
		if again > 0 && (d.Again == 0 || again < d.Again) {
			d.Again = again
		}
	}
	for id := range in.Rollouts {
		if !planned[id] {
			d.Delete = append(d.Delete, id)
		}
	}
	slices.SortFunc(d.Delete, compare)
	return d, next
}

func compare(a, b federation.PolicyID) int {
	return cmp.Or(cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
