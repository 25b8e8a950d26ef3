package wan

import (
	"bytes"
	"net/netip"
	"testing"
)

// segment is a TCP packet with the given payload and no options.
func segment(payload string) []byte {
	b := make([]byte, 40, 40+len(payload))
	b[0], b[9], b[32] = 0x45, protocolTCP, 5<<4
	b[3] = byte(40 + len(payload))
	copy(b[12:], []byte{10, 1, 0, 1})
	copy(b[16:], []byte{10, 2, 0, 1})
	b[21], b[23], b[33] = 80, 81, 0x02
	return append(b, payload...)
}

func TestParseTCPReadsASegment(t *testing.T) {
	s, ok := ParseTCP(segment("hello"))
	if !ok || string(s.Payload) != "hello" || !s.SYN || s.Src != netip.MustParseAddrPort("10.1.0.1:80") || s.Dst != netip.MustParseAddrPort("10.2.0.1:81") {
		t.Errorf("%+v %v", s, ok)
	}
}

func TestParsersRefuseLengthsThatDoNotFit(t *testing.T) {
	change := func(i int, v byte) []byte { b := segment("hello"); b[i] = v; return b }
	for name, b := range map[string][]byte{
		"empty":                         nil,
		"short":                         segment("")[:19],
		"version 6":                     change(0, 0x65),
		"header length below 20":        change(0, 0x44),
		"header longer than the packet": append([]byte{0x4f}, make([]byte, 20)...),
		"total longer than the packet":  change(3, 46),
		"total without a TCP header":    change(3, 39),
		"offset below 20":               change(32, 4<<4),
		"offset beyond the segment":     change(32, 15<<4),
		"a fragment":                    change(7, 1),
		"udp":                           change(9, 17),
	} {
		if s, ok := ParseTCP(b); ok {
			t.Errorf("%s: read as %+v", name, s)
		}
	}
}

func FuzzPacket(f *testing.F) {
	f.Add(segment("hello"))
	f.Add(segment("")[:25])
	f.Add([]byte{0x60, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		dst, ok := destination(b)
		s, tcp := ParseTCP(b)
		if tcp && (!ok || dst != s.Dst.Addr()) {
			t.Errorf("a segment to %s in a packet to %s", s.Dst, dst)
		}
		if !bytes.Equal(before, b) {
			t.Error("the parser changed the packet")
		}
	})
}
