package gossip

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routefeed/wiretest"
)

var (
	wirePort = federation.ServicePort{Service: federation.ServiceName{Namespace: "shop", Name: "checkout"}, Port: 80}
	wireBeat = beat{Version: federation.Version{Epoch: 3, Sequence: 41}, Digest: 0x0123456789abcdef, Age: 250 * time.Millisecond}
)

// wireMessages is what the codec of version 1 can say.
var wireMessages = map[string][]statement{
	"message-empty": nil,
	"message-beat":  {{Owner: "us-east", Floor: 3, Beat: wireBeat}},
	"message-record": {{Owner: "us-east", Floor: 3, Records: []record{{
		Port: wirePort, Version: federation.Version{Epoch: 3, Sequence: 40}, Renewed: 41, Age: time.Second, Count: Count{Ready: 2, Total: 3}}}}},
	"message-complete-with-tombstone": {{Owner: "us-east", Floor: 2, Complete: true, Beat: wireBeat, Records: []record{
		{Port: wirePort, Version: federation.Version{Epoch: 2, Sequence: 7}, Renewed: 41, Count: Count{Ready: 1, Total: 1}},
		{Port: federation.ServicePort{Service: wirePort.Service, Port: 443}, Version: federation.Version{Epoch: 3, Sequence: 8}, Renewed: 8, Age: time.Minute, Withdrawn: true}}}},
	"message-exchange": {{Owner: "us-east", Floor: 3, Beat: wireBeat}, {Owner: "eu-west", Floor: 1, Beat: wireBeat}},
}

var wireFrames = map[string]frame{
	"frame-packet": {framePacket, time.Second, []byte("memberlist's")},
	"frame-ping":   {framePing, 1500 * time.Microsecond, []byte{}},
	"frame-pong":   {framePong, time.Hour, []byte{}},
	"frame-own":    {frameOwn, time.Second, encode(wireMessages["message-beat"]...)},
	"frame-relay":  {frameRelay, time.Second, encode(wireMessages["message-record"]...)},
	"frame-want":   {frameWant, time.Second, []byte{}},
}

var wirePreambles = map[string]byte{"preamble-link": kindLink, "preamble-stream": kindStream, "preamble-follow": kindFollow}

// laterMessage is a later version's: its extension holds a signature, and there are
// flags that version 1 does not know.
func laterMessage() []byte {
	plain := encode(wireMessages["message-beat"]...)
	records := len(plain) - 4 // the count of records is last, the empty extension before it
	b := append(bytes.Clone(plain[:records-2]), 0, 9)
	b = append(append(b, "signature"...), plain[records:]...)
	b[1+2+1+len("us-east")+8] |= 0x80
	return b
}

func TestWireIsThatOfVersion1(t *testing.T) {
	names := map[string]bool{"message-from-a-later-version": true, "frame-from-a-later-version": true}
	for _, n := range []string{"hello", "digest", "beat", "flip", "snapshot", "knot"} {
		names["signed-"+n] = true // TestFramesOfSignedGossipAreThoseOfTheFixtures
	}
	for name, want := range wireMessages {
		names[name] = true
		got, err := decode(wiretest.Same(t, name, encode(want...)), testBounds)
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", name, err, d)
		}
	}
	for name, want := range wireFrames {
		names[name] = true
		data := wiretest.Same(t, name, appendFrame(nil, want.kind, want.sent, want.body))
		got, err := readFrame(bytes.NewReader(data), 1<<16)
		if d := cmp.Diff(want, got, cmp.AllowUnexported(frame{})); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", name, err, d)
		}
	}
	for name, want := range wirePreambles {
		names[name] = true
		if got, err := readPreamble(bytes.NewReader(wiretest.Same(t, name, preamble(want)))); err != nil || got != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	wiretest.Complete(t, names)
}

// The digest is compared between clusters of two versions, so it is wire format too.
func TestFingerprintIsThatOfVersion1(t *testing.T) {
	got := fingerprint(wirePort, federation.Version{Epoch: 3, Sequence: 40}, Count{Ready: 2, Total: 3})
	if got != 0x3648b79ecf3b2cad {
		t.Errorf("it is %#x now", got)
	}
}

func TestExtensionAndFlagsOfALaterVersionAreSkipped(t *testing.T) {
	got, err := decode(wiretest.Same(t, "message-from-a-later-version", laterMessage()), testBounds)
	if d := cmp.Diff(wireMessages["message-beat"], got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
}

func TestFrameTypesOfALaterVersionAreReadToBeSkipped(t *testing.T) {
	data := wiretest.Same(t, "frame-from-a-later-version", appendFrame(nil, 77, time.Second, []byte("who knows")))
	f, err := readFrame(bytes.NewReader(data), 1<<16)
	if err != nil || !f.unknown() {
		t.Errorf("%+v, %v", f, err)
	}
}
