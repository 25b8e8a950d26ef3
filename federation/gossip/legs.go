package gossip

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// legsEvery is how often our legs are said again while nobody's reach has changed: the
// round trips in them drift. With 12 clusters that is some 100 bytes/s.
const legsEvery = 30 * time.Second

// legs are the ways between clusters. Each end tells its own, directly to every member
// and never further: they are hints, and hearsay of hints is worth nothing. The body of
// the frame, in the notation of batch.go:
//
//	legs = count uv, (to str, flags u8, rtt uv, jitter uv, loss uv, age uv)…
//
// RTT and jitter are in microseconds, loss in parts of a million.
type legs struct {
	own  []federation.Leg
	made time.Duration // when own was handed in
	sent time.Duration // when it was last told to all; 0 is never
	told map[federation.ClusterName]*toldLegs
}

// toldLegs is what a peer says of its ways. A change is told at once on the same
// connection, so every later frame on it says that the legs still stand.
type toldLegs struct {
	legs  []way
	heard atomic.Int64 // own monotonic time of that connection's latest frame
}

// PublishLegs replaces what this cluster says of its own ways; From and Age of each are
// filled in here. Call it as often as they are measured: only a change of who reaches
// whom, or 30 s, makes them travel.
func (g *Gossip) PublishLegs(own []federation.Leg) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	own = own[:min(len(own), g.cfg.MaxClusters)]
	same := slices.EqualFunc(own, g.legs.own, sameReach)
	g.legs.own, g.legs.made = slices.Clone(own), now
	if same && g.legs.sent != 0 && now-g.legs.sent < legsEvery {
		return
	}
	g.legs.sent = now
	for _, l := range g.links {
		l.tellLegs()
	}
}

// way is a leg as it was told, half as large as that.
type way struct {
	to                     federation.ClusterName
	flags                  byte
	rtt, jitter, loss, age uint32 // as on the wire
}

func (w way) leg(from federation.ClusterName) federation.Leg {
	return federation.Leg{
		From: from, To: w.to, Up: w.flags&legUp != 0, Down: w.flags&legDown != 0, Unheard: w.flags&legUnheard != 0,
		RTT: time.Duration(w.rtt) * time.Microsecond, Jitter: time.Duration(w.jitter) * time.Microsecond,
		Loss: float64(w.loss) / million, Age: time.Duration(w.age) * time.Millisecond,
	}
}

func sameWay(a, b way) bool { return a.to == b.to && a.flags == b.flags }

func sameReach(a, b federation.Leg) bool {
	return a.To == b.To && a.Up == b.Up && a.Down == b.Down && a.Unheard == b.Unheard
}

// tellLegs queues our legs for a peer that understands them; the caller holds g.mu.
func (l *link) tellLegs() {
	if l.speaks.Load() == speaksSigned && l.g.legs.sent != 0 {
		l.send(frameLegs, encodeLegs(l.g.legs.own, l.g.now()-l.g.legs.made))
	}
}

// Legs are what other clusters say of their ways, by both ends, with their ages. A
// cluster that is no longer heard ages; its round trips may be 30 s older than that.
func (g *Gossip) Legs() []federation.Leg {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	var out []federation.Leg
	for from, t := range g.legs.told {
		if _, peer := g.peers[from]; !peer {
			delete(g.legs.told, from)
			continue
		}
		for _, w := range t.legs {
			l := w.leg(from)
			l.Age += max(0, now-time.Duration(t.heard.Load()))
			out = append(out, l)
		}
	}
	return out
}

// legs takes what the peer says of its ways.
func (in *incoming) legs(body []byte, held time.Duration) error {
	ways, err := decodeLegs(body, in.peer, in.g.limit)
	if err != nil {
		in.g.metrics.refuse(reasonOf(err))
		return err
	}
	told := &toldLegs{legs: ways}
	told.heard.Store(int64(in.g.now() - held))
	in.g.mu.Lock()
	defer in.g.mu.Unlock()
	if old := in.g.legs.told[in.peer]; old == nil || !slices.EqualFunc(old.legs, ways, sameWay) {
		poke(in.g.changed)
	}
	in.g.legs.told[in.peer], in.told = told, told
	return nil
}

// heard notes a frame of the connection that legs have come on.
func (in *incoming) heard(held time.Duration) {
	if in.told != nil {
		in.told.heard.Store(int64(in.g.now() - held))
	}
}

const (
	legUp = 1 << iota
	legDown
	legUnheard
	legKnown = legUnheard<<1 - 1

	million = 1_000_000

	legMinimum = 2 + 1 + 4
)

// encodeLegs writes legs that were measured some time ago.
func encodeLegs(all []federation.Leg, ago time.Duration) []byte {
	b := binary.AppendUvarint(nil, uint64(len(all)))
	for _, l := range all {
		b = append(appendString(b, string(l.To)), flag(l.Up, legUp)|flag(l.Down, legDown)|flag(l.Unheard, legUnheard))
		for _, n := range []uint64{
			micros(l.RTT), micros(l.Jitter), uint64(min(max(l.Loss, 0), 1) * million), ageMS(l.Age + ago),
		} {
			b = binary.AppendUvarint(b, n)
		}
	}
	return b
}

func micros(d time.Duration) uint64 { return uint64(max(d, 0).Microseconds()) } //nolint:gosec // never negative

// decodeLegs reads what from says of its ways; each destination may stand once.
func decodeLegs(data []byte, from federation.ClusterName, lim bounds) ([]way, error) {
	c := cursor{reader{data: data}}
	n := c.uv()
	if n > uint64(lim.clusters) { //nolint:gosec // positive
		return nil, fmt.Errorf("%w: %w: legs to %d, at most %d are allowed", errMalformed, errTooManyClusters, n, lim.clusters)
	}
	if n*legMinimum > uint64(len(c.data)) {
		return nil, fmt.Errorf("%w: legs", errMalformed)
	}
	out := make([]way, 0, n)
	for range n {
		w := way{to: federation.ClusterName(c.str()), flags: c.u8()}
		w.rtt, w.jitter = c.micros(), c.micros()
		w.loss, w.age = uint32(c.atMost(million)), c.u32() //nolint:gosec // bounded
		if c.bad || w.flags&^legKnown != 0 || w.flags&legUp != 0 && w.flags&legDown != 0 || !validName(w.to) || w.to == from {
			return nil, fmt.Errorf("%w: legs", errMalformed)
		}
		out = append(out, w)
	}
	if c.bad || len(c.data) > 0 || !distinct(out) {
		return nil, fmt.Errorf("%w: legs", errMalformed)
	}
	return out, nil
}

// distinct says whether no destination stands twice. A set of the names would cost more
// than the legs themselves.
func distinct(all []way) bool {
	order := make([]uint16, len(all))
	for i := range order {
		order[i] = uint16(i) //nolint:gosec // bounded by MaxClusters
	}
	slices.SortFunc(order, func(i, j uint16) int { return strings.Compare(string(all[i].to), string(all[j].to)) })
	for i := 1; i < len(order); i++ {
		if all[order[i-1]].to == all[order[i]].to {
			return false
		}
	}
	return true
}

// micros reads microseconds of at most an hour.
func (c *cursor) micros() uint32 {
	return uint32(c.atMost(uint64(time.Hour / time.Microsecond))) //nolint:gosec // bounded
}
