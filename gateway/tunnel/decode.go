package tunnel

import (
	"encoding/binary"
	"time"
)

// maxClock bounds a peer's clock (about 292 years) so that differences between
// two of them never overflow.
const maxClock = uint64(1) << 52

// decoder reads a payload's fields in order; after the first field that is not
// there it only sets bad.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || len(d.rest) < n {
		d.bad = true
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint16() uint16 {
	if b := d.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// clock reads microseconds of the sender's monotonic clock.
func (d *decoder) clock() time.Duration {
	b := d.take(8)
	if b == nil {
		return 0
	}
	us := binary.BigEndian.Uint64(b)
	if us > maxClock {
		d.bad = true
		return 0
	}
	return time.Duration(us) * time.Microsecond
}

func (d *decoder) text() string { return string(d.take(int(d.byte()))) }
