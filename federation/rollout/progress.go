package rollout

import (
	"fmt"

	"github.com/causeway-mesh/causeway/federation"
)

// Standing is how far a policy's newest version has come, as one cluster sees it.
type Standing struct {
	// Generation is the newest version's, From that of the one that holds where it does
	// not; 0 is none.
	Generation, From int64
	Phase            federation.RolloutPhase
	// Reason and Message are the record's; or ReasonNoPlan, ReasonAwaitsCoordinator, or
	// ReasonHeld where it has none.
	Reason, Message string
	// Wave counts from 1; 0 is that none has begun. Waves is how many there are, 0
	// without a plan.
	Wave, Waves int
	// Updated clusters of Total have said that they have the newest version.
	Updated, Total int
	// Waiting are those that have not said yet that they stand where they should, Absent
	// those that say nothing as they have no presence. By name.
	Waiting, Absent []federation.ClusterName
}

// Progress tells how a policy stands; r is its record, nil if there is none. Status calls
// it, in each cluster.
func Progress(p federation.Policy, r *federation.Rollout, members map[federation.ClusterName]federation.Member,
	presence map[federation.ClusterName]federation.Presence) Standing {
	s := Standing{Generation: p.Generation, Total: len(members)}
	record, known := spoken(p, r)
	if !known || record.To != p.Generation {
		record = federation.Rollout{Wave: none}
		if at := settled(p, r); at != none {
			record.From = version(p, at).Generation
		}
	}
	s.describe(p, record)
	if p.Rollout != nil {
		s.Waves = waves(*p.Rollout, members)
		s.Wave = min(record.Wave+1, s.Waves)
	}
	s.count(p, record, members, presence)
	return s
}

func (s *Standing) describe(p federation.Policy, r federation.Rollout) {
	s.From, s.Phase, s.Reason, s.Message = r.From, r.Phase, r.Reason, r.Message
	at, back := undone(p)
	switch {
	case back:
		s.From = version(p, tighten(Tightens).floor(p, at)).Generation
		s.Phase, s.Reason = federation.RolloutRolledBack, ReasonUndone
		s.Message = fmt.Sprintf("its author went back from generation %d to %d", p.Generation, p.Undo)
	case p.Rollout == nil:
		s.From, s.Phase, s.Reason, s.Message = 0, federation.RolloutCompleted, ReasonNoPlan, "it has no rollout plan, so the newest version holds everywhere"
	case r.To == p.Generation:
	case p.Hold:
		s.Phase, s.Reason, s.Message = federation.RolloutPaused, ReasonHeld, "its author holds it before the first wave"
	default:
		s.Phase, s.Reason, s.Message = federation.RolloutProgressing, ReasonAwaitsCoordinator, "no coordinator has begun the first wave"
	}
}

// count asks every cluster that the last change concerns: those of the waves so far, or
// all once it has ended.
func (s *Standing) count(p federation.Policy, r federation.Rollout, members map[federation.ClusterName]federation.Member,
	presence map[federation.ClusterName]federation.Presence) {
	var all []federation.ClusterName
	if s.Phase == federation.RolloutCompleted || s.Phase == federation.RolloutRolledBack || p.Rollout == nil {
		all = reached(federation.RolloutPlan{}, 0, members)
	} else {
		all = reached(*p.Rollout, r.Wave, members)
	}
	there, behind, absent := roll(all, presence, owed(p, r))
	if s.Reason == ReasonCompleted { // a record says so only after all that are present have
		there, behind = append(there, behind...), nil
	}
	s.Waiting, s.Absent = behind, absent
	if s.Phase != federation.RolloutRolledBack {
		s.Updated = len(there)
	}
}
