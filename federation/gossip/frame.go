package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// A connection starts with a preamble that tells its kind; a packet link then
// carries frames both ways: type u8, length u32, sent u64 (microseconds since the
// sender's end of the connection was set up), body.
const (
	preambleLength = 4
	frameHeader    = 13

	kindLink   byte = 'L' // frames, dialled by the one who has packets to send
	kindStream byte = 'S' // one of memberlist's own streams
	kindFollow byte = 'F' // a standby of our own cluster; see follower.go

	framePacket byte = 1 // a memberlist packet
	framePing   byte = 2 // the dialler: are you there?
	framePong   byte = 3
	frameOwn    byte = 4 // the sender's statement of itself
	frameRelay  byte = 5 // statements that the sender holds
	frameWant   byte = 6 // tell me all you have to say of yourself

	// What follows is skipped by version 1; see digest.go. The dialler says hello first,
	// and a peer that answers it speaks signed frames on this connection from then on.
	frameHello  byte = 7
	frameKey    byte = 8
	frameBatch  byte = 9
	frameBeat   byte = 10
	frameDigest byte = 11
	frameLack   byte = 12
	frameSilent byte = 13 // the body is the name of a member that does not answer the sender
	frameLegs   byte = 14 // the sender's own ways to others; see legs.go
)

// lateness is how much longer than the fastest frame of its connection a memberlist packet may
// have waited. Older ones are dropped, as a network would: acks and suspicions that sat out a
// stall in a socket buffer only mislead.
const lateness = time.Second

var (
	errFrame = errors.New("malformed gossip frame")
	// errOversized: what the peer sent, or claims to send, is beyond a bound in bytes.
	errOversized = errors.New("larger than allowed")
)

func preamble(kind byte) []byte { return []byte{'C', 'G', 1, kind} }

func readPreamble(r io.Reader) (byte, error) {
	var b [preambleLength]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, fmt.Errorf("reading preamble: %w", err)
	}
	if b[0] != 'C' || b[1] != 'G' || b[2] != 1 || b[3] != kindLink && b[3] != kindStream && b[3] != kindFollow {
		return 0, fmt.Errorf("%w: preamble % x", errFrame, b)
	}
	return b[3], nil
}

// appendFrame writes a frame; sent is the sender's time on this connection.
func appendFrame(b []byte, kind byte, sent time.Duration, body []byte) []byte {
	b = append(b, kind)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))           //nolint:gosec // bounded by MaxMessageBytes
	b = binary.BigEndian.AppendUint64(b, uint64(sent.Microseconds())) //nolint:gosec // never negative
	return append(b, body...)
}

// unknown says whether a frame is of a type that a later version may send: skipped and
// counted, so that the two can go on talking.
func (f frame) unknown() bool { return f.kind > frameLegs }

type frame struct {
	kind byte
	sent time.Duration
	body []byte
}

// readFrame reads one frame; one that claims more than limit bytes is an error
// before anything is allocated for it.
func readFrame(r io.Reader, limit int) (frame, error) {
	var h [frameHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return frame{}, err
	}
	n := binary.BigEndian.Uint32(h[1:])
	if h[0] < framePacket { // a type beyond frameLegs is a later version's, and is skipped
		return frame{}, fmt.Errorf("%w: type %d", errFrame, h[0])
	}
	if int64(n) > int64(limit) {
		return frame{}, fmt.Errorf("%w: %w: %d bytes, at most %d", errFrame, errOversized, n, limit)
	}
	us := binary.BigEndian.Uint64(h[5:])
	if us > uint64(100*365*24*time.Hour/time.Microsecond) {
		return frame{}, fmt.Errorf("%w: sent at %d µs", errFrame, us)
	}
	f := frame{kind: h[0], sent: time.Duration(us) * time.Microsecond} //nolint:gosec // bounded above
	var err error
	f.body, err = readBody(r, int(n))
	return f, err
}

// firstPart of a body is room that is made before any of it has come; most are smaller.
const firstPart = 512

// readBody reads n bytes. It makes room for no more than twice what has come, whatever the
// frame's head claims.
func readBody(r io.Reader, n int) ([]byte, error) {
	body := make([]byte, min(n, firstPart))
	for got := 0; ; {
		m, err := io.ReadFull(r, body[got:])
		got += m
		if err != nil || got == n {
			return body[:got], err
		}
		more := make([]byte, min(n, 2*got))
		copy(more, body)
		body = more
	}
}

// drift tells how long a frame was held up on its way, beyond the fastest frame
// of the same connection. It compares only how two monotonic clocks advance,
// never what they show.
type drift struct {
	least, at time.Duration
	known     bool
}

func (d *drift) delay(sent, received time.Duration) time.Duration {
	offset := received - sent
	d.least += (received - d.at) / clockDrift // else two clocks part for good on a long connection
	d.at = received
	if !d.known || offset < d.least {
		d.least, d.known = offset, true
	}
	return offset - d.least
}
