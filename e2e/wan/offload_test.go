package wan

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/e2e/wan/link"
)

// offloaded is a frame of 2500 bytes of body in segments of 1000, as a TUN device
// (offset 10) or a packet socket (24) shows it: flags PSH, FIN and CWR, sequence number
// 5000, IP identification 7.
func offloaded(offset int) *buffer {
	ip := segment("")
	body := make([]byte, 2500)
	for i := range body {
		body[i] = byte(i >> 3)
	}
	ip = append(ip, body...)
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[4:], 7)
	binary.BigEndian.PutUint32(ip[24:], 5000)
	ip[33] = 0x10 | tcpPSH | tcpFIN | tcpCWR
	data := append(make([]byte, offset), ip...)
	data[0], data[1] = virtioNeedsChecksum, virtioTCPv4
	binary.NativeEndian.PutUint16(data[4:], 1000)
	b := &buffer{data: data, offset: offset}
	b.layout = layoutOf(b)
	return b
}

func TestAFrameIsTakenApartAsItsSenderWould(t *testing.T) {
	for _, offset := range []int{virtioHeader, virtioHeader + ethernetHeader} {
		b := offloaded(offset)
		if diff := cmp.Diff(link.Shape{Count: 3, Header: 40, Each: 1000, Body: 2500}, b.layout.shape); diff != "" {
			t.Fatal(diff)
		}
		for _, c := range []struct {
			first, count, bytes int
			kind                byte
			flags               byte
		}{
			{0, 1, 1000, virtioNoSegments, 0x10 | tcpCWR},
			{0, 2, 2000, virtioTCPv4, 0x10 | tcpCWR},
			{1, 1, 1000, virtioNoSegments, 0x10},
			{1, 2, 1500, virtioTCPv4, 0x10 | tcpPSH | tcpFIN},
			{2, 1, 500, virtioNoSegments, 0x10 | tcpPSH | tcpFIN},
		} {
			before := bytes.Clone(b.data)
			head, body := b.headers(make([]byte, maxHeaders), c.first, c.count)
			if !bytes.Equal(before, b.data) {
				t.Fatal("the frame was changed: other pieces need it")
			}
			packet := append(bytes.Clone(head[offset:]), body...)
			s, ok := ParseTCP(packet)
			if !ok || len(s.Payload) != c.bytes || s.Seq != 5000+uint32(c.first)*1000 {
				t.Errorf("%+v: sequence %d, %d bytes, %t", c, s.Seq, len(s.Payload), ok)
			}
			if !bytes.Equal(s.Payload, b.data[offset+40+c.first*1000:][:c.bytes]) {
				t.Errorf("%+v: bytes changed", c)
			}
			if packet[33] != c.flags || head[1] != c.kind || binary.BigEndian.Uint16(packet[4:]) != 7+uint16(c.first) {
				t.Errorf("%+v: flags %#x, kind %d, identification %d", c, packet[33], head[1], binary.BigEndian.Uint16(packet[4:]))
			}
			checkSums(t, head, packet, offset)
		}
	}
}

// checkSums finishes the packet's checksum where its virtio header says, as a device
// does, and then sums everything up anew.
func checkSums(t *testing.T, head, packet []byte, offset int) {
	t.Helper()
	if sum(packet[:20], 0) != 0xffff {
		t.Error("the IP header's checksum is wrong")
	}
	begin := int(binary.NativeEndian.Uint16(head[6:])) - (offset - virtioHeader)
	at := begin + int(binary.NativeEndian.Uint16(head[8:]))
	binary.BigEndian.PutUint16(packet[at:], ^sum(packet[begin:], 0))
	if sum(packet[20:], protocolTCP+uint32(len(packet)-20)+uint32(sum(packet[12:20], 0))) != 0xffff {
		t.Error("the TCP checksum is wrong")
	}
}

func TestWhatIsNotAnOffloadedStreamIsOnePacket(t *testing.T) {
	for name, change := range map[string]func(*buffer){
		"no segments":     func(b *buffer) { b.data[1] = virtioNoSegments },
		"datagrams":       func(b *buffer) { b.data[1] = 5 },
		"not TCP":         func(b *buffer) { b.ip()[9] = 17 },
		"a zero size":     func(b *buffer) { b.data[4], b.data[5] = 0, 0 },
		"no TCP header":   func(b *buffer) { b.data = b.data[:b.offset+39] },
		"a long offset":   func(b *buffer) { b.data = b.data[:b.offset+50]; b.ip()[32] = 15 << 4 },
		"a short offset":  func(b *buffer) { b.ip()[32] = 4 << 4 },
		"a single packet": func(b *buffer) { b.data = b.data[:b.offset+1040] },
	} {
		b := offloaded(virtioHeader)
		change(b)
		if got := layoutOf(b).shape; got != link.Single(len(b.ip())) {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
}

func FuzzLayout(f *testing.F) {
	f.Add(offloaded(virtioHeader).data, 1, 1)
	f.Add(offloaded(virtioHeader).data[:60], 0, 1)
	f.Fuzz(func(t *testing.T, data []byte, first, count int) {
		if len(data) <= virtioHeader || len(data) > largeBuffer {
			return
		}
		b := &buffer{data: data, offset: virtioHeader}
		if _, ok := destination(b.ip()); !ok {
			return
		}
		b.layout = layoutOf(b)
		s := b.layout.shape
		if first < 0 || count < 1 || first > s.Count || count > s.Count-first || count == s.Count {
			return
		}
		head, body := b.headers(make([]byte, maxHeaders), first, count)
		if len(head)-b.offset+len(body) != s.Header+len(body) || len(body) == 0 {
			t.Errorf("%d bytes of headers, %d of body, %+v", len(head), len(body), s)
		}
	})
}
