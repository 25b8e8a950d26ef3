package rollout

import (
	"fmt"

	"github.com/causeway-mesh/causeway/federation"
)

// Why says why a version holds in a cluster, or none does.
type Why struct {
	// Reason is one of the constants below.
	Reason string
	// Message is a sentence for status.
	Message string
}

// The reasons of a Why; the package's table says when. Some are reasons of a
// federation.Rollout and a Standing too.
const (
	ReasonUndone            = "Undone"
	ReasonNoPlan            = "NoPlan"
	ReasonCompleted         = "Completed"
	ReasonRolledBack        = "RolledBack"
	ReasonWaveReached       = "WaveReached"
	ReasonWaveAwaited       = "WaveAwaited"
	ReasonHeldBefore        = "HeldBefore"
	ReasonAwaitsCoordinator = "AwaitsCoordinator"
	ReasonNotYet            = "NotYet"
	ReasonVersionLost       = "VersionLost"
	ReasonTightened         = "Tightened"
)

// InForce is the version of a policy that holds in the cluster self, and why; false: none
// does, or none that is known (ReasonVersionLost). r is the policy's rollout record, nil
// if there is none. The engine calls it for its own cluster, status and plan for others;
// of self only Name and Region count. It has no errors.
func InForce(p federation.Policy, r *federation.Rollout, self federation.Member) (federation.PolicyVersion, Why, bool) {
	return inForce(p, r, self, Tightens)
}

func inForce(p federation.Policy, r *federation.Rollout, self federation.Member, tightens tighten) (federation.PolicyVersion, Why, bool) {
	at, why := choose(p, r, self)
	if floor := tightens.floor(p, at); floor != at {
		at = floor
		why = Why{ReasonTightened, fmt.Sprintf("generation %d is tighter than what would hold else, and takes effect at once", version(p, at).Generation)}
	}
	if at == none {
		return federation.PolicyVersion{}, why, false
	}
	return version(p, at), why, true
}

// choose is the package's table, by the version's place.
func choose(p federation.Policy, r *federation.Rollout, self federation.Member) (int, Why) {
	if at, ok := undone(p); ok {
		return at, Why{ReasonUndone, fmt.Sprintf("its author went back from generation %d to %d", p.Generation, p.Undo)}
	}
	if p.Rollout == nil {
		return 0, Why{ReasonNoPlan, "it has no rollout plan, so the newest version holds everywhere"}
	}
	record, known := spoken(p, r)
	switch {
	case known && record.To == p.Generation:
		return brought(p, record, self)
	case heldBefore(p):
		return 0, Why{ReasonHeldBefore, fmt.Sprintf("generation %d held already when it was given a rollout plan", p.Generation)}
	case known:
		at, why := brought(p, record, self)
		return at, waits(p, why)
	case len(p.History) > 0:
		return 1, waits(p, Why{Message: fmt.Sprintf("generation %d was the one before", p.History[0].Generation)})
	}
	return none, Why{ReasonNotYet, fmt.Sprintf("no coordinator has begun to roll out generation %d, the first", p.Generation)}
}

func waits(p federation.Policy, why Why) Why {
	if why.Reason == ReasonVersionLost {
		return why
	}
	return Why{ReasonAwaitsCoordinator, fmt.Sprintf("no coordinator has begun to roll out generation %d; till then: %s", p.Generation, why.Message)}
}

// brought is where a record has brought a cluster.
func brought(p federation.Policy, r federation.Rollout, self federation.Member) (int, Why) {
	wave := reach(*p.Rollout, self)
	switch {
	case r.Phase == federation.RolloutCompleted:
		return known(p, r, r.To, Why{ReasonCompleted, fmt.Sprintf("generation %d was rolled out everywhere", r.To)})
	case r.Phase == federation.RolloutRolledBack:
		return known(p, r, r.From, Why{ReasonRolledBack, fmt.Sprintf("generation %d was taken back: %s", r.To, r.Message)})
	case wave <= r.Wave:
		return known(p, r, r.To, Why{ReasonWaveReached, fmt.Sprintf("generation %d has come to this cluster with wave %d", r.To, wave+1)})
	}
	return known(p, r, r.From, Why{ReasonWaveAwaited, fmt.Sprintf("generation %d comes to this cluster with wave %d, and wave %d is on its way", r.To, wave+1, r.Wave+1)})
}

// known is the place of a generation that a record names, or what replaces it.
func known(p federation.Policy, r federation.Rollout, generation int64, why Why) (int, Why) {
	if at := place(p, generation); at != none || generation == 0 {
		return at, why
	}
	lost := Why{ReasonVersionLost, fmt.Sprintf("generation %d should hold, and is no longer known", generation)}
	return place(p, r.From), lost
}

// settled is the place of what holds everywhere for certain while the newest version has
// no record: where the last rollout ended, or began.
func settled(p federation.Policy, r *federation.Rollout) int {
	record, ok := spoken(p, r)
	switch {
	case heldBefore(p):
		return 0
	case ok && record.Phase == federation.RolloutCompleted:
		at, _ := known(p, record, record.To, Why{})
		return at
	case ok:
		return place(p, record.From)
	case len(p.History) > 0:
		return 1
	}
	return none
}
