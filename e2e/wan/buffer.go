package wan

import (
	"sync"
	"sync/atomic"
)

// virtioHeader is the length of the header that TUN and packet sockets put in front
// of a frame to say how it is segmented and checksummed. It goes from one device to
// the other unchanged, so one read moves up to 64 KiB, unless the frame is taken apart.
const virtioHeader = 10

const (
	largeBuffer = 1<<16 + 256 // one offloaded frame with its headers
	smallBuffer = 2048        // an ordinary packet
)

// buffer is a pooled frame: virtio header, link header of the device's kind, IP.
type buffer struct {
	data   []byte // what was read, within mem
	offset int    // where the IP packet begins
	mem    []byte
	layout layout
	// users are the pieces under way that share the buffer; the last one frees it.
	users atomic.Int32
}

func (b *buffer) ip() []byte { return b.data[b.offset:] }

type pool struct{ small, large sync.Pool }

func newPool() *pool {
	p := &pool{}
	p.small.New = func() any { return &buffer{mem: make([]byte, smallBuffer)} }
	p.large.New = func() any { return &buffer{mem: make([]byte, largeBuffer)} }
	return p
}

func (p *pool) forReading() *buffer { return p.large.Get().(*buffer) }

// shrunk moves a short frame into a small buffer, so that a queue full of
// acknowledgements does not hold 64 KiB for each. It returns the buffer to keep; b is
// the caller's again when it is another one.
func (p *pool) shrunk(b *buffer) *buffer {
	if len(b.data) > smallBuffer {
		return b
	}
	s := p.small.Get().(*buffer)
	s.data, s.offset = s.mem[:len(b.data)], b.offset
	copy(s.data, b.data)
	return s
}

func (p *pool) free(b *buffer) {
	b.data = nil
	if len(b.mem) == smallBuffer {
		p.small.Put(b)
		return
	}
	p.large.Put(b)
}

// release is what each piece of a frame does at its end.
func (p *pool) release(b *buffer) {
	if b.users.Add(-1) == 0 {
		p.free(b)
	}
}
