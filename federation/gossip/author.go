package gossip

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"slices"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

const (
	// compactAfter: with so many changes behind the last snapshot it takes a new one.
	compactAfter = 64
	// anchorAfter: so long before a chain ends the owner signs a new one.
	anchorAfter = (chainLength - 64) * tick
)

// author writes the own volume: it alone stamps and signs. It is not safe for concurrent use.
type author struct {
	name    federation.ClusterName
	archive *archive
	cert    func() (*tls.Certificate, error)

	epoch    uint64
	sequence uint64
	said     map[federation.ServicePort]spoken
	chain    *chain
	anchored time.Duration // when the newest batch was made
	key      keyID
}

// spoken is an item and when it was said.
type spoken struct {
	item
	at time.Duration
}

func newAuthor(name federation.ClusterName, epoch uint64, a *archive, cert func() (*tls.Certificate, error)) *author {
	return &author{name: name, epoch: epoch, archive: a, cert: cert, said: map[federation.ServicePort]spoken{}}
}

// publish makes health the full set. What has only another load or error rate waits,
// unless measures says that it is time for those too. It returns the batch to tell: nil
// if nothing has changed; and how many service ports were left out because of the bound.
func (a *author) publish(health map[federation.ServicePort]federation.Health, measures bool, now time.Duration) (f *filed, refused int, err error) {
	ports := make([]federation.ServicePort, 0, len(health))
	for p := range health {
		ports = append(ports, p)
	}
	slices.SortFunc(ports, federation.ServicePort.Compare)
	if n := len(ports) - a.archive.limit.services; n > 0 {
		ports, refused = ports[:a.archive.limit.services], n
	}
	var items []item
	kept := make(map[federation.ServicePort]bool, len(ports))
	for _, p := range ports {
		kept[p] = true
		h := tidy(health[p])
		old, ok := a.said[p]
		if ok && !old.Withdrawn && (old.Health.Equal(h) || !measures && old.Health.SameCounts(h)) {
			continue
		}
		items = append(items, item{Port: p, Health: h})
	}
	for p, s := range a.said {
		if !kept[p] && !s.Withdrawn {
			items = append(items, item{Port: p, Withdrawn: true})
		}
	}
	sortItems(items)
	if len(items) == 0 && !a.silent() {
		return nil, refused, nil
	}
	f, err = a.say(items, now)
	return f, refused, err
}

// tidy brings a health within what the codec says.
func tidy(h federation.Health) federation.Health {
	h.Ready = min(h.Ready, h.Total)
	h.Zones = slices.Clone(h.Zones)
	slices.SortFunc(h.Zones, func(a, b federation.ZoneCount) int { return cmp.Compare(a.Zone, b.Zone) })
	h.Zones = slices.DeleteFunc(h.Zones, func(z federation.ZoneCount) bool { return z.Zone == "" })
	h.Zones = h.Zones[:min(len(h.Zones), federation.MaxZones)]
	if len(h.Zones) == 0 {
		h.Zones = nil
	}
	return h
}

// say signs a change and files it. The first of a reign is a snapshot.
func (a *author) say(items []item, now time.Duration) (*filed, error) {
	cert, err := a.cert()
	if err != nil {
		return nil, fmt.Errorf("signing gossip: %w", err)
	}
	next := make(map[federation.ServicePort]spoken, len(a.said)+len(items))
	for p, s := range a.said {
		next[p] = s
	}
	for _, i := range items {
		next[i.Port] = spoken{i, now}
	}
	prune(next, a.archive, now)
	first := a.silent()
	if first {
		items = snapshotOf(next)
	}
	c := newChain()
	b := batch{
		Version: federation.Version{Epoch: a.epoch, Sequence: a.sequence + 1}, Stamp: now.Truncate(time.Millisecond),
		End: c[0], Snapshot: first, Items: items,
	}
	sealed, err := seal(cert, b.payload())
	if err != nil {
		return nil, err
	}
	a.sequence++
	a.said, a.chain, a.anchored, a.key = next, c, b.Stamp, keyOf(cert.Certificate[0])
	a.archive.file(a.name, sealed, b, 0, now)
	v := a.volume()
	out := v.last()
	if first {
		out = v.base
	}
	if len(v.deltas) >= compactAfter {
		a.compact(cert, now)
	}
	return out, nil
}

// silent says whether nothing has been said in this reign yet.
func (a *author) silent() bool {
	v := a.volume()
	return v == nil || v.epoch != a.epoch
}

func (a *author) volume() *volume { return a.archive.volumes[a.name] }

// compact takes a snapshot as of the last change, with that change's stamp and chain: a
// reader that holds the change lacks nothing. A fault leaves the changes as they are.
func (a *author) compact(cert *tls.Certificate, now time.Duration) {
	last := a.volume().last()
	prune(a.said, a.archive, now)
	b := batch{Version: last.batch.Version, Stamp: last.batch.Stamp, End: last.batch.End, Snapshot: true, Items: snapshotOf(a.said)}
	if sealed, err := seal(cert, b.payload()); err == nil {
		a.archive.file(a.name, sealed, b, now-last.made, now)
	}
}

func snapshotOf(said map[federation.ServicePort]spoken) []item {
	items := make([]item, 0, len(said))
	for _, s := range said {
		items = append(items, s.item)
	}
	sortItems(items)
	return items
}

// prune forgets withdrawals that have served their time, and the oldest beyond the bound.
func prune(said map[federation.ServicePort]spoken, a *archive, now time.Duration) {
	var dead []federation.ServicePort
	for p, s := range said {
		switch {
		case s.Withdrawn && now-s.at > a.ttl:
			delete(said, p)
		case s.Withdrawn:
			dead = append(dead, p)
		}
	}
	n := len(said) - 2*a.limit.services
	if n <= 0 {
		return
	}
	slices.SortFunc(dead, func(p, q federation.ServicePort) int { return cmp.Compare(said[p].at, said[q].at) })
	for _, p := range dead[:min(n, len(dead))] {
		delete(said, p)
	}
}

// due says whether another batch is due although nothing has changed: the chain is near
// its end, or the key is another one than has signed what is held.
func (a *author) due(now time.Duration) bool {
	if a.silent() {
		return false
	}
	cert, err := a.cert()
	return err == nil && (now-a.anchored > anchorAfter || keyOf(cert.Certificate[0]) != a.key)
}

// renew signs again: an empty change, and with a new key a snapshot too, since readers
// to come may no longer trust the old one.
func (a *author) renew(now time.Duration) (*filed, error) {
	old := a.key
	f, err := a.say(nil, now)
	if err != nil {
		return nil, err
	}
	if cert, err := a.cert(); err == nil && a.key != old {
		a.compact(cert, now)
	}
	return f, nil
}

// beat shows the knot for the time since the last change: all said to it holds. False
// before the first change, and while the next knot is not due.
func (a *author) beat(now time.Duration) (beacon, bool) {
	if a.silent() {
		return beacon{}, false
	}
	n := min(uint64((now-a.anchored)/tick), chainLength) //nolint:gosec // never negative
	b := beacon{Owner: a.name, Version: federation.Version{Epoch: a.epoch, Sequence: a.sequence}, Ticks: n, Knot: a.chain[n]}
	return b, a.archive.beat(b, now).news
}

// reign starts another epoch, higher than the one before: all is said again under it.
func (a *author) reign(epoch uint64, now time.Duration) (*filed, error) {
	if epoch <= a.epoch {
		return nil, nil
	}
	spoke := !a.silent()
	a.epoch, a.sequence = epoch, 0
	if !spoke {
		return nil, nil
	}
	return a.say(nil, now)
}

// echo judges a batch of our own that came back. It returns a newer leader's epoch; or,
// if we have spoken under this epoch before (the seat was taken anew), true after saying
// everything again beyond what we then said.
func (a *author) echo(sealed []byte, b batch, now time.Duration) (newer uint64, again bool) {
	switch {
	case b.Version.Epoch > a.epoch:
		return b.Version.Epoch, false
	case b.Version.Epoch < a.epoch || b.Version.Sequence < a.sequence || a.own(sealed, b):
		return 0, false
	}
	spoke := !a.silent()
	// One change is left out, so that the gap makes others ask for the snapshot.
	a.sequence = b.Version.Sequence + 1
	delete(a.archive.volumes, a.name)
	if !spoke {
		return 0, false
	}
	_, err := a.say(nil, now)
	return 0, err == nil
}

// own says whether we hold this very batch.
func (a *author) own(sealed []byte, b batch) bool {
	v := a.volume()
	if v == nil {
		return false
	}
	f := v.deltas[b.Version.Sequence]
	if b.Snapshot {
		f = v.base
	}
	return f != nil && string(f.sealed) == string(sealed) || v.base != nil && b.Version.Sequence < v.base.batch.Version.Sequence
}
