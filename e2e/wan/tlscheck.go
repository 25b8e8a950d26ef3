package wan

import (
	"fmt"
	"net/netip"
	"sync"
)

// Bounds of a TLS check; what exceeds one is a finding, never a lost check.
const (
	maxFlows    = 1 << 16
	maxPending  = 4 << 20 // bytes of one flow that wait for an earlier segment
	maxFindings = 20
	// maxRecord is TLS 1.2's limit, which is above 1.3's.
	maxRecord = 1<<14 + 2048
)

// TLSCheck proves of captured packets that every TCP stream in them is TLS records and
// nothing else: give Packet to WAN.Capture before the first connection, read Report at
// the end. It follows each direction of each connection from its SYN on, puts segments
// in order and reads record headers; what is inside records it cannot tell.
type TLSCheck struct {
	// Only tells which segments to look at; nil means all. Set it before use.
	Only func(Segment) bool

	mu     sync.Mutex
	flows  map[flowKey]*flow
	report TLSReport
}

// TLSReport is what a check found.
type TLSReport struct {
	Streams  int // directions of connections followed from their SYN on
	Records  int
	Bytes    uint64
	Findings []string // the first few streams that are not TLS
	// Partial streams were under way before the capture began: nothing is known of them.
	Partial int
}

type flowKey struct{ src, dst netip.AddrPort }

type flow struct {
	next    uint32            // sequence number that comes next
	pending map[uint32][]byte // segments from the future, by sequence number
	held    int               // bytes in pending
	started bool              // a SYN was seen
	bad     bool
	records recordReader
}

// Packet takes one captured packet.
func (c *TLSCheck) Packet(p Packet) {
	s, ok := ParseTCP(p.IP)
	if !ok || (c.Only != nil && !c.Only(s)) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.flow(s)
	if f == nil || f.bad || !f.started || len(s.Payload) == 0 {
		return
	}
	c.report.Bytes += uint64(len(s.Payload))
	err := f.add(s.Seq, s.Payload)
	c.report.Records += f.records.take()
	if err != nil {
		f.bad = true
		c.find("%s -> %s: %v", s.Src, s.Dst, err)
	}
}

// Report is what was found so far.
func (c *TLSCheck) Report() TLSReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.report
	r.Findings = append([]string(nil), r.Findings...)
	return r
}

func (c *TLSCheck) flow(s Segment) *flow {
	if c.flows == nil {
		c.flows = map[flowKey]*flow{}
	}
	key := flowKey{s.Src, s.Dst}
	f := c.flows[key]
	if s.SYN && (f == nil || f.next != s.Seq+1 || !f.started) {
		f = &flow{next: s.Seq + 1, started: true}
		c.report.Streams++
		c.keep(key, f)
		return f
	}
	if f == nil && len(s.Payload) > 0 {
		f = &flow{}
		c.report.Partial++
		c.keep(key, f)
	}
	return f
}

func (c *TLSCheck) keep(key flowKey, f *flow) {
	if len(c.flows) >= maxFlows {
		c.find("more than %d streams: the rest is unchecked", maxFlows)
		return
	}
	c.flows[key] = f
}

func (c *TLSCheck) find(format string, args ...any) {
	if len(c.report.Findings) < maxFindings {
		c.report.Findings = append(c.report.Findings, fmt.Sprintf(format, args...))
	}
}

// add puts a segment where it belongs and reads what has become contiguous.
func (f *flow) add(seq uint32, b []byte) error {
	if ahead := int32(seq - f.next); ahead > 0 {
		return f.hold(seq, b)
	}
	if err := f.advance(seq, b); err != nil {
		return err
	}
	for again := true; again; {
		again = false
		for seq, b := range f.pending {
			if int32(seq-f.next) > 0 {
				continue
			}
			delete(f.pending, seq)
			f.held -= len(b)
			if err := f.advance(seq, b); err != nil {
				return err
			}
			again = true
		}
	}
	return nil
}

// advance reads what is new of a segment that begins at or before next.
func (f *flow) advance(seq uint32, b []byte) error {
	seen := int(int32(f.next - seq))
	if seen >= len(b) {
		return nil // a retransmission
	}
	f.next += uint32(len(b) - seen)
	return f.records.read(b[seen:])
}

func (f *flow) hold(seq uint32, b []byte) error {
	if old, ok := f.pending[seq]; ok && len(old) >= len(b) {
		return nil
	}
	if f.held+len(b) > maxPending {
		return fmt.Errorf("more than %d bytes wait for a segment that never came", maxPending)
	}
	if f.pending == nil {
		f.pending = map[uint32][]byte{}
	}
	f.held += len(b) - len(f.pending[seq])
	f.pending[seq] = append([]byte(nil), b...) // the packet's memory is not ours
	return nil
}

// recordReader reads the headers of a stream of TLS records and skips their bodies.
type recordReader struct {
	header [5]byte
	have   int // bytes of header
	skip   int // bytes of the body to come
	first  bool
	count  int // records since the last take
}

func (r *recordReader) take() int { n := r.count; r.count = 0; return n }

func (r *recordReader) read(b []byte) error {
	for len(b) > 0 {
		if r.skip > 0 {
			n := min(r.skip, len(b))
			r.skip -= n
			b = b[n:]
			continue
		}
		n := copy(r.header[r.have:], b)
		r.have += n
		b = b[n:]
		if r.have < len(r.header) {
			return nil
		}
		if err := r.begin(); err != nil {
			return err
		}
	}
	return nil
}

// begin checks a complete header. A stream must begin with a handshake record.
func (r *recordReader) begin() error {
	h := r.header
	length := int(h[3])<<8 | int(h[4])
	if h[0] < 20 || h[0] > 23 || h[1] != 3 || h[2] > 4 || length > maxRecord {
		return fmt.Errorf("% x is not the header of a TLS record", h)
	}
	if !r.first && h[0] != 22 && h[0] != 21 {
		return fmt.Errorf("the stream begins with a record of type %d, not with a handshake or an alert", h[0])
	}
	r.first, r.have, r.skip = true, 0, length
	r.count++
	return nil
}
