package tunnel

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

var sampleOpen = Open{
	Port:   federation.ServicePort{Service: federation.ServiceName{Namespace: "shop", Name: "checkout"}, Port: 80},
	Budget: 1500 * time.Millisecond, Sent: 42 * time.Microsecond, EarlyData: true,
}

var sampleHello = Hello{Version: Version, Purpose: ForBeats, Sent: 7 * time.Microsecond, Instance: "gw-1", Cluster: "us-east"}

// golden are the bytes of wire version 1: a change here breaks running federations.
func TestGoldenBytes(t *testing.T) {
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"header": {AppendFrame(nil, TypePing, 0, nil), goldenPing},
		"hello":  {sampleHello.Append(nil), goldenHello},
		"open":   {sampleOpen.Append(nil), goldenOpen},
	} {
		if hex.EncodeToString(c.got) != c.want {
			t.Errorf("%s is %x, wire version 1 has %s", name, c.got, c.want)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	if got, err := DecodeOpen(sampleOpen.Append(nil)); err != nil || got != sampleOpen {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := DecodeHello(sampleHello.Append(nil)); err != nil || got != sampleHello {
		t.Errorf("%+v, %v", got, err)
	}
	// A later version may add fields behind those known.
	if got, err := DecodeOpen(append(sampleOpen.Append(nil), 1, 2, 3)); err != nil || got != sampleOpen {
		t.Errorf("with fields behind: %+v, %v", got, err)
	}
}

func TestTruncatedPayloadsAreRefused(t *testing.T) {
	open, hello := sampleOpen.Append(nil), sampleHello.Append(nil)
	for i := range open {
		if _, err := DecodeOpen(open[:i]); !errors.Is(err, ErrBadFrame) {
			t.Errorf("OPEN cut at %d: %v", i, err)
		}
	}
	for i := range hello {
		if _, err := DecodeHello(hello[:i]); !errors.Is(err, ErrBadFrame) {
			t.Errorf("HELLO cut at %d: %v", i, err)
		}
	}
}

func TestOverlongFrameIsRefused(t *testing.T) {
	for _, typ := range []Type{TypeOpen, TypeData, TypePing, Type(200)} {
		var b [HeaderLen]byte
		putHeader(b[:], typ, 1, typ.Limit()+1)
		if _, err := ParseHeader(b); !errors.Is(err, ErrFrameTooLong) {
			t.Errorf("type %d: %v", typ, err)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(AppendFrame(nil, TypeOpen, 1, sampleOpen.Append(nil)))
	f.Add(AppendFrame(nil, TypeHello, 0, sampleHello.Append(nil)))
	f.Add(AppendFrame(nil, TypePing, 0, appendClock(nil, time.Second)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) >= HeaderLen {
			if h, err := ParseHeader([HeaderLen]byte(data[:HeaderLen])); err == nil && h.Length > MaxData && h.Length > MaxControl {
				t.Fatalf("a payload of %d bytes was let through", h.Length)
			}
			data = data[HeaderLen:]
		}
		if o, err := DecodeOpen(data); err == nil {
			if again, err := DecodeOpen(o.Append(nil)); err != nil || again != o {
				t.Fatalf("%+v became %+v, %v", o, again, err)
			}
		}
		if h, err := DecodeHello(data); err == nil && !bytes.Equal(h.Append(nil), data[:len(h.Append(nil))]) {
			t.Fatalf("%+v does not encode to what it came from", h)
		}
		_, _ = decodePong(data)
		_, _ = decodePing(data)
	})
}
