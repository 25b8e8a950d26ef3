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
	info := tcpInfo(c)
	if info == nil || info.Unacked == 0 {
		return 0
	}
	return time.Duration(info.Last_ack_recv) * time.Millisecond
}

// countSegments are a connection's segments with data; false when they are not known.
func countSegments(c net.Conn) (segments, bool) {
	info := tcpInfo(c)
	if info == nil {
		return segments{}, false
	}
	return segments{sent: info.Data_segs_out, resent: info.Total_retrans}, true
}

// tcpInfo is what the kernel knows of a connection; nil if it is not one of TCP.
func tcpInfo(c net.Conn) *unix.TCPInfo {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	var info *unix.TCPInfo
	err = raw.Control(func(fd uintptr) {
		info, _ = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	if err != nil {
		return nil
	}
	return info
}
