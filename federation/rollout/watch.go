package rollout

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// watch is what a coordinator has seen of one rollout on its way.
type watch struct {
	to   int64
	wave int
	// whole says that all present clusters of the waves so far have had the change at
	// once in this wave; since is when they first did. The bake time counts from there.
	whole bool
	since time.Duration
	// there is when each cluster was first seen to have it.
	there map[federation.ClusterName]time.Duration
	// streaks are the measurements in a row that a gate did not let pass.
	streaks map[measured]streak
	behind  bool
}

// follow brings the watch up to date. Another rollout or wave is watched anew.
func (w watch) follow(c change, r federation.Rollout) watch {
	if w.to != r.To {
		w = watch{to: r.To, wave: r.Wave}
	}
	if w.wave != r.Wave {
		w.wave, w.whole = r.Wave, false
	}
	w.there, w.streaks = maps.Clone(w.there), maps.Clone(w.streaks)
	if w.there == nil {
		w.there, w.streaks = map[federation.ClusterName]time.Duration{}, map[measured]streak{}
	}
	there, behind, _ := roll(reached(*c.p.Rollout, r.Wave, c.in.Members), c.in.Presence, owed(c.p, r))
	for _, name := range there {
		if _, seen := w.there[name]; !seen {
			w.there[name] = c.now
		}
	}
	w.behind = len(behind) > 0
	if !w.behind && !w.whole {
		w.whole, w.since = true, c.now
	}
	return w
}

// owed is the revision that a cluster must stand at to have what a record brings it: a
// changed plan may have brought it into a wave as well.
func owed(p federation.Policy, r federation.Rollout) uint64 { return max(p.Revision, r.Revision) }

// left says whether the wave cannot end yet, and for how long still if nothing happens;
// 0 is that time alone will not do.
func (w watch) left(c change) (time.Duration, bool) {
	if w.behind || !w.whole {
		return 0, true
	}
	left := w.since + bake(*c.p.Rollout) - c.now
	return left, left > 0
}

// bake is how long a wave is watched: a gate needs its time.
func bake(plan federation.RolloutPlan) time.Duration {
	if gated(plan) {
		return max(plan.Bake, GateTime)
	}
	return plan.Bake
}

// unproved names what a wave that has ended did not wait for, and what no gate knew.
func (w watch) unproved(c change, ended int) string {
	clusters := reached(*c.p.Rollout, w.wave, c.in.Members)
	_, _, absent := roll(clusters, c.in.Presence, 0)
	var out string
	if len(absent) > 0 {
		out += fmt.Sprintf("; not waited for, as they have no presence: %s", some(absent))
	}
	if unknown := c.unknown(clusters); len(unknown) > 0 {
		out += fmt.Sprintf("; unknown: %s", some(unknown))
	}
	if len(clusters) == 0 {
		out += fmt.Sprintf("; no member is in the waves up to %d", ended)
	}
	return out
}

// shown is how many names a message spells out.
const shown = 5

func some[T ~string](names []T) string {
	var out []string
	for _, n := range names[:min(len(names), shown)] {
		out = append(out, string(n))
	}
	if more := len(names) - shown; more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, ", ")
}
