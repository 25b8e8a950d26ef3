package gossip

import (
	"slices"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// entry is a held record. Base is when its newest covering statement was made,
// on our own monotonic clock: now minus the age that came with it.
type entry struct {
	Version   federation.Version
	Renewed   uint64
	Base      time.Duration
	Count     Count
	Withdrawn bool
}

// heldBeat is a beat with its base instead of an age.
type heldBeat struct {
	Version federation.Version
	Digest  uint64
	Base    time.Duration
}

// ledger is what is held of one owner.
type ledger struct {
	floor   uint64
	beat    heldBeat
	entries map[federation.ServicePort]entry
}

// book is the pure core: what this cluster knows of every cluster's counts. Its
// methods take the own monotonic time; it reads no clock and locks nothing.
type book struct {
	limit    bounds
	ttl      time.Duration
	clusters map[federation.ClusterName]*ledger
}

func newBook(limit bounds, ttl time.Duration) *book {
	return &book{limit: limit, ttl: ttl, clusters: map[federation.ClusterName]*ledger{}}
}

// outcome is what a merge did.
type outcome struct {
	changed bool                     // something that Records shows, other than ages
	news    []federation.ServicePort // records that were new to us, to be passed on
	renewed bool                     // the beat was new to us
	behind  bool                     // the owner has said more than we hold
	stale   bool                     // the owner's newer leader is known here
	refused int                      // records beyond the bound
	full    bool                     // no room for another cluster
}

// merge takes in a statement. direct says that its owner has been verified as the sender.
func (b *book) merge(s statement, direct bool, now time.Duration) outcome {
	var out outcome
	l := b.clusters[s.Owner]
	if l == nil {
		if len(b.clusters) >= b.limit.clusters {
			out.full = true
			return out
		}
		l = &ledger{entries: map[federation.ServicePort]entry{}}
		b.clusters[s.Owner] = l
	}
	if direct && max(s.Floor, s.newest().Epoch) < l.epoch() {
		out.stale = true
		return out
	}
	out.changed = l.raise(s.Floor)
	for _, r := range s.Records {
		b.take(l, r, now, &out)
	}
	if direct && s.Complete && l.replace(s) {
		out.changed = true
	}
	out.renewed = l.hear(s.Beat, now)
	out.behind = !l.cover()
	return out
}

func (b *book) take(l *ledger, r record, now time.Duration, out *outcome) {
	if r.Version.Epoch < l.floor || r.Withdrawn && r.Age > b.ttl {
		return
	}
	in := entry{Version: r.Version, Renewed: r.Renewed, Base: now - r.Age, Count: r.Count, Withdrawn: r.Withdrawn}
	old, ok := l.entries[r.Port]
	if !ok && len(l.entries) >= 2*b.limit.services {
		out.refused++
		return
	}
	if ok {
		in = join(old, in)
	}
	l.entries[r.Port] = in
	if !ok || in.Version != old.Version {
		out.news = append(out.news, r.Port)
	}
	// A tombstone for what was never held changes nothing that can be seen.
	if (!ok && !in.Withdrawn) || ok && (in.Version != old.Version || in.Count != old.Count || in.Withdrawn != old.Withdrawn) {
		out.changed = true
	}
}

// join is the merge of two entries of one service port: the greater in a total
// order, so it commutes, associates and is idempotent.
func join(a, b entry) entry {
	if a.Version != b.Version {
		if a.Version.Newer(b.Version) {
			return a
		}
		return b
	}
	// An honest owner never says two things under one version; should it happen, all
	// readers must still agree, on the more careful of the two.
	if c := cautious(a, b); c != 0 {
		if c > 0 {
			return a
		}
		return b
	}
	if a.Renewed != b.Renewed {
		if a.Renewed > b.Renewed {
			return a
		}
		return b
	}
	// Of two ages for one statement the older is nearer to the truth: travelling time
	// is not counted, so a record on a round trip would otherwise become younger.
	a.Base = min(a.Base, b.Base)
	return a
}

// cautious is positive if a promises less than b.
func cautious(a, b entry) int {
	switch {
	case a.Withdrawn != b.Withdrawn:
		if a.Withdrawn {
			return 1
		}
		return -1
	case a.Count.Ready != b.Count.Ready:
		return int(int64(b.Count.Ready) - int64(a.Count.Ready))
	default:
		return int(int64(b.Count.Total) - int64(a.Count.Total))
	}
}

// epoch is the newest that the owner is known to have spoken in.
func (l *ledger) epoch() uint64 {
	e := max(l.floor, l.beat.Version.Epoch)
	for _, en := range l.entries {
		e = max(e, en.Version.Epoch)
	}
	return e
}

// raise lifts the floor and drops what falls below it.
func (l *ledger) raise(floor uint64) (changed bool) {
	if floor <= l.floor {
		return false
	}
	l.floor = floor
	for p, e := range l.entries {
		if e.Version.Epoch < floor {
			delete(l.entries, p)
			changed = changed || !e.Withdrawn
		}
	}
	return changed
}

// replace drops what the owner's complete statement no longer lists: a withdrawal
// whose tombstone has expired before we could see it.
func (l *ledger) replace(s statement) (changed bool) {
	listed := make(map[federation.ServicePort]bool, len(s.Records))
	for _, r := range s.Records {
		listed[r.Port] = true
	}
	at := s.newest()
	for p, e := range l.entries {
		if !e.Withdrawn && !listed[p] && at.Newer(e.Version) {
			delete(l.entries, p)
			changed = true
		}
	}
	return changed
}

// hear keeps the newest beat.
func (l *ledger) hear(in beat, now time.Duration) bool {
	base := now - in.Age
	if in.Version.Newer(l.beat.Version) {
		l.beat = heldBeat{Version: in.Version, Digest: in.Digest, Base: base}
		return true
	}
	if in.Version == l.beat.Version && in.Digest == l.beat.Digest {
		l.beat.Base = min(l.beat.Base, base)
	}
	return false
}

// cover renews every record if the newest beat speaks of exactly what is held. It
// reports false if the owner has said what is not held here.
func (l *ledger) cover() bool {
	if l.beat.Version.Sequence == 0 {
		return false
	}
	if l.digest() != l.beat.Digest {
		return false
	}
	for p, e := range l.entries {
		if e.Withdrawn || e.Version.Epoch != l.beat.Version.Epoch {
			continue
		}
		switch {
		case l.beat.Version.Sequence > e.Renewed:
			e.Renewed, e.Base = l.beat.Version.Sequence, l.beat.Base
		case l.beat.Version.Sequence == e.Renewed:
			e.Base = min(e.Base, l.beat.Base)
		}
		l.entries[p] = e
	}
	return true
}

func (l *ledger) digest() uint64 {
	var d uint64
	for p, e := range l.entries {
		if !e.Withdrawn {
			d ^= fingerprint(p, e.Version, e.Count)
		}
	}
	return d
}

// tell turns what is held of one owner into a statement, of the ports asked for
// or, with nil, of all.
func (b *book) tell(owner federation.ClusterName, ports []federation.ServicePort, now time.Duration) (statement, bool) {
	l := b.clusters[owner]
	if l == nil {
		return statement{}, false
	}
	s := statement{Owner: owner, Floor: l.floor}
	if l.beat.Version.Sequence > 0 {
		s.Beat = beat{Version: l.beat.Version, Digest: l.beat.Digest, Age: now - l.beat.Base}
	}
	if ports == nil {
		for p := range l.entries {
			ports = append(ports, p)
		}
		slices.SortFunc(ports, federation.ServicePort.Compare)
	}
	for _, p := range ports {
		if e, ok := l.entries[p]; ok {
			s.Records = append(s.Records, record{Port: p, Version: e.Version, Renewed: e.Renewed, Age: now - e.Base, Count: e.Count, Withdrawn: e.Withdrawn})
		}
	}
	return s, true
}

// sweep forgets tombstones that have served their time.
func (b *book) sweep(now time.Duration) {
	for _, l := range b.clusters {
		for p, e := range l.entries {
			if e.Withdrawn && now-e.Base > b.ttl {
				delete(l.entries, p)
			}
		}
	}
}

// records shows the live records with their ages.
func (b *book) records(now time.Duration) map[federation.ClusterName]map[federation.ServicePort]federation.HeldRecord {
	out := make(map[federation.ClusterName]map[federation.ServicePort]federation.HeldRecord, len(b.clusters))
	for c, l := range b.clusters {
		m := make(map[federation.ServicePort]federation.HeldRecord, len(l.entries))
		for p, e := range l.entries {
			m[p] = federation.HeldRecord{
				HealthRecord: federation.HealthRecord{
					Cluster: c, Port: p, Version: e.Version,
					Ready: e.Count.Ready, Total: e.Count.Total, Withdrawn: e.Withdrawn,
				},
				Age: max(now-e.Base, 0),
			}
		}
		out[c] = m
	}
	return out
}
