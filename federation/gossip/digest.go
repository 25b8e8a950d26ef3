package gossip

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// The bodies of the frames of version 2; uv is an unsigned varint, str as in codec.go:
//
//	hello  = version u8, [epoch uv, base uv, upto uv, ticks uv]  what the answering end holds
//	         of the dialler; bytes beyond are a later version's
//	key    = (length u16, certificate DER)…, the leaf first
//	batch  = age uv, sealed batch; the epidemic carries it too, after the frame's type
//	beat   = owner str, epoch uv, sequence uv, ticks uv, knot 16 bytes, age uv
//	digest = (owner str, epoch uv, base uv, upto uv, ticks uv)…
//	lack   = the same: what the asker holds of the owners that it asks for
//
// Ages are milliseconds, rounded up.
const (
	helloVersion   = 2
	holdingMinimum = 2 + 4
)

func ageMS(d time.Duration) uint64 {
	return uint64((max(d, 0) + time.Millisecond - 1) / time.Millisecond) //nolint:gosec // never negative
}

func (c *cursor) age() time.Duration {
	return time.Duration(c.atMost(math.MaxUint32)) * time.Millisecond //nolint:gosec // bounded
}

func (h holding) appendVersions(b []byte) []byte {
	for _, n := range []uint64{h.Epoch, h.Base, h.Upto, h.Ticks} {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func (c *cursor) versions(h holding) holding {
	h.Epoch, h.Base, h.Upto, h.Ticks = c.uv(), c.uv(), c.uv(), c.uv()
	return h
}

func encodeHello(h holding) []byte { return h.appendVersions([]byte{helloVersion}) }

// decodeHello reads what a peer says of itself; a later version may say more.
func decodeHello(data []byte, us federation.ClusterName) (holding, error) {
	c := cursor{reader{data: data}}
	if v := c.u8(); v < helloVersion {
		return holding{}, fmt.Errorf("%w: hello of version %d", errMalformed, v)
	}
	h := c.versions(holding{Owner: us})
	if c.bad {
		return holding{}, fmt.Errorf("%w: hello", errMalformed)
	}
	return h, nil
}

func encodeHoldings(all []holding) []byte {
	var b []byte
	for _, h := range all {
		b = h.appendVersions(appendString(b, string(h.Owner)))
	}
	return b
}

func decodeHoldings(data []byte, lim bounds) ([]holding, error) {
	c := cursor{reader{data: data}}
	out := make([]holding, 0, min(lim.clusters, len(data)/holdingMinimum))
	for len(c.data) > 0 && !c.bad {
		if len(out) >= lim.clusters {
			return nil, fmt.Errorf("%w: %w: digest of more than %d", errMalformed, errTooManyClusters, lim.clusters)
		}
		out = append(out, c.versions(holding{Owner: federation.ClusterName(c.str())}))
		if !validName(out[len(out)-1].Owner) {
			c.bad = true
		}
	}
	if c.bad {
		return nil, fmt.Errorf("%w: digest", errMalformed)
	}
	return out, nil
}

func encodeBatch(age time.Duration, sealed []byte) []byte {
	return append(binary.AppendUvarint(nil, ageMS(age)), sealed...)
}

func splitBatch(data []byte) (age time.Duration, sealed []byte, err error) {
	c := cursor{reader{data: data}}
	age = c.age()
	if c.bad {
		return 0, nil, fmt.Errorf("%w: age of a batch", errMalformed)
	}
	return age, c.data, nil
}

func encodeBeacon(b beacon) []byte {
	out := appendString(nil, string(b.Owner))
	for _, n := range []uint64{b.Version.Epoch, b.Version.Sequence, b.Ticks} {
		out = binary.AppendUvarint(out, n)
	}
	return binary.AppendUvarint(append(out, b.Knot[:]...), ageMS(b.Age))
}

func decodeBeacon(data []byte) (beacon, error) {
	c := cursor{reader{data: data}}
	b := beacon{Owner: federation.ClusterName(c.str())}
	b.Version = federation.Version{Epoch: c.uv(), Sequence: c.uv()}
	b.Ticks = c.atMost(chainLength)
	copy(b.Knot[:], c.take(len(b.Knot)))
	b.Age = c.age()
	if c.bad || len(c.data) > 0 || !validName(b.Owner) {
		return b, fmt.Errorf("%w: beat", errMalformed)
	}
	return b, nil
}

// peekBatch reads a payload's version without building the rest.
func peekBatch(payload []byte) batch {
	c := cursor{reader{data: payload}}
	flags := c.u8()
	return batch{Snapshot: flags&flagSnapshot != 0, Version: federation.Version{Epoch: c.uv(), Sequence: c.uv()}}
}
