package sim

import (
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// withdrawSettles is how long after a path has broken a policy that withdraws must have:
// the gateway's detection, a report, a round.
const withdrawSettles = 5 * time.Second

// checkTables asserts what a table may and must contain.
func (w *World) checkTables(s *seat, t thought, now time.Duration) {
	for i := range services {
		d, ok := t.result.Decisions[servicePort(i)]
		if !ok {
			w.fail("table", "c%d has no route for %s", s.cluster, servicePort(i))
			continue
		}
		w.checkQuiet(s, d, now)
		route, targets := t.result.Table.Routes[servicePort(i)], 0
		for _, tier := range route.Tiers {
			targets += len(tier.Targets)
		}
		ready := 0
		for _, c := range d.Candidates {
			peer := number(c.Cluster)
			if peer == s.cluster {
				w.checkHome(s, d, c)
				continue
			}
			r, known := t.records[c.Cluster][d.Port]
			down := known && (r.Withdrawn || r.Ready == 0)
			if !down {
				ready++
			}
			w.checkForbidden(s, c, d, down, now)
			w.checkMissing(s, c, d, down, r, known, now)
			w.checkFresh(s, c, d, now)
		}
		if ready > 0 && targets == 0 && keeps(d.OnPartition) && d.MaxRecordAge == 0 {
			w.fail("never all off", "c%d has no target for %s although %d clusters are not known to be down", s.cluster, d.Port, ready)
		}
	}
}

// quietFor is how long before the end of a world nothing moves any more: all faults have
// ended, flaps are forgiven, and what is dead is old.
const quietFor = 8 * time.Second

// checkQuiet (I6): without a fault nobody chooses another cluster.
func (w *World) checkQuiet(s *seat, d routing.Decision, now time.Duration) {
	if now < w.plan.End()-quietFor {
		return
	}
	won, _ := d.Winner()
	key := choice{s.cluster, d.Port}
	if old, chosen := w.watch.winners[key]; chosen && old != won.Cluster {
		w.fail("quiet", "c%d has moved %s from %s to %s, and nothing has happened", s.cluster, d.Port, old, won.Cluster)
	}
	w.watch.winners[key] = won.Cluster
}

// keeps says whether a policy leaves a target with a dead path in the table.
func keeps(p federation.PartitionPolicy) bool {
	return p == federation.PartitionDemote || p == federation.PartitionKeep
}

// checkHome (I2): what is ready at home is not sent away unless a policy says so.
func (w *World) checkHome(s *seat, d routing.Decision, c routing.Candidate) {
	if d.Rule != routing.RuleDefault || !c.In {
		return
	}
	if won, _ := d.Winner(); won.Cluster != c.Cluster {
		w.fail("home first", "c%d sends %s to %s and is ready itself", s.cluster, d.Port, won.Cluster)
	}
}

// checkForbidden: no target that its owner's word or a policy forbids.
func (w *World) checkForbidden(s *seat, c routing.Candidate, d routing.Decision, down bool, now time.Duration) {
	broken := w.clean.severed(s.cluster, number(c.Cluster), now)
	switch {
	case !c.In:
	case down:
		w.fail("forbidden", "c%d sends %s to %s, whose owner says that nothing is ready", s.cluster, d.Port, c.Cluster)
	case d.OnPartition == federation.PartitionWithdraw && c.Verdict.Kind.Dead():
		w.fail("forbidden", "c%d keeps %s for %s: %s, and the policy withdraws", s.cluster, c.Cluster, d.Port, c.Verdict.Kind)
	case d.OnPartition == federation.PartitionWithdraw && broken > withdrawSettles && c.Verdict.Kind != federation.Unknown:
		w.fail("forbidden", "c%d keeps %s for %s, whose path has been broken for %s (%s)", s.cluster, c.Cluster, d.Port, broken, c.Verdict.Kind)
	case d.OnPartition == federation.PartitionDemote && broken > withdrawSettles && !c.LastResort && c.Verdict.Kind != federation.Unknown:
		w.fail("forbidden", "c%d puts %s first for %s, whose path has been broken for %s (%s)", s.cluster, c.Cluster, d.Port, broken, c.Verdict.Kind)
	case d.MaxRecordAge > 0 && c.HealthKnown && c.HealthAge > d.MaxRecordAge:
		w.fail("forbidden", "c%d keeps %s for %s by a record %s old", s.cluster, c.Cluster, d.Port, c.HealthAge)
	}
}

// checkMissing (I3): only its owner's word, a dead path under a policy that withdraws, or
// a policy's bound on ages takes a target out. So the loss of a control plane never does.
func (w *World) checkMissing(s *seat, c routing.Candidate, d routing.Decision, down bool, r federation.HeldRecord, known bool, now time.Duration) {
	carried := w.clean.carried(s.cluster, number(c.Cluster), now)
	old := d.MaxRecordAge > 0 && (!known || r.Age > d.MaxRecordAge)
	switch {
	case down || old:
	case !c.In && (keeps(d.OnPartition) || carried > flapSettles):
		w.fail("fail static", "c%d has lost %s for %s (%s, verdict %s %s): its path has stood for %s and its owner has not said so",
			s.cluster, c.Cluster, d.Port, c.Reason, c.Verdict.Kind, c.Verdict.Reason, carried)
	case c.LastResort && carried > flapSettles:
		w.fail("fail static", "c%d has demoted %s for %s (%s, verdict %s %s): its path has stood for %s",
			s.cluster, c.Cluster, d.Port, c.Reason, c.Verdict.Kind, c.Verdict.Reason, carried)
	}
}

const (
	// toldWithin is I1's bound beside the way; toldLate the bound while segments are lost
	// or late, when a stalled connection is gone round.
	toldWithin = 500 * time.Millisecond
	toldLate   = 4 * time.Second
	// leaderSettles is how long a new leader takes to be connected: dials and handshakes.
	leaderSettles = 2 * time.Second
)

// checkFresh (I1): what its owner says is down is no target for longer than that.
func (w *World) checkFresh(s *seat, c routing.Candidate, d routing.Decision, now time.Duration) {
	peer := number(c.Cluster)
	stood, down := w.downFor(peer, d.Port, now)
	allowed := toldWithin + roundTrip(s.cluster, peer)/2 + step
	if !w.clean.punctual(verdictSettles, now) {
		allowed += toldLate
	}
	if c.In && down && stood > allowed && w.clean.whole(s.cluster, peer, now) > verdictSettles+stood {
		w.fail("told in time", "c%d sends %s to %s, which has said for %s that nothing is ready", s.cluster, d.Port, c.Cluster, stood)
	}
}

// downFor says whether nothing of a port is ready, and for how long its owner has said so.
// A new leader does not say again what an earlier one has withdrawn.
func (w *World) downFor(c int, p federation.ServicePort, now time.Duration) (time.Duration, bool) {
	w.health.Lock()
	defer w.health.Unlock()
	h, live := w.clusters[c].said[p]
	since, born := w.clusters[c].since[p], w.clusters[c].seat.bornOr(now)
	if !live && since < born {
		return 0, false
	}
	return now - max(since, born+leaderSettles), h.Ready == 0
}
