package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// The encoding, big-endian, numbers of fixed width so that a message's length does not
// change while it ages in a queue:
//
//	message   = version u8, statements u16, statement…
//	statement = owner str, floor u64, flags u8, beat(epoch u64, seq u64, digest u64, age u32),
//	            extension u16 + bytes, records u32, record…
//	record    = namespace str, name str, port u16, epoch u64, seq u64, renewed u64,
//	            age u32, ready u32, total u32, flags u8
//	str       = length u8 + bytes;  ages are milliseconds
//
// The extension is where signatures go; a reader of version 1 skips it.
const (
	codecVersion  = 1
	maxExtension  = 1024
	flagComplete  = 1
	flagWithdrawn = 1
	recordMinimum = 1 + 1 + 2 + 8*3 + 4*3 + 1
)

// errMalformed is wrapped by every decoding error.
var errMalformed = errors.New("malformed gossip message")

// A message that is beyond these bounds is refused under a reason of its own.
var (
	errTooManyServices = errors.New("too many services")
	errTooManyClusters = errors.New("too many clusters")
)

// bounds limit what a decoder builds.
type bounds struct{ clusters, services, bytes int }

func encode(statements ...statement) []byte {
	b := []byte{codecVersion}
	b = binary.BigEndian.AppendUint16(b, uint16(len(statements))) //nolint:gosec // bounded by MaxClusters
	for _, s := range statements {
		b = appendStatement(b, s)
	}
	return b
}

func appendStatement(b []byte, s statement) []byte {
	b = appendString(b, string(s.Owner))
	b = binary.BigEndian.AppendUint64(b, s.Floor)
	b = append(b, flag(s.Complete, flagComplete))
	b = binary.BigEndian.AppendUint64(b, s.Beat.Version.Epoch)
	b = binary.BigEndian.AppendUint64(b, s.Beat.Version.Sequence)
	b = binary.BigEndian.AppendUint64(b, s.Beat.Digest)
	b = appendAge(b, s.Beat.Age)
	b = binary.BigEndian.AppendUint16(b, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.Records))) //nolint:gosec // bounded by MaxServices
	for _, r := range s.Records {
		b = appendString(b, r.Port.Service.Namespace)
		b = appendString(b, r.Port.Service.Name)
		b = binary.BigEndian.AppendUint16(b, r.Port.Port)
		b = binary.BigEndian.AppendUint64(b, r.Version.Epoch)
		b = binary.BigEndian.AppendUint64(b, r.Version.Sequence)
		b = binary.BigEndian.AppendUint64(b, r.Renewed)
		b = appendAge(b, r.Age)
		b = binary.BigEndian.AppendUint32(b, r.Count.Ready)
		b = binary.BigEndian.AppendUint32(b, r.Count.Total)
		b = append(b, flag(r.Withdrawn, flagWithdrawn))
	}
	return b
}

func appendString(b []byte, s string) []byte {
	if len(s) > math.MaxUint8 {
		s = s[:math.MaxUint8]
	}
	return append(append(b, byte(len(s))), s...)
}

// appendAge rounds up: an age may be told too old, never too young.
func appendAge(b []byte, d time.Duration) []byte {
	ms := (max(d, 0) + time.Millisecond - 1) / time.Millisecond
	return binary.BigEndian.AppendUint32(b, uint32(min(ms, math.MaxUint32))) //nolint:gosec // clamped
}

func flag(on bool, bit byte) byte {
	if on {
		return bit
	}
	return 0
}

// decode reads a message. It builds nothing larger than the bounds, whatever the
// message claims, and accepts no trailing bytes.
func decode(data []byte, lim bounds) ([]statement, error) {
	if len(data) > lim.bytes {
		return nil, fmt.Errorf("%w: %w: %d bytes, at most %d", errMalformed, errOversized, len(data), lim.bytes)
	}
	r := reader{data: data}
	if v := r.u8(); v != codecVersion {
		return nil, fmt.Errorf("%w: version %d, want %d", errMalformed, v, codecVersion)
	}
	n := int(r.u16())
	if n > lim.clusters {
		return nil, fmt.Errorf("%w: %w: %d, at most %d are allowed", errMalformed, errTooManyClusters, n, lim.clusters)
	}
	var out []statement
	for range n {
		s, err := r.statement(lim)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if r.bad || len(r.data) > 0 {
		return nil, fmt.Errorf("%w: truncated, or trailing bytes", errMalformed)
	}
	return out, nil
}

// nothing is what a reader gives that has run out; nobody writes to it.
var nothing [8]byte

// reader takes values off the front; after the first lack all are zero and bad is set.
type reader struct {
	data []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if r.bad || len(r.data) < n {
		r.bad = true
		return nothing[:min(n, len(nothing))]
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

func (r *reader) u8() byte           { return r.take(1)[0] }
func (r *reader) u16() uint16        { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) u32() uint32        { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64        { return binary.BigEndian.Uint64(r.take(8)) }
func (r *reader) age() time.Duration { return time.Duration(r.u32()) * time.Millisecond }
func (r *reader) str() string {
	n := int(r.u8())
	if b := r.take(n); !r.bad {
		return string(b)
	}
	return ""
}

func (r *reader) statement(lim bounds) (statement, error) {
	s := statement{Owner: federation.ClusterName(r.str()), Floor: r.u64(), Complete: r.u8()&flagComplete != 0}
	s.Beat = beat{Version: federation.Version{Epoch: r.u64(), Sequence: r.u64()}, Digest: r.u64(), Age: r.age()}
	ext := int(r.u16())
	if ext > maxExtension {
		return s, fmt.Errorf("%w: extension of %d bytes", errMalformed, ext)
	}
	r.take(ext)
	n := int(r.u32())
	if n > 2*lim.services { // tombstones travel beside the live records, at most as many
		return s, fmt.Errorf("%w: %w: %d records, at most %d live ones are allowed", errMalformed, errTooManyServices, n, lim.services)
	}
	if n*recordMinimum > len(r.data) {
		return s, fmt.Errorf("%w: %d records in %d bytes", errMalformed, n, len(r.data))
	}
	if !validName(s.Owner) {
		return s, fmt.Errorf("%w: owner %q is not a cluster name", errMalformed, s.Owner)
	}
	s.Records = slices.Grow(s.Records, n) // there are bytes for so many
	for range n {
		rec, err := r.record()
		if err != nil {
			return s, err
		}
		s.Records = append(s.Records, rec)
	}
	return s, nil
}

func (r *reader) record() (record, error) {
	var rec record
	rec.Port.Service = federation.ServiceName{Namespace: r.str(), Name: r.str()}
	rec.Port.Port = r.u16()
	rec.Version = federation.Version{Epoch: r.u64(), Sequence: r.u64()}
	rec.Renewed = r.u64()
	rec.Age = r.age()
	rec.Count = Count{Ready: r.u32(), Total: r.u32()}
	rec.Withdrawn = r.u8()&flagWithdrawn != 0
	switch {
	case r.bad:
		return rec, fmt.Errorf("%w: truncated", errMalformed)
	case rec.Port.Service.Namespace == "" || rec.Port.Service.Name == "" || rec.Port.Port == 0:
		return rec, fmt.Errorf("%w: record without a service port", errMalformed)
	case rec.Version.Epoch == 0 || rec.Version.Sequence == 0 || rec.Renewed < rec.Version.Sequence:
		return rec, fmt.Errorf("%w: record of %s has version %v renewed at %d", errMalformed, rec.Port, rec.Version, rec.Renewed)
	case rec.Count.Ready > rec.Count.Total:
		return rec, fmt.Errorf("%w: record of %s has %d of %d ready", errMalformed, rec.Port, rec.Count.Ready, rec.Count.Total)
	}
	return rec, nil
}
