package tunnel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// Type is a frame's type. Unknown ones are skipped and counted, so that a later
// minor version may add some.
type Type uint8

// The frames of wire version 1.
const (
	TypeHello  Type = 1
	TypeOpen   Type = 2
	TypeOpened Type = 3
	TypeNack   Type = 4
	TypeData   Type = 5
	TypeFin    Type = 6
	TypeReset  Type = 7
	TypeDrain  Type = 8
	TypePing   Type = 9
	TypePong   Type = 10
)

const (
	// Version is the wire version that HELLO carries; the ALPN says it too.
	Version = 1
	// HeaderLen is the length of a frame's header: type (1), payload length (3),
	// stream (4), big-endian.
	HeaderLen = 8
	// MaxData bounds a DATA payload: with its header it fills four TLS records.
	MaxData = 64<<10 - HeaderLen
	// MaxControl bounds the payload of every other frame.
	MaxControl = 1 << 10
)

// The errors of the codec. All of them close the tunnel.
var (
	ErrFrameTooLong = errors.New("frame is longer than its type allows")
	ErrBadFrame     = errors.New("frame is malformed")
)

// Header is a frame's header.
type Header struct {
	Type   Type
	Length int
	Stream uint32 // 0 for frames that concern the tunnel itself
}

// Limit is the longest payload that a type may have.
func (t Type) Limit() int {
	if t == TypeData {
		return MaxData
	}
	return MaxControl
}

// ParseHeader reads a header and refuses an over-long payload.
func ParseHeader(b [HeaderLen]byte) (Header, error) {
	h := Header{
		Type:   Type(b[0]),
		Length: int(b[1])<<16 | int(b[2])<<8 | int(b[3]),
		Stream: binary.BigEndian.Uint32(b[4:]),
	}
	if h.Length > h.Type.Limit() {
		return h, fmt.Errorf("%w: %d bytes in a frame of type %d", ErrFrameTooLong, h.Length, h.Type)
	}
	return h, nil
}

// putHeader writes a header into the first HeaderLen bytes of b.
func putHeader(b []byte, t Type, stream uint32, length int) {
	b[0], b[1], b[2], b[3] = byte(t), byte(length>>16), byte(length>>8), byte(length)
	binary.BigEndian.PutUint32(b[4:], stream)
}

// AppendFrame appends a whole frame to dst.
func AppendFrame(dst []byte, t Type, stream uint32, payload []byte) []byte {
	var head [HeaderLen]byte
	putHeader(head[:], t, stream, len(payload))
	return append(append(dst, head[:]...), payload...)
}

// Reason is why an OPEN was refused.
type Reason uint8

// The reasons of a NACK. Refused is said alike of a service that does not exist
// and of one that the caller may not reach.
const (
	Refused    Reason = 1
	NoEndpoint Reason = 2
	Overloaded Reason = 3
	Draining   Reason = 4
	Busy       Reason = 5
	Expired    Reason = 6
)

var reasonNames = [...]string{"Unspecified", "Refused", "NoEndpoint", "Overloaded", "Draining", "Busy", "Expired"}

func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// Purpose says what a tunnel was dialled for.
type Purpose uint8

// The purposes of a tunnel.
const (
	ForData  Purpose = 0
	ForBeats Purpose = 1
)

// Hello is the first frame in each direction.
type Hello struct {
	Version  uint8
	Purpose  Purpose
	Sent     time.Duration // sender's monotonic clock, microsecond resolution
	Instance string        // the sender's replica name
	Cluster  federation.ClusterName
}

// Open asks for a stream to a service port.
type Open struct {
	Port federation.ServicePort
	// Budget is how long the opener will wait for the answer; later it has gone
	// elsewhere, and the acceptor must not serve it. Millisecond resolution.
	Budget time.Duration
	Sent   time.Duration // sender's monotonic clock
	// EarlyData says that DATA may follow before OPENED.
	EarlyData bool
}

const flagEarlyData = 1

// Append appends h's payload to b. Names longer than 255 bytes cannot be sent.
func (h Hello) Append(b []byte) []byte {
	b = append(b, h.Version, byte(h.Purpose))
	b = appendClock(b, h.Sent)
	b = appendText(b, h.Instance)
	return appendText(b, string(h.Cluster))
}

// DecodeHello reads a HELLO payload; bytes behind the known fields are ignored.
func DecodeHello(p []byte) (Hello, error) {
	d := decoder{rest: p}
	h := Hello{Version: d.byte(), Purpose: Purpose(d.byte()), Sent: d.clock()}
	h.Instance, h.Cluster = d.text(), federation.ClusterName(d.text())
	if d.bad || h.Cluster == "" || h.Instance == "" {
		return Hello{}, fmt.Errorf("HELLO: %w", ErrBadFrame)
	}
	return h, nil
}

// Append appends o's payload to b.
func (o Open) Append(b []byte) []byte {
	var flags byte
	if o.EarlyData {
		flags |= flagEarlyData
	}
	b = append(b, flags)
	b = binary.BigEndian.AppendUint32(b, uint32(o.Budget/time.Millisecond))
	b = appendClock(b, o.Sent)
	b = binary.BigEndian.AppendUint16(b, o.Port.Port)
	b = appendText(b, o.Port.Service.Namespace)
	return appendText(b, o.Port.Service.Name)
}

// DecodeOpen reads an OPEN payload; bytes behind the known fields are ignored.
func DecodeOpen(p []byte) (Open, error) {
	d := decoder{rest: p}
	o := Open{EarlyData: d.byte()&flagEarlyData != 0}
	o.Budget = time.Duration(d.uint32()) * time.Millisecond
	o.Sent = d.clock()
	o.Port.Port = d.uint16()
	o.Port.Service.Namespace = d.text()
	o.Port.Service.Name = d.text()
	if d.bad || o.Port.Port == 0 || o.Port.Service.Namespace == "" || o.Port.Service.Name == "" {
		return Open{}, fmt.Errorf("OPEN: %w", ErrBadFrame)
	}
	return o, nil
}

// pong is the answer to a PING: the ping's own clock, and the answerer's.
type pong struct{ echo, sent time.Duration }

func (p pong) append(b []byte) []byte { return appendClock(appendClock(b, p.echo), p.sent) }

func decodePong(b []byte) (pong, error) {
	d := decoder{rest: b}
	p := pong{echo: d.clock(), sent: d.clock()}
	if d.bad {
		return pong{}, fmt.Errorf("PONG: %w", ErrBadFrame)
	}
	return p, nil
}

func decodePing(b []byte) (time.Duration, error) {
	d := decoder{rest: b}
	sent := d.clock()
	if d.bad {
		return 0, fmt.Errorf("PING: %w", ErrBadFrame)
	}
	return sent, nil
}

func appendClock(b []byte, d time.Duration) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(d/time.Microsecond))
}

func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), 255)]
	return append(append(b, byte(len(s))), s...)
}
