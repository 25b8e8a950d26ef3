package gossip

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/federation"
)

var ways = []federation.Leg{
	{From: "us-east", To: "eu-west", Up: true, RTT: 66 * time.Millisecond, Jitter: 1500 * time.Microsecond, Loss: 0.05, Age: 40 * time.Millisecond},
	{From: "us-east", To: "us-west", Down: true, Unheard: true},
}

// readLegs is decodeLegs with the legs as Legs shows them.
func readLegs(data []byte) (out []federation.Leg, err error) {
	ways, err := decodeLegs(data, "us-east", testBounds)
	for _, w := range ways {
		out = append(out, w.leg("us-east"))
	}
	return out, err
}

func TestLegsCodecRoundTrip(t *testing.T) {
	got, err := readLegs(encodeLegs(ways, time.Second))
	want := slices.Clone(ways)
	for i := range want {
		want[i].Age += time.Second
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
}

func TestLegsThatMakeNoSenseAreRefused(t *testing.T) {
	good := encodeLegs(ways[:1], 0)
	both := slices.Clone(ways[:1])
	both[0].Down = true
	later := slices.Clone(good)
	later[1+1+len("eu-west")] |= 1 << 7
	for name, data := range map[string][]byte{
		"nothing": nil, "cut": good[:len(good)-1], "trailing": append(slices.Clone(good), 0), "up and down": encodeLegs(both, 0),
		"one twice": encodeLegs([]federation.Leg{ways[0], ways[0]}, 0), "to itself": encodeLegs([]federation.Leg{{To: "us-east"}}, 0),
		"no name": encodeLegs([]federation.Leg{{To: "no name"}}, 0), "more than can be": encodeLegs(make([]federation.Leg, testBounds.clusters+1), 0),
		"a later version's flag": later, "a day away": encodeLegs([]federation.Leg{{To: "a", RTT: 24 * time.Hour}}, 0),
	} {
		if got, err := readLegs(data); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func FuzzDecodeLegs(f *testing.F) {
	f.Add(encodeLegs(ways, time.Second))
	f.Add(encodeLegs(nil, 0))
	f.Add([]byte{255, 255, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readLegs(data)
		if err != nil {
			return
		}
		again, err := readLegs(encodeLegs(got, 0))
		for i := range again { // a loss may lose its last digit
			again[i].Loss, got[i].Loss = 0, 0
		}
		if d := cmp.Diff(got, again); err != nil || d != "" {
			t.Fatalf("%v\n%s", err, d)
		}
	})
}

// told is what a seat holds of another one's ways.
func (s *seat) told(from federation.ClusterName) (out []federation.Leg) {
	for _, l := range s.Legs() {
		if l.From == from {
			out = append(out, l)
		}
	}
	return out
}

func TestEveryMemberLearnsHowTheOthersReachEachOther(t *testing.T) {
	_, seats := four(t)
	seats[0].PublishLegs([]federation.Leg{{To: "us-east", Up: true, RTT: 66 * time.Millisecond}}) // before anybody is connected
	federate(t, seats...)
	for _, s := range seats[1:] {
		await(t, "the first word", func() bool {
			got := s.told("ap-south")
			return len(got) == 1 && got[0].Up && got[0].RTT == 66*time.Millisecond && got[0].To == "us-east"
		})
	}
	seats[0].PublishLegs([]federation.Leg{{To: "us-east", Down: true}})
	for _, s := range seats[1:] {
		await(t, "the change", func() bool { got := s.told("ap-south"); return len(got) == 1 && got[0].Down })
	}
	if got := seats[0].told("ap-south"); got != nil {
		t.Errorf("our own come back: %+v", got)
	}
	// What was said stands while its owner is heard, and ages when it is not.
	told := seats[1].now()
	await(t, "beats to keep it young", func() bool {
		got := seats[1].told("ap-south")
		return seats[1].now()-told > time.Second && len(got) == 1 && got[0].Age < 500*time.Millisecond
	})
	seats[0].plug.pull()
	await(t, "it to age", func() bool {
		got := seats[1].told("ap-south")
		return len(got) == 1 && got[0].Age > 1500*time.Millisecond
	})
	seats[1].SetPeers(map[federation.ClusterName][]string{"us-east": {seats[2].address}})
	if got := seats[1].told("ap-south"); got != nil {
		t.Errorf("a stranger's word stands: %+v", got)
	}
}

func TestLegsTravelOnlyWhenTheyHaveChangedOrAreOld(t *testing.T) {
	_, seats := four(t)
	s := seats[0].Gossip
	s.PublishLegs(ways)
	first := s.legs.sent
	moved := slices.Clone(ways)
	moved[0].RTT++
	s.PublishLegs(moved)
	if s.legs.sent != first {
		t.Error("a round trip that has changed a little travels at once")
	}
	s.legs.sent -= legsEvery
	s.PublishLegs(moved)
	if s.legs.sent < first {
		t.Error("old ones do not travel again")
	}
	s.legs.sent -= time.Second
	was := s.legs.sent
	moved[1].Down = false
	s.PublishLegs(moved)
	if s.legs.sent == was {
		t.Error("a change of reach does not travel")
	}
}
