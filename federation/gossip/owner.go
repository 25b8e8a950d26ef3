package gossip

import (
	"slices"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// owner writes the own ledger of a book: it stamps, and nobody else may.
type owner struct {
	name federation.ClusterName
	book *book
	at   federation.Version // the last version given out
}

func newOwner(name federation.ClusterName, epoch uint64, b *book) *owner {
	b.clusters[name] = &ledger{floor: epoch, entries: map[federation.ServicePort]entry{}}
	return &owner{name: name, book: b, at: federation.Version{Epoch: epoch}}
}

func (o *owner) ledger() *ledger { return o.book.clusters[o.name] }

func (o *owner) next() federation.Version {
	o.at.Sequence++
	return o.at
}

// publish makes counts the full set, and returns the ports whose record is new.
// It reports how many were left out because of the bound.
func (o *owner) publish(counts map[federation.ServicePort]Count, now time.Duration) (changed []federation.ServicePort, refused int) {
	l := o.ledger()
	for p, e := range l.entries {
		if _, ok := counts[p]; !ok && !e.Withdrawn {
			l.entries[p] = o.stamp(Count{}, true, now)
			changed = append(changed, p)
		}
	}
	ports := make([]federation.ServicePort, 0, len(counts))
	for p := range counts {
		ports = append(ports, p)
	}
	slices.SortFunc(ports, federation.ServicePort.Compare)
	if n := len(ports) - o.book.limit.services; n > 0 {
		ports, refused = ports[:o.book.limit.services], n
	}
	for _, p := range ports {
		c := counts[p]
		c.Ready = min(c.Ready, c.Total)
		if e, ok := l.entries[p]; ok && !e.Withdrawn && e.Count == c {
			continue
		}
		l.entries[p] = o.stamp(c, false, now)
		changed = append(changed, p)
	}
	o.forget(l)
	return changed, refused
}

// forget drops the oldest tombstones beyond the bound that readers put on a ledger.
func (o *owner) forget(l *ledger) {
	if len(l.entries) <= 2*o.book.limit.services {
		return
	}
	var dead []federation.ServicePort
	for p, e := range l.entries {
		if e.Withdrawn {
			dead = append(dead, p)
		}
	}
	slices.SortFunc(dead, func(a, b federation.ServicePort) int {
		return int(l.entries[a].Base - l.entries[b].Base)
	})
	for _, p := range dead[:min(len(dead), len(l.entries)-2*o.book.limit.services)] {
		delete(l.entries, p)
	}
}

func (o *owner) stamp(c Count, withdrawn bool, now time.Duration) entry {
	v := o.next()
	return entry{Version: v, Renewed: v.Sequence, Base: now, Count: c, Withdrawn: withdrawn}
}

// renew makes a new beat: all that we have said still holds.
func (o *owner) renew(now time.Duration) {
	l := o.ledger()
	l.beat = heldBeat{Version: o.next(), Digest: l.digest(), Base: now}
	l.cover()
}

// full is the own complete statement, renewed now.
func (o *owner) full(now time.Duration) statement {
	o.renew(now)
	s, _ := o.book.tell(o.name, nil, now)
	s.Complete = true
	return s
}

// setEpoch starts a new reign: every live record is said again under it.
func (o *owner) setEpoch(epoch uint64, now time.Duration) bool {
	if epoch <= o.at.Epoch {
		return false
	}
	o.at = federation.Version{Epoch: epoch}
	o.restamp(now)
	return true
}

func (o *owner) restamp(now time.Duration) {
	l := o.ledger()
	l.floor, l.beat = o.at.Epoch, heldBeat{}
	for p, e := range l.entries {
		if e.Withdrawn && e.Version.Epoch < l.floor {
			delete(l.entries, p)
			continue
		}
		l.entries[p] = o.stamp(e.Count, e.Withdrawn, now)
	}
	o.renew(now)
}

// echo judges what others hold of us. It returns a newer leader's epoch if the
// statement carries one of its records or beats; a floor alone is a bare number.
// Should the echo be of our own epoch but ahead of us (we restarted under it), we
// pass it by and say everything again.
func (o *owner) echo(s statement, now time.Duration) (newer uint64, restamped bool) {
	v := s.newest()
	switch {
	case v.Epoch > o.at.Epoch:
		return v.Epoch, false
	case v.Epoch == o.at.Epoch && v.Sequence > o.at.Sequence:
		o.at.Sequence = v.Sequence
		o.restamp(now)
		return 0, true
	}
	return 0, false
}
