package engine

import (
	"errors"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/plan"
	"github.com/causeway-mesh/causeway/federation/policystore"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// The reasons for which an engine cannot plan.
var (
	// ErrNotLeading: another replica leads, and knows more.
	ErrNotLeading = errors.New("this replica does not lead")
	// ErrNotDecided: there is no federation, or its policy store has not been read yet.
	ErrNotDecided = errors.New("the federation is not known here yet: no MeshFederation is in force, or the policy store has not been read")
)

// decided is what the last decision was made from; the zero value is that there is none.
// Nobody changes what it refers to.
type decided struct {
	in    routing.Inputs
	state routing.State
	at    time.Duration
	// published are the newest policies of the store.
	published []federation.Policy
	rollouts  map[federation.PolicyID]federation.Rollout
}

// Plan predicts what a change of this cluster's policies would do, from what the last
// round knew. It changes nothing, here or elsewhere. Errors are ErrNotLeading,
// ErrNotDecided and those of plan.Make. The admin endpoint calls it.
func (e *Engine) Plan(c plan.Change) (plan.Plan, error) {
	last, err := e.lastDecided()
	if err != nil {
		return plan.Plan{}, err
	}
	return plan.Make(plan.World{
		Inputs: last.in, State: last.state, Now: last.at, Published: last.published,
		InForce: func(m federation.Member) []federation.Policy {
			return inForce(heldPolicies(policystore.State{Policies: last.published, Rollouts: last.rollouts}, m))
		},
		Legs: e.View().Legs,
	}, c)
}

// lastDecided is short: a plan takes long, and rounds must not wait for it.
func (e *Engine) lastDecided() (decided, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.epoch == 0:
		return decided{}, ErrNotLeading
	case e.decided.in.Self == "":
		return decided{}, ErrNotDecided
	}
	return e.decided, nil
}
