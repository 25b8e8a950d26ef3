package tunnel

import (
	"net"
	"testing"
)

func TestKernelCountsTheSegmentsOfAConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if got, known := countSegments(c); !known || got.sent != 1 || got.resent != 0 {
		t.Errorf("after one write: %+v, %t", got, known)
	}
	if _, known := countSegments(nil); known {
		t.Error("segments of something that is no TCP connection are known")
	}
}
