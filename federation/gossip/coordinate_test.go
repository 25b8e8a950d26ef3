package gossip

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/coordinate"
)

func somewhere() *coordinate.Coordinate {
	c := coordinate.NewCoordinate(coordinate.DefaultConfig())
	for i := range c.Vec {
		c.Vec[i] = float64(i) / 64
	}
	c.Error, c.Adjustment, c.Height = 0.5, -0.125, 0.25
	return c
}

func TestCoordinateCodecRoundTrip(t *testing.T) {
	want := somewhere()
	got, ok := decodeCoordinate(encodeCoordinate(want))
	if !ok || !slices.Equal(got.Vec, want.Vec) || got.Error != want.Error || got.Adjustment != want.Adjustment || got.Height != want.Height {
		t.Errorf("%+v, %t, want %+v", got, ok, want)
	}
}

func TestCoordinatesThatMakeNoSenseAreLeftOut(t *testing.T) {
	good := encodeCoordinate(somewhere())
	with := func(at int, x float64) []byte {
		b := slices.Clone(good)
		binary.BigEndian.PutUint32(b[1+4*at:], math.Float32bits(float32(x)))
		return b
	}
	later := slices.Clone(good)
	later[0]++
	for name, payload := range map[string][]byte{
		"nothing": nil, "cut": good[:len(good)-1], "trailing": append(slices.Clone(good), 0), "a later version's": later,
		"no number": with(0, math.NaN()), "infinite": with(1, math.Inf(1)), "an hour away": with(2, 3600),
		"a negative error": with(dimensions, -1), "a negative height": with(dimensions+2, -1),
	} {
		c, err := newCoordinates()
		if err != nil {
			t.Fatal(err)
		}
		before := encodeCoordinate(c.client.GetCoordinate())
		c.NotifyPingComplete(&memberlist.Node{Name: "b"}, 60*time.Millisecond, payload)
		if _, known := c.between("a", "a", "b"); known || !slices.Equal(before, encodeCoordinate(c.client.GetCoordinate())) {
			t.Errorf("%s: it has a place, or has moved ours", name)
		}
	}
	c, err := newCoordinates()
	if err != nil {
		t.Fatal(err)
	}
	c.NotifyPingComplete(&memberlist.Node{Name: "b"}, 60*time.Millisecond, good)
	if _, known := c.between("a", "a", "b"); !known {
		t.Error("a good one has none")
	}
	c.forget("b")
	if _, known := c.between("a", "a", "b"); known {
		t.Error("a cluster that is no peer any more keeps its place")
	}
}

func FuzzDecodeCoordinate(f *testing.F) {
	f.Add(encodeCoordinate(somewhere()))
	f.Add([]byte{coordinateVersion})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, ok := decodeCoordinate(data)
		if !ok {
			return
		}
		if again := encodeCoordinate(c); !slices.Equal(again, data) && !c.IsValid() {
			t.Fatalf("%x is taken for %+v", data, c)
		}
	})
}
