package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// hostDialTimeout bounds one dial on the host's network.
const hostDialTimeout = 5 * time.Second

// maxDialMessage bounds an address, and what is said of a failure, in bytes.
const maxDialMessage = 1024

// Dial connects to one of Outside.Dial's addresses from the host's own network: the
// outer process dials, and hands the socket in.
//
// A request is one message on the dialer's socket: the address, and one end of a pair
// of sockets of its own for the answer. So requests need no order and no numbers, and
// who gives up just closes his end.
func (h *Host) Dial(ctx context.Context, addr string) (net.Conn, error) {
	answer, theirs, err := dialSocket()
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	stop := context.AfterFunc(ctx, func() { answer.Close() })
	defer stop()
	_, _, err = h.dialer.WriteMsgUnix([]byte(addr), unix.UnixRights(int(theirs.Fd())), nil)
	theirs.Close()
	if err != nil {
		return nil, fmt.Errorf("asking for a connection to %s on the host: %w", addr, err)
	}
	said, socket, err := receive(answer)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("waiting for a connection to %s on the host: %w", addr, err)
	case socket == nil:
		return nil, errors.New(said)
	}
	defer socket.Close()
	return net.FileConn(socket)
}

// serveDials answers the inner process until it has ended.
func serveDials(asks *net.UnixConn, allowed []string) {
	for {
		addr, answer, err := receive(asks)
		if err != nil {
			return
		}
		if answer != nil {
			go answerDial(answer, addr, allowed)
		}
	}
}

func answerDial(to *os.File, addr string, allowed []string) {
	answer, err := fileUnixConn(to)
	if err != nil {
		return
	}
	defer answer.Close()
	if !slices.Contains(allowed, addr) {
		_, _ = answer.Write([]byte(addr + " was not given to Enter"))
		return
	}
	conn, err := net.DialTimeout("tcp", addr, hostDialTimeout)
	if err != nil {
		_, _ = answer.Write([]byte(err.Error()[:min(len(err.Error()), maxDialMessage)]))
		return
	}
	defer conn.Close()
	socket, err := conn.(*net.TCPConn).File()
	if err != nil {
		return
	}
	defer socket.Close()
	_, _, _ = answer.WriteMsgUnix([]byte{0}, unix.UnixRights(int(socket.Fd())), nil)
}

// receive reads one message and the file that came with it, nil if none did.
func receive(c *net.UnixConn) (string, *os.File, error) {
	text, rights := make([]byte, maxDialMessage), make([]byte, unix.CmsgSpace(4))
	n, m, _, _, err := c.ReadMsgUnix(text, rights)
	if err != nil {
		return "", nil, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:m])
	if err != nil || len(messages) == 0 {
		return string(text[:n]), nil, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return string(text[:n]), nil, err
	}
	unix.CloseOnExec(fds[0])
	return string(text[:n]), os.NewFile(uintptr(fds[0]), "handed over"), nil
}

// dialSocket makes a pair of sockets that keep messages apart: our end, and the one
// to hand over.
func dialSocket() (ours *net.UnixConn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a pair of sockets: %w", err)
	}
	theirs = os.NewFile(uintptr(fds[1]), "dialer")
	if ours, err = unixConn(fds[0], "dialer"); err != nil {
		theirs.Close()
	}
	return ours, theirs, err
}

func unixConn(fd int, name string) (*net.UnixConn, error) {
	return fileUnixConn(os.NewFile(uintptr(fd), name))
}

// fileUnixConn takes f over.
func fileUnixConn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("taking over the socket %s: %w", f.Name(), err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("the socket %s is no unix socket", f.Name())
	}
	return u, nil
}
