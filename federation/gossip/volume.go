package gossip

import (
	"math"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

const (
	// maxDeltas bounds the batches held beside a snapshot. Owners take a new snapshot
	// long before, see compactAfter.
	maxDeltas = 512
	// clockDrift is how much faster than ours an owner's clock may run, as 1/n: what
	// the stamps say of an age is trusted no further.
	clockDrift = 5000
)

// filed is a verified batch as it came, to be passed on unchanged.
type filed struct {
	sealed []byte
	batch  batch
	made   time.Duration // when, on our own monotonic clock
}

// listing is what is held on one service port.
type listing struct {
	health    federation.Health
	withdrawn bool
	version   federation.Version
	made      time.Duration
}

// volume is what is held of one owner: of its newest epoch the newest snapshot and
// every change after it. What it shows depends on the set of batches alone, not on
// their order, so that merging commutes, associates and is idempotent.
type volume struct {
	epoch   uint64
	limit   bounds
	size    int               // bytes of all that is filed
	base    *filed            // the snapshot; nil until one has come
	deltas  map[uint64]*filed // after base, by sequence
	upto    uint64            // every change to this one is held; 0 without a snapshot
	newest  uint64            // the last change that is held
	listed  map[federation.ServicePort]listing
	covered time.Duration // when the owner last said that all to upto holds

	// The newest beat, on the change newest.
	ticks uint64
	knot  knot
	heard time.Duration

	// offset is the least difference seen between our clock and the owner's, as of measured.
	offset   time.Duration
	measured time.Duration
	timed    bool

	// backdrop is what an earlier reign had said, shown until the new one's snapshot is
	// here: a hole between two leaders must not look like a withdrawal.
	backdrop map[federation.ServicePort]listing
}

func newVolume(epoch uint64, limit bounds) *volume {
	return &volume{epoch: epoch, limit: limit, covered: never, deltas: map[uint64]*filed{}, listed: map[federation.ServicePort]listing{}}
}

// never is before all that was ever said: our clock's zero is not, since that is when we
// started, and what is told may be older.
const never = time.Duration(math.MinInt64 / 2)

func (v *volume) version() federation.Version {
	return federation.Version{Epoch: v.epoch, Sequence: v.newest}
}

// succeed is the volume of a newer epoch.
func (v *volume) succeed(epoch uint64) *volume {
	next := newVolume(epoch, v.limit)
	next.backdrop = v.listed
	if v.base == nil && v.backdrop != nil {
		next.backdrop = v.backdrop
	}
	return next
}

// has says whether a batch would bring nothing: it is held, or a snapshot stands for it.
func (v *volume) has(b batch) bool {
	seq := b.Version.Sequence
	switch {
	case b.Version.Epoch != v.epoch:
		return b.Version.Epoch < v.epoch
	case v.base != nil && seq <= v.base.batch.Version.Sequence:
		return true
	case b.Snapshot:
		return false
	}
	return v.deltas[seq] != nil
}

// madeAt tells when, on our clock, an owner said what came now with an age. Its own
// stamps can only make it older: who passes a statement on cannot make it young.
func (v *volume) madeAt(age, stamp, now time.Duration) time.Duration {
	made := now - age
	offset := made - stamp
	if v.timed {
		v.offset += (now - v.measured) / clockDrift
	}
	if !v.timed || offset < v.offset {
		v.offset = offset
	}
	v.timed, v.measured = true, now
	return v.offset + stamp
}

// file takes in a batch of the volume's epoch that it does not have. It reports whether
// something other than ages shows differently, and false for ok if there is no room.
func (v *volume) file(f *filed) (changed, ok bool) {
	seq := f.batch.Version.Sequence
	switch {
	case f.batch.Snapshot:
		changed = v.replace(f)
	case len(v.deltas) >= maxDeltas || v.size+len(f.sealed) > 2*v.limit.bytes || len(v.listed)+v.unlisted(f) > 2*v.limit.services:
		return false, false
	default:
		v.deltas[seq] = f
		v.size += len(f.sealed)
		changed = v.list(f)
	}
	f.batch.Items, f.batch.Packed = nil, packed{} // listed now; what is passed on is sealed
	if seq > v.newest {
		v.newest, v.ticks, v.knot, v.heard = seq, 0, f.batch.End, f.made
	}
	v.advance()
	return changed, true
}

// unlisted counts the service ports that a batch would add.
func (v *volume) unlisted(f *filed) (n int) {
	for i := range f.batch.each() {
		if _, held := v.listed[i.Port]; !held {
			n++
		}
	}
	return n
}

// list shows what a batch says, where nothing newer has been said.
func (v *volume) list(f *filed) (changed bool) {
	for i := range f.batch.each() {
		old, held := v.listed[i.Port]
		if held && old.version.Sequence > f.batch.Version.Sequence {
			continue
		}
		v.listed[i.Port] = listing{health: i.Health, withdrawn: i.Withdrawn, version: f.batch.Version, made: f.made}
		changed = changed || !held && !i.Withdrawn || held && (old.withdrawn != i.Withdrawn || !old.health.Equal(i.Health))
	}
	return changed
}

// replace puts a snapshot in the place of all that was said before it.
func (v *volume) replace(f *filed) (changed bool) {
	seq := f.batch.Version.Sequence
	changed = v.base == nil && v.backdrop != nil
	v.base, v.backdrop = f, nil
	v.size = len(f.sealed)
	for s, d := range v.deltas {
		if s <= seq {
			delete(v.deltas, s)
		} else {
			v.size += len(d.sealed)
		}
	}
	in := make(map[federation.ServicePort]bool, f.batch.count())
	for i := range f.batch.each() {
		in[i.Port] = true
	}
	for p, l := range v.listed {
		if !in[p] && l.version.Sequence <= seq {
			delete(v.listed, p)
			changed = changed || !l.withdrawn
		}
	}
	return v.list(f) || changed
}

// advance moves upto over what is held without a gap.
func (v *volume) advance() {
	if v.base == nil {
		return
	}
	if seq := v.base.batch.Version.Sequence; seq > v.upto {
		v.upto, v.covered = seq, max(v.covered, v.base.made)
	}
	for v.deltas[v.upto+1] != nil {
		v.upto++
		v.covered = max(v.covered, v.deltas[v.upto].made)
	}
	if v.upto == v.newest {
		v.covered = max(v.covered, v.heard)
	}
}

// beat takes in a knot that its owner showed. False means that it is not the owner's.
func (v *volume) beat(b beacon, now time.Duration) (renewed, genuine bool) {
	if b.Ticks <= v.ticks {
		return false, true
	}
	if !b.Knot.leads(v.knot, b.Ticks-v.ticks) {
		return false, false
	}
	v.ticks, v.knot = b.Ticks, b.Knot
	v.heard = v.madeAt(b.Age, v.last().batch.Stamp+time.Duration(b.Ticks)*tick, now) //nolint:gosec // at most chainLength
	v.advance()
	return true, true
}

// last is the batch of the newest change.
func (v *volume) last() *filed {
	if f := v.deltas[v.newest]; f != nil {
		return f
	}
	return v.base
}

// after lists what a reader lacks that holds all to seq of this epoch.
func (v *volume) after(seq uint64) []*filed {
	var out []*filed
	from := seq
	if v.base != nil && v.base.batch.Version.Sequence > seq {
		out, from = append(out, v.base), v.base.batch.Version.Sequence
	}
	for s := from + 1; s <= v.newest; s++ {
		if f := v.deltas[s]; f != nil {
			out = append(out, f)
		}
	}
	return out
}

// show adds the records that have not been withdrawn for longer than ttl.
func (v *volume) show(c federation.ClusterName, ttl, now time.Duration) map[federation.ServicePort]federation.HeldRecord {
	out := make(map[federation.ServicePort]federation.HeldRecord, len(v.listed))
	add := func(p federation.ServicePort, l listing) {
		made := l.made
		if l.version.Epoch == v.epoch && l.version.Sequence <= v.upto {
			made = max(made, v.covered)
		}
		if l.withdrawn && now-l.made > ttl {
			return
		}
		r := l.health.Record(c, p, l.version)
		r.Withdrawn = l.withdrawn
		out[p] = federation.HeldRecord{HealthRecord: r, Age: max(now-made, 0)}
	}
	for p, l := range v.backdrop {
		add(p, l)
	}
	for p, l := range v.listed {
		add(p, l)
	}
	return out
}
