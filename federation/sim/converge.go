package sim

import (
	"maps"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/gossip"
)

// checkEnd: long after the last fault all live clusters hold the same, which is what
// each says, and know who is dead.
func (w *World) checkEnd() {
	if len(w.found) > 0 {
		return
	}
	for _, reader := range w.clusters {
		if !w.lives(reader.index) {
			continue
		}
		records, t := reader.seat.gossip.Records(), reader.seat.last()
		for _, of := range w.clusters {
			switch {
			case of == reader:
			case w.lives(of.index):
				w.checkConverged(reader, of, records[clusterName(of.index)])
			default:
				w.checkDeadKnown(reader, of, t)
			}
		}
	}
}

func (w *World) checkConverged(reader, of *cluster, held map[federation.ServicePort]federation.HeldRecord) {
	want := maps.Clone(of.said)
	for p, r := range held {
		h, live := want[p]
		switch {
		case r.Version.Epoch != of.epoch:
			w.fail("convergence", "c%d holds c%d's %s of reign %d, not %d", reader.index, of.index, p, r.Version.Epoch, of.epoch)
		case r.Withdrawn == live:
			w.fail("convergence", "c%d holds c%d's %s withdrawn: %t; its owner has it live: %t", reader.index, of.index, p, r.Withdrawn, live)
		case live && !sameHealth(h.Record(r.Cluster, p, r.Version), r.HealthRecord):
			w.fail("convergence", "c%d holds of c%d %+v; it says %+v", reader.index, of.index, r.HealthRecord, h)
		}
		delete(want, p)
	}
	if len(want) > 0 {
		w.fail("convergence", "c%d holds nothing of c%d on %v", reader.index, of.index, want)
	}
}

func (w *World) checkDeadKnown(reader, of *cluster, t thought) {
	name := clusterName(of.index)
	if m := t.members[name].Status; m == gossip.Alive || m == gossip.Suspect {
		w.fail("death known", "c%d takes c%d, which is lost, for %s in gossip", reader.index, of.index, m)
	}
	if v := t.verdicts[name]; v.Kind != federation.ClusterDown {
		w.fail("death known", "c%d calls c%d, which is lost, %s (%s: %s)", reader.index, of.index, v.Kind, v.Reason, v.Cause)
	}
}
