package rollout

import (
	"slices"

	"github.com/causeway-mesh/causeway/federation"
)

// A version's place is 0 for the newest, then counts through the history. none stands for
// no version at all.
const none = -1

func version(p federation.Policy, place int) federation.PolicyVersion {
	if place == 0 {
		return p.PolicyVersion
	}
	return p.History[place-1]
}

// place is where a generation stands, or none.
func place(p federation.Policy, generation int64) int {
	if generation == 0 {
		return none
	}
	for i := range 1 + len(p.History) {
		if version(p, i).Generation == generation {
			return i
		}
	}
	return none
}

// undone says whether the author has gone back by hand, and where to. What is not in
// the history cannot be gone back to, and the newest version is not back.
func undone(p federation.Policy) (int, bool) {
	at := place(p, p.Undo)
	return at, at > 0
}

// heldBefore says whether the newest version was in force before it had a plan.
func heldBefore(p federation.Policy) bool {
	return len(p.History) > 0 && p.History[0].Generation == p.Generation
}

// spoken is a record that is worth something to p: one of a generation that p has not
// seen yet was made for an earlier object of that name.
func spoken(p federation.Policy, r *federation.Rollout) (federation.Rollout, bool) {
	if r == nil || r.To > p.Generation {
		return federation.Rollout{}, false
	}
	return *r, true
}

// Tightens says whether the new version allows less than the old one in residency or
// authorization, anywhere; the zero version stands for no policy. Such a version takes
// effect at once, past waves, and is not taken back by going back to a looser one.
// Versions have no such fields yet, so nothing tightens; they come with residency.
func Tightens(_, _ federation.PolicyVersion) bool { return false }

// tighten is Tightens, or a test's.
type tighten func(before, after federation.PolicyVersion) bool

// floor is the place of what holds instead of the version at a place because versions
// that came after it were tighter.
func (f tighten) floor(p federation.Policy, at int) int {
	var held federation.PolicyVersion
	later := 1 + len(p.History)
	if at != none {
		held, later = version(p, at), at
	}
	for i := later - 1; i >= 0; i-- {
		if v := version(p, i); f(held, v) {
			held, at = v, i
		}
	}
	return at
}

// Trim bounds a history, newest first, to federation.MaxPolicyHistory. The publisher of a
// policy calls it with the record that it knows (nil: none). Versions that clusters may
// stand on by that record stay, in place of the oldest others.
func Trim(history []federation.PolicyVersion, r *federation.Rollout) []federation.PolicyVersion {
	out := slices.Clone(history)
	for i := len(out) - 1; i >= 0 && len(out) > federation.MaxPolicyHistory; i-- {
		if r == nil || out[i].Generation != r.From && out[i].Generation != r.To {
			out = slices.Delete(out, i, i+1)
		}
	}
	return out
}
