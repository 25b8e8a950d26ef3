package wan

import (
	"encoding/binary"

	"github.com/causeway-mesh/causeway/e2e/wan/link"
)

// Of the virtio header, in the machine's byte order: flags, kind, length of the
// headers, size of a segment, where the checksum begins and where it is written.
const (
	virtioNeedsChecksum = 1
	virtioNoSegments    = 0
	virtioTCPv4         = 1
	virtioECN           = 0x80

	tcpChecksumAt = 16
)

// TCP flags that belong to the first or to the last segment of a frame alone.
const (
	tcpFIN, tcpPSH, tcpCWR = 0x01, 0x08, 0x80
)

// maxHeaders are those of a frame of any device: virtio, Ethernet, IP and TCP.
const maxHeaders = virtioHeader + ethernetHeader + 60 + 60

// layout is how a frame is put together; one that is a single packet has zero header.
type layout struct {
	shape link.Shape
	ip    int // length of the IP header, if there are several packets
}

// layoutOf reads which wire packets a frame stands for. What is not a well-formed
// offloaded TCP frame is one packet.
func layoutOf(b *buffer) layout {
	ip := b.ip()
	single := layout{shape: link.Single(len(ip))}
	if b.data[1]&^virtioECN != virtioTCPv4 || ip[9] != protocolTCP {
		return single
	}
	header := int(ip[0]&0x0f) * 4 // destination has checked it
	if len(ip) < header+20 {
		return single
	}
	tcp, each := int(ip[header+12]>>4)*4, int(binary.NativeEndian.Uint16(b.data[4:]))
	body := len(ip) - header - tcp
	if tcp < 20 || each == 0 || body <= each {
		return single
	}
	count := (body + each - 1) / each
	return layout{link.Shape{Count: count, Header: header + tcp, Each: each, Body: body}, header}
}

// headers writes into dst what goes in front of the body of some of the frame's
// packets, as the sender would have written it, and returns it with that body.
func (b *buffer) headers(dst []byte, first, count int) (head, body []byte) {
	l := b.layout
	from, to := l.shape.Span(first, count)
	start := b.offset + l.shape.Header
	head = append(dst[:0], b.data[:start]...)
	body = b.data[start+from : start+to]
	virtio, ip := head[:virtioHeader], head[b.offset:]
	tcp := ip[l.ip:]

	virtio[0] = virtioNeedsChecksum // the last device or the reader works it out
	if count == 1 {
		virtio[1] = virtioNoSegments
		binary.NativeEndian.PutUint16(virtio[4:], 0)
	}
	binary.NativeEndian.PutUint16(virtio[2:], uint16(start-virtioHeader))
	binary.NativeEndian.PutUint16(virtio[6:], uint16(b.offset-virtioHeader+l.ip))
	binary.NativeEndian.PutUint16(virtio[8:], tcpChecksumAt)

	binary.BigEndian.PutUint16(ip[2:], uint16(l.shape.Header+len(body)))
	binary.BigEndian.PutUint16(ip[4:], binary.BigEndian.Uint16(ip[4:])+uint16(first))
	binary.BigEndian.PutUint16(ip[10:], 0)
	binary.BigEndian.PutUint16(ip[10:], ^sum(ip[:l.ip], 0))

	binary.BigEndian.PutUint32(tcp[4:], binary.BigEndian.Uint32(tcp[4:])+uint32(from))
	if first > 0 {
		tcp[13] &^= tcpCWR
	}
	if first+count < l.shape.Count {
		tcp[13] &^= tcpFIN | tcpPSH
	}
	pseudo := uint32(protocolTCP) + uint32(len(tcp)+len(body))
	binary.BigEndian.PutUint16(tcp[tcpChecksumAt:], sum(ip[12:20], pseudo))
	return head, body
}

// sum is the one's complement sum of b's 16-bit words, begun at start.
func sum(b []byte, start uint32) uint16 {
	s := start
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
