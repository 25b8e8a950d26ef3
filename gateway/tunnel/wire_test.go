package tunnel

import (
	"bytes"
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routefeed/wiretest"
)

// wireFrames is every frame of wire version 1, as it is on the wire, with what it says.
var wireFrames = map[string]struct {
	header  Header
	payload []byte
}{
	"hello-beats":     {Header{Type: TypeHello}, sampleHello.Append(nil)},
	"hello-data":      {Header{Type: TypeHello}, Hello{Version: 1, Purpose: ForData, Sent: time.Hour, Instance: "causeway-gateway-0", Cluster: "eu-west"}.Append(nil)},
	"open":            {Header{Type: TypeOpen, Stream: 1}, plainOpen.Append(nil)},
	"open-early-data": {Header{Type: TypeOpen, Stream: 3}, sampleOpen.Append(nil)},
	"opened":          {Header{Type: TypeOpened, Stream: 1}, nil},
	"nack-refused":    {Header{Type: TypeNack, Stream: 1}, []byte{1}},
	"nack-noendpoint": {Header{Type: TypeNack, Stream: 1}, []byte{2}},
	"nack-overloaded": {Header{Type: TypeNack, Stream: 1}, []byte{3}},
	"nack-draining":   {Header{Type: TypeNack, Stream: 1}, []byte{4}},
	"nack-busy":       {Header{Type: TypeNack, Stream: 2}, []byte{5}},
	"nack-expired":    {Header{Type: TypeNack, Stream: 1}, []byte{6}},
	"data":            {Header{Type: TypeData, Stream: 1}, []byte("GET / HTTP/1.1\r\n\r\n")},
	"fin":             {Header{Type: TypeFin, Stream: 1}, nil},
	"reset":           {Header{Type: TypeReset, Stream: 1}, nil},
	"drain":           {Header{Type: TypeDrain}, nil},
	"ping":            {Header{Type: TypePing}, appendClock(nil, 1500*time.Millisecond)},
	"pong":            {Header{Type: TypePong}, pong{echo: 1500 * time.Millisecond, sent: time.Second}.append(nil)},
}

var plainOpen = Open{Port: sampleOpen.Port, Budget: 150 * time.Millisecond, Sent: time.Second}

func TestWireFramesAreThoseOfVersion1(t *testing.T) {
	names := map[string]bool{}
	for name, f := range wireFrames {
		names[name] = true
		data := wiretest.Same(t, name, AppendFrame(nil, f.header.Type, f.header.Stream, f.payload))
		h, err := ParseHeader([HeaderLen]byte(data[:HeaderLen]))
		f.header.Length = len(f.payload)
		if err != nil || h != f.header || !bytes.Equal(data[HeaderLen:], f.payload) {
			t.Errorf("%s reads as %+v with %x, %v", name, h, data[HeaderLen:], err)
		}
	}
	for _, n := range []string{"alpn-tunnel", "alpn-gossip", "sni-gateway", "sni-seat", "from-a-later-version"} {
		names[n] = true
	}
	wiretest.Complete(t, names)
}

// What the payloads mean, by the current decoders.
func TestWirePayloadsMeanTheSame(t *testing.T) {
	payload := func(name string) []byte { return wiretest.Bytes(t, name, nil)[HeaderLen:] }
	if h, err := DecodeHello(payload("hello-beats")); err != nil || h != sampleHello {
		t.Errorf("hello-beats: %+v, %v", h, err)
	}
	if o, err := DecodeOpen(payload("open")); err != nil || o != plainOpen {
		t.Errorf("open: %+v, %v", o, err)
	}
	if o, err := DecodeOpen(payload("open-early-data")); err != nil || o != sampleOpen {
		t.Errorf("open-early-data: %+v, %v", o, err)
	}
	if d, err := decodePing(payload("ping")); err != nil || d != 1500*time.Millisecond {
		t.Errorf("ping: %s, %v", d, err)
	}
	if p, err := decodePong(payload("pong")); err != nil || p != (pong{1500 * time.Millisecond, time.Second}) {
		t.Errorf("pong: %+v, %v", p, err)
	}
	for _, r := range []Reason{Refused, NoEndpoint, Overloaded, Draining, Busy, Expired} {
		if got := Reason(payload("nack-" + strings.ToLower(r.String()))[0]); got != r {
			t.Errorf("%s reads as %s", r, got)
		}
	}
}

// How two gateways find each other on the one port.
func TestHandshakeNamesAreThoseOfVersion1(t *testing.T) {
	wiretest.Same(t, "alpn-tunnel", []byte(federation.ALPNTunnel))
	wiretest.Same(t, "alpn-gossip", []byte(federation.ALPNGossip))
	wiretest.Same(t, "sni-gateway", []byte(federation.GatewayServerName("prod", "us-east")))
	wiretest.Same(t, "sni-seat", []byte(federation.SeatServerName("prod", "us-east")))
}

// A dialler of a later minor version: it adds a field to HELLO and OPEN, a flag, and
// frames of two new types. All of that is skipped, and its stream is served.
func laterVersion() []byte {
	hello := Hello{Version: 1, Instance: "gw-1", Cluster: "us-east"}.Append(nil)
	open := plainOpen.Append(nil)
	open[0] |= 0x80
	b := AppendFrame(nil, TypeHello, 0, append(hello, "new field"...))
	b = AppendFrame(b, 200, 0, []byte("who knows"))
	b = AppendFrame(b, TypeOpen, 1, append(open, "new field"...))
	b = AppendFrame(b, 201, 1, nil)
	b = AppendFrame(b, TypeData, 1, []byte("hello"))
	return AppendFrame(b, TypeFin, 1, nil)
}

func TestFramesAndFieldsOfALaterVersionAreSkippedAndCounted(t *testing.T) {
	data := wiretest.Same(t, "from-a-later-version", laterVersion())
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	got := make(chan string, 1)
	var unknown []Type
	start := time.Now()
	tun := New(near, Config{Instance: "gw", Cluster: "eu-west", Peer: "us-east"}, Hooks{
		OnUnknown: func(typ Type) { unknown = append(unknown, typ) },
		OnOpen: func(in *Incoming) {
			if in.Accept() == nil {
				local := newEcho()
				_, _ = in.Relay(local)
				got <- local.got.String()
			}
		},
	}, func() time.Duration { return time.Since(start) })
	ended := make(chan struct{})
	go func() { _ = tun.Run(context.Background()); close(ended) }()
	go func() { _, _ = io.Copy(io.Discard, far) }()
	if _, err := far.Write(data); err != nil {
		t.Fatal(err)
	}
	if text := <-got; text != "hello" {
		t.Errorf("the stream carried %q", text)
	}
	tun.Close(ErrClosed)
	<-ended
	if !slices.Equal(unknown, []Type{200, 201}) {
		t.Errorf("counted %v", unknown)
	}
}

// echo keeps what it gets, and ends when the peer ends.
type echo struct {
	got   bytes.Buffer
	ended chan struct{}
}

func newEcho() *echo { return &echo{ended: make(chan struct{})} }

func (e *echo) Read([]byte) (int, error)    { <-e.ended; return 0, io.EOF }
func (e *echo) Write(p []byte) (int, error) { return e.got.Write(p) }
func (e *echo) CloseWrite() error           { close(e.ended); return nil }
func (e *echo) Close() error                { return nil }
