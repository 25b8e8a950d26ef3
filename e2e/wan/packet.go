package wan

import (
	"encoding/binary"
	"net/netip"
)

// Header lengths and fields of IPv4.
const (
	ipv4MinHeader = 20
	ipv4Version   = 4
)

// destination reads the destination of an IPv4 packet; false for anything else.
// It reads at most the first 20 bytes.
func destination(ip []byte) (netip.Addr, bool) {
	if len(ip) < ipv4MinHeader || ip[0]>>4 != ipv4Version {
		return netip.Addr{}, false
	}
	if header := int(ip[0]&0x0f) * 4; header < ipv4MinHeader || header > len(ip) {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte(ip[16:20])), true
}

// Segment is what ParseTCP reads of a packet.
type Segment struct {
	Src, Dst netip.AddrPort
	Seq      uint32
	SYN, FIN bool
	RST      bool
	Payload  []byte // shares the packet's memory
}

const protocolTCP = 6

// ParseTCP reads an unfragmented IPv4 packet with a TCP segment in it; false for
// anything else, and for lengths that do not fit.
func ParseTCP(ip []byte) (Segment, bool) {
	if _, ok := destination(ip); !ok || ip[9] != protocolTCP {
		return Segment{}, false
	}
	if binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 { // more fragments, or an offset
		return Segment{}, false
	}
	header := int(ip[0]&0x0f) * 4
	total := int(binary.BigEndian.Uint16(ip[2:]))
	if total == 0 { // a segmentation-offloaded packet of more than 64 KiB
		total = len(ip)
	}
	if total > len(ip) || total < header+20 {
		return Segment{}, false
	}
	tcp := ip[header:total]
	offset := int(tcp[12]>>4) * 4
	if offset < 20 || offset > len(tcp) {
		return Segment{}, false
	}
	src := netip.AddrFrom4([4]byte(ip[12:16]))
	dst := netip.AddrFrom4([4]byte(ip[16:20]))
	return Segment{
		Src: netip.AddrPortFrom(src, binary.BigEndian.Uint16(tcp)),
		Dst: netip.AddrPortFrom(dst, binary.BigEndian.Uint16(tcp[2:])),
		Seq: binary.BigEndian.Uint32(tcp[4:]),
		FIN: tcp[13]&0x01 != 0, SYN: tcp[13]&0x02 != 0, RST: tcp[13]&0x04 != 0,
		Payload: tcp[offset:],
	}, true
}
