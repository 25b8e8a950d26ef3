package wan

import (
	"encoding/binary"
	"io"
	"sync"
)

// Of the classic pcap format.
const (
	pcapMagic      = 0xa1b2c3d4
	pcapLinkRaw    = 101 // LINKTYPE_RAW: packets begin with their IP header
	pcapSnapLength = 1 << 17
)

// Pcap writes captured packets to a file that tcpdump and Wireshark read. Give Packet
// to WAN.Capture. Safe for concurrent use.
type Pcap struct {
	mu  sync.Mutex
	w   io.Writer
	err error
}

// NewPcap writes the file's header.
func NewPcap(w io.Writer) (*Pcap, error) {
	h := binary.LittleEndian.AppendUint32(nil, pcapMagic)
	h = binary.LittleEndian.AppendUint16(h, 2)
	h = binary.LittleEndian.AppendUint16(h, 4)
	h = append(h, make([]byte, 8)...) // time zone and accuracy: zero by convention
	h = binary.LittleEndian.AppendUint32(h, pcapSnapLength)
	h = binary.LittleEndian.AppendUint32(h, pcapLinkRaw)
	_, err := w.Write(h)
	return &Pcap{w: w}, err
}

// Packet writes one packet. After an error it writes nothing more.
func (p *Pcap) Packet(pkt Packet) {
	h := binary.LittleEndian.AppendUint32(nil, uint32(pkt.At.Unix()))
	h = binary.LittleEndian.AppendUint32(h, uint32(pkt.At.Nanosecond()/1000))
	h = binary.LittleEndian.AppendUint32(h, uint32(len(pkt.IP)))
	h = binary.LittleEndian.AppendUint32(h, uint32(len(pkt.IP)))
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		_, p.err = p.w.Write(append(h, pkt.IP...))
	}
}

// Err is the first error.
func (p *Pcap) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}
