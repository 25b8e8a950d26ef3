package tunnel

import "net"

// segments are what the kernel counts on one connection, each way from us.
type segments struct{ sent, resent uint32 }

// lossDecay is what a second leaves of the weight of a sample: half of it is gone
// after 69 s, some 700 segments of two busy beats.
const lossDecay = 0.99

// lossMeter is the part of our segments that had to be sent again, newer ones counting
// more. TCP loses nothing; what it has to send again is what the way has lost, and now
// and then a segment that was only late. The zero value has measured nothing.
type lossMeter struct{ sent, resent float64 }

// add takes what one connection has sent in about a second.
func (m *lossMeter) add(was, is segments) {
	m.sent = m.sent*lossDecay + float64(is.sent-was.sent)
	m.resent = m.resent*lossDecay + float64(is.resent-was.resent)
}

// ratio lies between 0 and 1.
func (m *lossMeter) ratio() float64 {
	if m.sent <= 0 {
		return 0
	}
	return min(1, m.resent/m.sent)
}

// noteSegments reads the counts of a beat connection, and returns them for the next
// time.
func (p *Path) noteSegments(c net.Conn, was segments) segments {
	is, known := countSegments(rawConn(c))
	if !known {
		return was
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loss.add(was, is)
	return is
}
