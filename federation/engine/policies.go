package engine

import (
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/policystore"
	"github.com/causeway-mesh/causeway/federation/rollout"
)

// HeldPolicy is a policy as the store has it, and what of it holds in this cluster.
type HeldPolicy struct {
	federation.Policy
	// Version holds here, if Holds. Why says why, or why none does.
	Version federation.PolicyVersion
	Holds   bool
	Why     rollout.Why
	// Standing is how far the newest version has come in the federation.
	Standing rollout.Standing
}

// InForce is the policy with the version that holds in the place of the newest.
func (p HeldPolicy) InForce() federation.Policy {
	out := p.Policy
	out.PolicyVersion = p.Version
	return out
}

// heldPolicies says of each policy what holds in the cluster self. The order stays.
func heldPolicies(state policystore.State, self federation.Member) []HeldPolicy {
	out := make([]HeldPolicy, 0, len(state.Policies))
	for _, p := range state.Policies {
		h := HeldPolicy{Policy: p}
		var record *federation.Rollout
		if r, ok := state.Rollouts[p.ID]; ok {
			record = &r
		}
		h.Version, h.Why, h.Holds = rollout.InForce(p, record, self)
		h.Standing = rollout.Progress(p, record, state.Members, state.Presence)
		out = append(out, h)
	}
	return out
}

// inForce are the policies that routing follows here, by their order.
func inForce(held []HeldPolicy) []federation.Policy {
	var out []federation.Policy
	for _, p := range held {
		if p.Holds {
			out = append(out, p.InForce())
		}
	}
	return out
}

// hold looks again at what holds here; the state or the settings are new.
func (e *Engine) hold() {
	if e.settings != nil {
		e.held = heldPolicies(e.state, federation.Member{Name: e.settings.Cluster, Region: e.settings.Region})
		e.followed = inForce(e.held)
	}
}

// InForce are the policies that routing follows here, each with the version that holds,
// by their order: the first that speaks of a service decides.
func (v *View) InForce() []federation.Policy { return inForce(v.Policies) }
