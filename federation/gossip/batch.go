package gossip

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// batch is what one signature covers.
type batch struct {
	// Version counts the owner's changes: batches follow each other without a gap.
	Version federation.Version
	// Stamp is the owner's own monotonic time, in milliseconds. Two stamps of one
	// epoch tell how much time lay between them, and nothing else.
	Stamp time.Duration
	// End is the end of the chain whose knots renew this batch and all before it.
	End knot
	// Snapshot: Items are all that held after the change Version, which is then
	// also told by a batch of its own. Else they are what the change was.
	Snapshot bool
	// Items are an author's. A reader's batch leaves them packed: an item in memory is up to
	// 24 times as large as on the wire. See each.
	Items  []item
	Packed packed
}

// packed are items as they came, every one of which has been read once.
type packed struct {
	Names []string
	Data  []byte
	N     int
}

// each gives the items in their order.
func (b batch) each() iter.Seq[item] {
	return func(yield func(item) bool) {
		for _, i := range b.Items {
			if !yield(i) {
				return
			}
		}
		c := cursor{reader{data: b.Packed.Data}}
		var space, service int64
		for range b.Packed.N {
			if !yield(c.item(b.Packed.Names, &space, &service)) {
				return
			}
		}
	}
}

// count is how many items there are.
func (b batch) count() int { return len(b.Items) + b.Packed.N }

// item is the owner's word on one service port.
type item struct {
	Port      federation.ServicePort
	Health    federation.Health
	Withdrawn bool
}

// The payload; uv is an unsigned varint, sv a zigzag one:
//
//	payload = flags u8, epoch uv, sequence uv, stamp uv, end 16 bytes,
//	          names uv, name…, items to the end
//	name    = length u8 + bytes: namespaces, services and zones in order of first use
//	item    = head u8, namespace sv, service sv, port uv, [ready uv, [total uv],
//	          [capacity uv], [load uv], [errors uv], [zones uv, (zone uv, ready uv, total uv)…]]
//
// Namespace and service are told as the distance from the previous item's. A withdrawn
// item ends after its port. Flags and head bits that a reader does not know refuse the
// batch: it could not tell what it leaves out. A later version says more in a new frame.
const (
	flagSnapshot = 1

	headWithdrawn = 1 << iota >> 1
	headAllReady
	headCapacity
	headLoad
	headErrors
	headZones
	headKnown = headZones<<1 - 1
)

// namer gives names numbers in the order in which they are first used.
type namer struct {
	index map[string]int
	names []string
}

func (n *namer) number(s string) int {
	i, ok := n.index[s]
	if !ok {
		i = len(n.names)
		n.index[s], n.names = i, append(n.names, s)
	}
	return i
}

// payload encodes the batch; its items must be sorted by port.
func (b batch) payload() []byte {
	names := namer{index: map[string]int{}}
	var items []byte
	var space, service int
	for _, i := range b.Items {
		items = i.append(items, &names, &space, &service)
	}
	out := []byte{flag(b.Snapshot, flagSnapshot)}
	out = binary.AppendUvarint(out, b.Version.Epoch)
	out = binary.AppendUvarint(out, b.Version.Sequence)
	out = binary.AppendUvarint(out, uint64(b.Stamp.Milliseconds())) //nolint:gosec // never negative
	out = append(out, b.End[:]...)
	out = binary.AppendUvarint(out, uint64(len(names.names)))
	for _, s := range names.names {
		out = appendString(out, s)
	}
	return append(out, items...)
}

func (i item) append(b []byte, names *namer, space, service *int) []byte {
	h := i.Health
	head := flag(i.Withdrawn, headWithdrawn) | flag(h.Ready == h.Total, headAllReady) | flag(h.Capacity > 0, headCapacity) |
		flag(h.Load.Known, headLoad) | flag(h.Errors.Known, headErrors) | flag(len(h.Zones) > 0, headZones)
	if i.Withdrawn {
		head = headWithdrawn
	}
	b = append(b, head)
	for _, part := range []struct {
		last *int
		name string
	}{{space, i.Port.Service.Namespace}, {service, i.Port.Service.Name}} {
		n := names.number(part.name)
		b = binary.AppendVarint(b, int64(n-*part.last))
		*part.last = n
	}
	b = binary.AppendUvarint(b, uint64(i.Port.Port))
	if i.Withdrawn {
		return b
	}
	b = binary.AppendUvarint(b, uint64(h.Ready))
	if h.Ready != h.Total {
		b = binary.AppendUvarint(b, uint64(h.Total))
	}
	if h.Capacity > 0 {
		b = binary.AppendUvarint(b, uint64(h.Capacity))
	}
	for _, m := range []federation.Measure{h.Load, h.Errors} {
		if m.Known {
			b = binary.AppendUvarint(b, uint64(m.PerMille))
		}
	}
	if len(h.Zones) > 0 {
		b = binary.AppendUvarint(b, uint64(len(h.Zones)))
	}
	for _, z := range h.Zones {
		b = binary.AppendUvarint(b, uint64(names.number(string(z.Zone)))) //nolint:gosec // an index
		b = binary.AppendUvarint(b, uint64(z.Ready))
		b = binary.AppendUvarint(b, uint64(z.Total))
	}
	return b
}

// cursor reads varints off the front; after the first fault all are zero and bad is set.
type cursor struct{ reader }

func (c *cursor) uv() uint64 {
	v, n := binary.Uvarint(c.data)
	if c.bad || n <= 0 || n > 1 && c.data[n-1] == 0 { // one number, one encoding
		c.bad = true
		return 0
	}
	c.data = c.data[n:]
	return v
}

func (c *cursor) sv() int64 {
	u := c.uv()
	return int64(u>>1) ^ -int64(u&1) //nolint:gosec // zigzag
}

// atMost reads a number and faults above its bound.
func (c *cursor) atMost(limit uint64) uint64 {
	v := c.uv()
	if v > limit {
		c.bad = true
		return 0
	}
	return v
}

func (c *cursor) u32() uint32 { return uint32(c.atMost(math.MaxUint32)) } //nolint:gosec // bounded

// zoneMinimum is the least that a zone's counts take.
const zoneMinimum = 3

// decodeBatch reads a payload, which the batch goes on using. What it builds is bounded by
// the payload's length and by services, the most items that a cluster may have (as many
// again may be withdrawn).
func decodeBatch(data []byte, services int) (batch, error) {
	c := cursor{reader{data: data}}
	flags := c.u8()
	b := batch{Snapshot: flags&flagSnapshot != 0}
	b.Version = federation.Version{Epoch: c.uv(), Sequence: c.uv()}
	b.Stamp = time.Duration(c.atMost(uint64(math.MaxInt64/time.Millisecond))) * time.Millisecond //nolint:gosec // bounded
	copy(b.End[:], c.take(len(b.End)))
	names := c.names()
	if c.bad || flags&^flagSnapshot != 0 || b.Version.Epoch == 0 || b.Version.Sequence == 0 {
		return b, fmt.Errorf("%w: head of a batch", errMalformed)
	}
	b.Packed = packed{Names: names, Data: c.data}
	var space, service int64
	var last federation.ServicePort // before all that are valid
	for ; len(c.data) > 0; b.Packed.N++ {
		if b.Packed.N >= 2*services {
			return b, fmt.Errorf("%w: %w, at most %d are allowed", errMalformed, errTooManyServices, services)
		}
		i := c.item(names, &space, &service)
		if c.bad || last.Compare(i.Port) >= 0 {
			return b, fmt.Errorf("%w: item %d of a batch, or its place", errMalformed, b.Packed.N)
		}
		last = i.Port
	}
	return b, nil
}

func (c *cursor) names() []string {
	n := c.uv()
	if 2*n > uint64(len(c.data)) || n > uint64(len(c.data)) { // each takes at least two bytes
		c.bad = true
		return nil
	}
	out := make([]string, 0, n)
	for range n {
		s := c.str()
		if s == "" { // nothing is called so, and a byte would be a string
			c.bad = true
			return nil
		}
		out = append(out, s)
	}
	return out
}

func (c *cursor) name(names []string, i int64) string {
	if i < 0 || i >= int64(len(names)) {
		c.bad = true
		return ""
	}
	return names[i]
}

func (c *cursor) item(names []string, space, service *int64) item {
	head := c.u8()
	*space += c.sv()
	*service += c.sv()
	i := item{Withdrawn: head&headWithdrawn != 0}
	i.Port.Service = federation.ServiceName{Namespace: c.name(names, *space), Name: c.name(names, *service)}
	i.Port.Port = uint16(c.atMost(math.MaxUint16)) //nolint:gosec // bounded
	if i.Port.Port == 0 || head&^headKnown != 0 || i.Withdrawn && head != headWithdrawn {
		c.bad = true
	}
	if i.Withdrawn || c.bad {
		return i
	}
	i.Health = c.health(head, names)
	return i
}

func (c *cursor) health(head byte, names []string) federation.Health {
	h := federation.Health{Ready: c.u32()}
	h.Total = h.Ready
	if head&headAllReady == 0 {
		h.Total = c.u32()
		c.bad = c.bad || h.Total <= h.Ready
	}
	if head&headCapacity != 0 {
		h.Capacity = c.u32()
		c.bad = c.bad || h.Capacity == 0
	}
	if head&headLoad != 0 {
		h.Load = federation.Measure{Known: true, PerMille: uint16(c.atMost(math.MaxUint16))} //nolint:gosec // bounded
	}
	if head&headErrors != 0 {
		h.Errors = federation.Measure{Known: true, PerMille: uint16(c.atMost(math.MaxUint16))} //nolint:gosec // bounded
	}
	if head&headZones != 0 {
		n := c.atMost(federation.MaxZones)
		if n == 0 || n*zoneMinimum > uint64(len(c.data)) {
			c.bad = true
			return h
		}
		h.Zones = make([]federation.ZoneCount, 0, n)
		for range n {
			z := federation.ZoneCount{Zone: federation.Zone(c.name(names, int64(c.atMost(math.MaxInt32))))} //nolint:gosec // bounded
			z.Ready, z.Total = c.u32(), c.u32()
			h.Zones = append(h.Zones, z)
		}
	}
	return h
}

// sortItems puts items in the order in which they travel.
func sortItems(items []item) {
	slices.SortFunc(items, func(a, b item) int { return a.Port.Compare(b.Port) })
}
