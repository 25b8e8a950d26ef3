package sim

import (
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/gossip"
	"github.com/causeway-mesh/causeway/federation/liveness"
)

// Settling times: what the invariants promise holds so long after the last fault that
// touches it.
const (
	// verdictSettles: a proof has come, and a silent owner has been heard again.
	verdictSettles = 10 * time.Second
	// flapSettles: a peer that fell again is trusted again.
	flapSettles = liveness.FlapPause + verdictSettles
	// proofSettles: an old proof counts no more.
	proofSettles = liveness.ProofMaxAge + time.Second
)

// checkVerdicts: who is up is Reachable, and who is not is not called so.
func (w *World) checkVerdicts(s *seat, t thought, now time.Duration) {
	for c := range w.plan.Clusters {
		if c == s.cluster {
			continue
		}
		w.checkMember(s, c, t, now)
		v := t.verdicts[clusterName(c)]
		settled := w.clean.whole(s.cluster, c, now) > verdictSettles ||
			w.clean.around(s.cluster, c, now) > verdictSettles && w.clean.carried(s.cluster, c, now) > verdictSettles
		held := v.Reason == liveness.ReasonFlapping && w.clean.carried(s.cluster, c, now) <= flapSettles
		if settled && v.Kind != federation.Reachable && !held {
			w.fail("no false verdict", "c%d calls c%d %s (%s: %s), which has been up for %s",
				s.cluster, c, v.Kind, v.Reason, v.Cause, w.clean.whole(s.cluster, c, now))
		}
		if broken := w.clean.severed(s.cluster, c, now); broken > proofSettles && v.Kind.Carries() {
			w.fail("no verdict without proof", "c%d calls c%d %s (%s), whose path has been broken for %s", s.cluster, c, v.Kind, v.Reason, broken)
		}
	}
}

// checkMember: gossip takes nobody for dead who has been up, whatever others say. Lost and
// late segments may look like death for a moment, and so may a hand-over of the lead: the
// old leader has left.
func (w *World) checkMember(s *seat, c int, t thought, now time.Duration) {
	handed := now - w.clusters[c].seat.bornOr(now)
	if w.clean.whole(s.cluster, c, now) <= verdictSettles || handed <= verdictSettles || !w.clean.punctual(verdictSettles, now) {
		return
	}
	if m := t.members[clusterName(c)]; m.Status == gossip.Dead {
		w.fail("no false death", "c%d takes c%d for dead in gossip for %s, which has been up for %s", s.cluster, c, m.Since, w.clean.whole(s.cluster, c, now))
	}
}
