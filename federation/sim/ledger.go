package sim

import (
	"fmt"
	"sort"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// reign names all that one leader of one cluster said.
type reign struct {
	cluster federation.ClusterName
	epoch   uint64
}

// statement is everything that an owner's word amounted to at one sequence.
type statement struct {
	sequence uint64
	at       time.Duration
	live     map[federation.ServicePort]federation.HealthRecord
}

// ledger is the truth: every statement that was ever made, as its owner saw it.
type ledger struct {
	said map[reign][]statement
	// spoke is when each reign last was alive.
	spoke map[reign]time.Duration
}

func newLedger() *ledger {
	return &ledger{said: map[reign][]statement{}, spoke: map[reign]time.Duration{}}
}

// note writes down what an owner says now, if it is new. It must be called between any
// two statements of one owner.
func (l *ledger) note(r reign, own map[federation.ServicePort]federation.HeldRecord, now time.Duration) {
	l.spoke[r] = now
	s := statement{at: now, live: map[federation.ServicePort]federation.HealthRecord{}}
	for p, rec := range own {
		if rec.Version.Epoch != r.epoch {
			continue
		}
		s.sequence = max(s.sequence, rec.Version.Sequence)
		if !rec.Withdrawn {
			s.live[p] = rec.HealthRecord
		}
	}
	all := l.said[r]
	if s.sequence == 0 || len(all) > 0 && all[len(all)-1].sequence >= s.sequence {
		return
	}
	l.said[r] = append(all, s)
}

// began notes the first statement of a reign that has nothing to export: no record shows it.
func (l *ledger) began(r reign, now time.Duration) {
	if len(l.said[r]) == 0 {
		l.said[r] = []statement{{sequence: 1, at: now}}
	}
}

// at is the statement of a version.
func (l *ledger) at(c federation.ClusterName, v federation.Version) (statement, bool) {
	all := l.said[reign{c, v.Epoch}]
	i := sort.Search(len(all), func(i int) bool { return all[i].sequence >= v.Sequence })
	if i == len(all) || all[i].sequence != v.Sequence {
		return statement{}, false
	}
	return all[i], true
}

// supports says why a record that a reader holds is not its owner's word; nil is that it is.
func (l *ledger) supports(r federation.HealthRecord) error {
	s, ok := l.at(r.Cluster, r.Version)
	if !ok {
		return fmt.Errorf("%s never said anything at %d.%d", r.Cluster, r.Version.Epoch, r.Version.Sequence)
	}
	own, live := s.live[r.Port]
	switch {
	case live == r.Withdrawn:
		return fmt.Errorf("%s at %d.%d says of %s that it is live: %t, the reader that it is withdrawn: %t", r.Cluster, r.Version.Epoch, r.Version.Sequence, r.Port, live, r.Withdrawn)
	case live && !sameHealth(own, r):
		return fmt.Errorf("%s at %d.%d says of %s: %+v; the reader holds %+v", r.Cluster, r.Version.Epoch, r.Version.Sequence, r.Port, own, r)
	}
	return nil
}

// sameHealth compares what is said, versions aside: a snapshot restates.
func sameHealth(a, b federation.HealthRecord) bool {
	a.Version, b.Version = federation.Version{}, federation.Version{}
	return a.Ready == b.Ready && a.Total == b.Total && a.Withdrawn == b.Withdrawn && a.Capacity == b.Capacity &&
		a.Load == b.Load && a.Errors == b.Errors && len(a.Zones) == len(b.Zones)
}

// dropped says whether the owner, after a version, made a statement in which a port is not live.
func (l *ledger) dropped(c federation.ClusterName, p federation.ServicePort, after federation.Version) bool {
	for r, all := range l.said {
		if r.cluster != c || r.epoch < after.Epoch {
			continue
		}
		for _, s := range all {
			_, live := s.live[p]
			if !live && (federation.Version{Epoch: r.epoch, Sequence: s.sequence}).Newer(after) {
				return true
			}
		}
	}
	return false
}
