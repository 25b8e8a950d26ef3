package wan

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// port is an end of the network as the router sees it: one site's device, or one that
// all sites share.
type port struct {
	site   Site // empty: shared, the source address tells
	file   *os.File
	raw    syscall.RawConn // file's
	offset int             // bytes in front of the IP packet
	link   []byte          // link header for the way to the site; empty with TUN
}

func (p *port) String() string {
	if p.site == "" {
		return "the device that the sites share"
	}
	return "site " + string(p.site)
}

// open takes the device's file descriptor over.
func (p *port) open(fd int, name string) (err error) {
	p.file = os.NewFile(uintptr(fd), name)
	p.raw, err = p.file.SyscallConn()
	return err
}

// writer sends pieces of frames; it belongs to one goroutine.
type writer struct {
	head [maxHeaders]byte
	iov  [2][]byte
}

// write hands a piece to the port's site. An error means that the device is full or
// going away; a router drops then.
func (w *writer) write(p *port, b *buffer, first, count int) error {
	copy(b.data[virtioHeader:b.offset], p.link)
	if count == b.layout.shape.Count {
		_, err := p.file.Write(b.data)
		return err
	}
	w.iov[0], w.iov[1] = b.headers(w.head[:], first, count)
	var err error
	if waited := p.raw.Write(func(fd uintptr) bool {
		_, err = unix.Writev(int(fd), w.iov[:])
		return !errors.Is(err, unix.EAGAIN)
	}); waited != nil {
		return waited
	}
	return err
}
