package tunnel

import (
	"errors"
	"io"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// bufferLen holds one full DATA frame with its header.
const bufferLen = HeaderLen + MaxData

// buffers is shared by all tunnels: a buffer is held only while bytes are on the
// move. It is a cache, not state.
var buffers = sync.Pool{New: func() any { return new([bufferLen]byte) }}

func getBuffer() []byte  { return buffers.Get().(*[bufferLen]byte)[:] }
func putBuffer(b []byte) { buffers.Put((*[bufferLen]byte)(b[:bufferLen])) }

// reader returns a buffer with n payload bytes behind HeaderLen bytes of room. The
// caller gives the buffer back if it is not nil.
type reader func() (buf []byte, n int, err error)

func plainReader(r io.Reader) reader {
	return func() ([]byte, int, error) {
		buf := getBuffer()
		n, err := r.Read(buf[HeaderLen:])
		return buf, n, err
	}
}

// lazyReader waits until there is something to read before it takes a buffer, so
// that an idle connection holds none.
func lazyReader(c *net.TCPConn) (reader, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	return func() (buf []byte, n int, err error) {
		waitErr := raw.Read(func(fd uintptr) bool {
			b := getBuffer()
			for {
				n, err = unix.Read(int(fd), b[HeaderLen:])
				if !errors.Is(err, unix.EINTR) {
					break
				}
			}
			if errors.Is(err, unix.EAGAIN) {
				putBuffer(b)
				return false
			}
			buf = b
			return true
		})
		switch {
		case waitErr != nil:
			return nil, 0, waitErr
		case err != nil:
			return buf, 0, err
		case n == 0:
			return buf, 0, io.EOF
		}
		return buf, n, nil
	}, nil
}
