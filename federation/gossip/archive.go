package gossip

import (
	"maps"
	"slices"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// beacon is a heartbeat: the knot for so many ticks after the owner's change Version.
type beacon struct {
	Owner   federation.ClusterName
	Version federation.Version
	Ticks   uint64
	Knot    knot
	Age     time.Duration
}

// holding is what a cluster holds of an owner, as it tells others.
type holding struct {
	Owner federation.ClusterName
	Epoch uint64
	// Base is the sequence of the snapshot, Upto the last change before the first gap.
	Base, Upto uint64
	// Ticks is the newest beat's, on the change Upto.
	Ticks uint64
}

// archive is the pure core: what this cluster holds of every cluster's signed word. Its
// methods take the own monotonic time; it reads no clock, verifies and locks nothing.
type archive struct {
	limit   bounds
	ttl     time.Duration
	volumes map[federation.ClusterName]*volume
}

func newArchive(limit bounds, ttl time.Duration) *archive {
	return &archive{limit: limit, ttl: ttl, volumes: map[federation.ClusterName]*volume{}}
}

// filing is what taking in a batch or a beat did.
type filing struct {
	changed bool // something that Records shows, other than ages
	news    bool // it was new to us
	behind  bool // the owner has said more than we hold
	stale   bool // the owner is known to have spoken in a newer epoch
	full    bool // no room
	forged  bool // a beat that is not its owner's
}

// file takes in a verified batch of owner that came with an age.
func (a *archive) file(owner federation.ClusterName, sealed []byte, b batch, age, now time.Duration) filing {
	v := a.volumes[owner]
	switch {
	case v == nil && len(a.volumes) >= a.limit.clusters:
		return filing{full: true}
	case v == nil:
		v = newVolume(b.Version.Epoch, a.limit)
		a.volumes[owner] = v
	case b.Version.Epoch < v.epoch:
		return filing{stale: true}
	case b.Version.Epoch > v.epoch:
		v = v.succeed(b.Version.Epoch)
		a.volumes[owner] = v
	}
	made := v.madeAt(age, b.Stamp, now)
	if v.has(b) {
		return filing{behind: v.upto < v.newest}
	}
	changed, ok := v.file(&filed{sealed: sealed, batch: b, made: made})
	return filing{changed: changed, news: ok, full: !ok, behind: v.upto < v.newest}
}

// beat takes in a beat.
func (a *archive) beat(b beacon, now time.Duration) filing {
	v := a.volumes[b.Owner]
	switch {
	case v == nil || b.Version.Newer(v.version()):
		return filing{behind: true}
	case b.Version.Epoch < v.epoch:
		return filing{stale: true}
	case b.Version != v.version():
		return filing{behind: v.upto < v.newest}
	}
	renewed, genuine := v.beat(b, now)
	return filing{news: renewed, forged: !genuine, behind: v.upto < v.newest}
}

// held tells what we hold of one owner.
func (a *archive) held(c federation.ClusterName) holding {
	h := holding{Owner: c}
	v := a.volumes[c]
	if v == nil {
		return h
	}
	h.Epoch, h.Upto = v.epoch, v.upto
	if v.base != nil {
		h.Base = v.base.batch.Version.Sequence
	}
	if v.upto == v.newest {
		h.Ticks = v.ticks
	}
	return h
}

// digest tells what we hold of all, by name.
func (a *archive) digest() []holding {
	out := make([]holding, 0, len(a.volumes))
	for _, c := range slices.Sorted(maps.Keys(a.volumes)) {
		out = append(out, a.held(c))
	}
	return out
}

// A reader gets a fresh snapshot although it lacks no change once it has to hold more
// than snapshotAfter of them; and another's beat once that is staleTicks newer.
const (
	snapshotAfter = maxDeltas / 4
	staleTicks    = 8
)

// lacking lists what a reader that holds h lacks, and a beat worth telling it: one that
// is newer by stale ticks.
func (a *archive) lacking(h holding, stale uint64, now time.Duration) ([]*filed, *beacon) {
	v := a.volumes[h.Owner]
	if v == nil || v.epoch < h.Epoch {
		return nil, nil
	}
	if v.epoch > h.Epoch {
		h = holding{Owner: h.Owner, Epoch: v.epoch}
	}
	missing := v.after(h.Upto)
	if v.base != nil && len(missing) == 0 && h.Upto > h.Base+snapshotAfter && v.base.batch.Version.Sequence > h.Base+snapshotAfter/2 {
		missing = []*filed{v.base}
	}
	if v.ticks == 0 || h.Upto == v.newest && v.ticks < h.Ticks+stale {
		return missing, nil
	}
	return missing, &beacon{Owner: h.Owner, Version: v.version(), Ticks: v.ticks, Knot: v.knot, Age: now - v.heard}
}

// less says whether we hold less of an owner than a peer that holds h.
func (a *archive) less(h holding) bool {
	own := a.held(h.Owner)
	return h.Epoch > own.Epoch || h.Epoch == own.Epoch && h.Upto > own.Upto
}

// records shows everything with its age.
func (a *archive) records(now time.Duration) map[federation.ClusterName]map[federation.ServicePort]federation.HeldRecord {
	out := make(map[federation.ClusterName]map[federation.ServicePort]federation.HeldRecord, len(a.volumes))
	for c, v := range a.volumes {
		out[c] = v.show(c, a.ttl, now)
	}
	return out
}
