package tunnel

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// unacknowledged is how long ago the peer's kernel has last acknowledged anything,
// while bytes of ours are on their way to it; 0 when there are none. A peer that does
// not read closes its window, and then nothing is on its way.
func unacknowledged(c net.Conn) time.Duration {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return 0
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0
	}
	var info *unix.TCPInfo
	err = raw.Control(func(fd uintptr) {
		info, _ = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	if err != nil || info == nil || info.Unacked == 0 {
		return 0
	}
	return time.Duration(info.Last_ack_recv) * time.Millisecond
}
