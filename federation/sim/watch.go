package sim

import (
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// view is one reader's record of one service port, by the reader's reign: who begins
// anew may begin with anything its owner said.
type view struct {
	reader reign
	of     federation.ClusterName
	port   federation.ServicePort
}

// mark is the newest that a reader has shown.
type mark struct {
	version   federation.Version
	withdrawn bool
}

// choice is what a consumer chooses a cluster for.
type choice struct {
	consumer int
	port     federation.ServicePort
}

// watch remembers what readers have shown.
type watch struct {
	marks   map[view]mark
	winners map[choice]federation.ClusterName // in the quiet at the end
}

func newWatch() *watch {
	return &watch{marks: map[view]mark{}, winners: map[choice]federation.ClusterName{}}
}

// check asserts what must hold at every step of one reader, the newest leader of its cluster.
func (w *World) check(s *seat, now time.Duration) {
	records := s.gossip.Records()
	self := clusterName(s.cluster)
	for c, ports := range records {
		if c == self {
			continue
		}
		for _, r := range ports {
			w.checkStated(self, r)
			w.checkOrder(s, r)
			w.checkAge(s, r, now)
		}
	}
	w.checkKept(s, records)
	t := s.last()
	w.checkVerdicts(s, t, now)
	w.checkTables(s, t, now)
}

// checkStated: no reader ever holds what its owner never stated at that version.
func (w *World) checkStated(reader federation.ClusterName, r federation.HeldRecord) {
	if err := w.ledger.supports(r.HealthRecord); err != nil {
		w.fail("stated", "%s holds what is not its owner's word: %v", reader, err)
	}
}

// checkOrder: versions never go back, and what is withdrawn comes back only by a newer
// statement.
func (w *World) checkOrder(s *seat, r federation.HeldRecord) {
	v := view{reign{clusterName(s.cluster), s.epoch}, r.Cluster, r.Port}
	m, seen := w.watch.marks[v]
	switch {
	case seen && m.version.Newer(r.Version):
		w.fail("order", "%s held %s's %s at %d.%d and now at %d.%d", v.reader.cluster, r.Cluster, r.Port,
			m.version.Epoch, m.version.Sequence, r.Version.Epoch, r.Version.Sequence)
	case seen && m.version == r.Version && m.withdrawn && !r.Withdrawn:
		w.fail("order", "%s has %s's %s risen from its withdrawal at %d.%d", v.reader.cluster, r.Cluster, r.Port, r.Version.Epoch, r.Version.Sequence)
	}
	w.watch.marks[v] = mark{r.Version, r.Withdrawn}
}

// checkKept: a live record goes from a reader only by its owner's newer word.
func (w *World) checkKept(s *seat, records map[federation.ClusterName]map[federation.ServicePort]federation.HeldRecord) {
	for v, m := range w.watch.marks {
		if v.reader != (reign{clusterName(s.cluster), s.epoch}) || m.withdrawn {
			continue
		}
		if _, held := records[v.of][v.port]; !held && !w.ledger.dropped(v.of, v.port, m.version) {
			w.fail("kept", "%s no longer holds %s's %s, which stood at %d.%d", v.reader.cluster, v.of, v.port, m.version.Epoch, m.version.Sequence)
		}
	}
}

// Ages leave out the time on the way (invariant 4 of federation/gossip): at most two of
// the longest ways, and what a whole connection was late by from its beginning.
const (
	wayAllowance  = 2*farthest + 2*step
	lateAllowance = 1500 * time.Millisecond
)

// checkAge: no record looks younger than the newest word of its owner that can have
// reached the reader, nor than the last moment of the reign that said it.
func (w *World) checkAge(s *seat, r federation.HeldRecord, now time.Duration) {
	allowed := wayAllowance
	if w.clean.late > 0 {
		allowed += lateAllowance
	}
	made := now - r.Age
	newest := w.cone.know[s.cluster][number(r.Cluster)]
	if spoke := w.ledger.spoke[reign{r.Cluster, r.Version.Epoch}]; spoke < newest {
		newest = spoke
	}
	if made > newest+allowed {
		w.fail("age", "c%d holds %s's %s as %s old: it cannot have heard of anything younger than %s",
			s.cluster, r.Cluster, r.Port, r.Age, now-newest)
	}
}
