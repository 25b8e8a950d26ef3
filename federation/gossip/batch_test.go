package gossip

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/causeway-mesh/causeway/federation"
)

func anyHealth(t *rapid.T) federation.Health {
	n := func(name string) uint32 { return rapid.Uint32().Draw(t, name) }
	part := func(name string) federation.Measure {
		return federation.Measure{Known: true, PerMille: rapid.Uint16().Draw(t, name)}
	}
	h := federation.Health{Total: n("total")}
	h.Ready = rapid.Uint32Range(0, h.Total).Draw(t, "ready")
	if rapid.Bool().Draw(t, "measured") {
		h.Capacity, h.Load, h.Errors = n("capacity"), part("load"), part("errors")
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "zones") {
		h.Zones = append(h.Zones, federation.ZoneCount{Zone: federation.Zone(fmt.Sprint("zone-", i)), Ready: n("zone ready"), Total: n("zone total")})
	}
	return h
}

func anyItems(t *rapid.T, most int) []item {
	var out []item
	for i := range rapid.IntRange(0, most).Draw(t, "items") {
		it := item{Port: federation.ServicePort{
			Service: federation.ServiceName{Namespace: rapid.SampledFrom([]string{"a", "shop", "x"}).Draw(t, "namespace"), Name: fmt.Sprint("s", i)},
			Port:    rapid.Uint16Range(1, 65535).Draw(t, "port"),
		}}
		if it.Withdrawn = rapid.Bool().Draw(t, "withdrawn"); !it.Withdrawn {
			it.Health = anyHealth(t)
		}
		out = append(out, it)
	}
	sortItems(out)
	return out
}

// decodeItems is decodeBatch with the items unpacked, as an author has them.
func decodeItems(data []byte, services int) (batch, error) {
	b, err := decodeBatch(data, services)
	if b.Packed.N > 0 {
		b.Items = slices.Collect(b.each())
	}
	b.Packed = packed{}
	return b, err
}

func TestPropertyBatchCodecRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := batch{
			Version:  federation.Version{Epoch: rapid.Uint64Min(1).Draw(t, "epoch"), Sequence: rapid.Uint64Min(1).Draw(t, "sequence")},
			Stamp:    time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "stamp")) * time.Millisecond,
			End:      knot{1, 2, 3},
			Snapshot: rapid.Bool().Draw(t, "snapshot"), Items: anyItems(t, 8),
		}
		out, err := decodeItems(in.payload(), 8)
		if d := cmp.Diff(in, out); err != nil || d != "" {
			t.Fatalf("%v\n%s", err, d)
		}
	})
}

var flip = batch{
	Version: federation.Version{Epoch: 12, Sequence: 4711}, Stamp: 40 * time.Hour, End: knot{7},
	Items: []item{{Port: wirePort, Health: federation.Health{Ready: 2, Total: 3}}},
}

// The figure flip_signed_bytes: one endpoint's change, for a service of the demo.
func TestFlipIsSmall(t *testing.T) {
	if n := len(flip.payload()); n > 64 {
		t.Errorf("payload of %d bytes, at most 64 are wanted", n)
	}
	if n := frameHeader + len(encodeBatch(time.Second, flip.payload())) + sealHead; n > 200 {
		t.Errorf("signed frame of %d bytes, at most 200 are wanted", n)
	}
}

func TestMalformedBatchesAreRefused(t *testing.T) {
	good := flip.payload()
	for i := range good {
		if _, err := decodeBatch(good[:i], 8); !errors.Is(err, errMalformed) && i != bytes.LastIndex(good, []byte("checkout"))+len("checkout") {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	twice := flip
	twice.Items = append(twice.Items, twice.Items...)
	many := flip
	many.Items = nil
	for p := range 5 {
		many.Items = append(many.Items, item{Port: federation.ServicePort{Service: wirePort.Service, Port: uint16(p + 1)}})
	}
	late := bytes.Clone(good)
	late[0] |= 0x80
	for name, data := range map[string][]byte{
		"trailing": append(bytes.Clone(good), 0), "one port twice": twice.payload(), "too many items": many.payload(),
		"a later version's flag": late, "a name of no length": append([]byte{0, 1, 1, 1}, append(make([]byte, 16), 1, 0, 0)...), "epoch 0": batch{Version: federation.Version{Sequence: 1}}.payload(),
	} {
		if _, err := decodeBatch(data, 2); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a decoder builds is bounded by what it was sent.
func FuzzDecodeBatch(f *testing.F) {
	f.Add(flip.payload())
	snapshot := flip
	snapshot.Snapshot = true
	snapshot.Items = []item{
		{Port: federation.ServicePort{Service: federation.ServiceName{Namespace: "n", Name: "a"}, Port: 1}, Withdrawn: true},
		{Port: wirePort, Health: federation.Health{Ready: 1, Total: 2, Capacity: 100, Load: federation.Measure{Known: true, PerMille: 250},
			Errors: federation.Measure{Known: true, PerMille: 1}, Zones: []federation.ZoneCount{{Zone: "z-1", Ready: 1, Total: 2}}}},
	}
	f.Add(snapshot.payload())
	f.Add([]byte{})
	f.Add([]byte{0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := decodeItems(data, 8)
		if err != nil {
			return
		}
		if head := peekBatch(data); head.Version != b.Version || head.Snapshot != b.Snapshot {
			t.Fatalf("peeked %+v, decoded %+v", head, b)
		}
		again, err := decodeItems(b.payload(), 8)
		if d := cmp.Diff(b, again); err != nil || d != "" {
			t.Fatalf("%v\n%s", err, d)
		}
	})
}

func FuzzDecodeFrames(f *testing.F) {
	f.Add(encodeHello(holding{Epoch: 1, Base: 2, Upto: 3, Ticks: 4}))
	f.Add(encodeHoldings([]holding{{Owner: "a", Epoch: 1, Upto: 9}, {Owner: "b"}}))
	f.Add(encodeBeacon(beacon{Owner: "a", Version: flip.Version, Ticks: 9, Knot: knot{1}, Age: time.Second}))
	f.Add(encodeChain([][]byte{[]byte("leaf"), []byte("intermediate")}))
	f.Add(encodeBatch(time.Second, []byte("sealed")))
	f.Fuzz(func(t *testing.T, data []byte) {
		if b, err := decodeBeacon(data); err == nil {
			if again, err := decodeBeacon(encodeBeacon(b)); err != nil || again != b {
				t.Fatalf("%+v became %+v: %v", b, again, err)
			}
		}
		if h, err := decodeHoldings(data, testBounds); err == nil {
			if again, err := decodeHoldings(encodeHoldings(h), testBounds); err != nil || cmp.Diff(h, again) != "" {
				t.Fatalf("%+v became %+v: %v", h, again, err)
			}
		}
		if ders, err := decodeChain(data); err == nil && !bytes.Equal(encodeChain(ders), data) {
			t.Fatal("a chain has two encodings")
		}
		_, _ = decodeHello(data, "a")
		_, _, _ = splitBatch(data)
		_, _, _ = unseal(data)
	})
}
