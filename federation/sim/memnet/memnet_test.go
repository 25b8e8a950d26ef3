package memnet

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const way50 = 50 * time.Millisecond

// inNet runs a test in a bubble with two sites, 50 ms apart, and a connection from a to b.
func inNet(t *testing.T, seed uint64, f func(t *testing.T, n *Net, a, b net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		n := New(seed, func(Site, Site) time.Duration { return way50 })
		defer n.Close()
		client, server := n.NewHost("a"), n.NewHost("b")
		n.Serve("b", server)
		a, err := client.Dial(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		b, err := server.Listener().Accept()
		if err != nil {
			t.Fatal(err)
		}
		f(t, n, a, b)
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func say(t *testing.T, c net.Conn, b ...byte) {
	t.Helper()
	_, err := c.Write(b)
	must(t, err)
}

// heard reads one byte and tells when.
func heard(t *testing.T, c net.Conn, want byte) time.Time {
	t.Helper()
	var b [1]byte
	_, err := io.ReadFull(c, b[:])
	must(t, err)
	if b[0] != want {
		t.Fatalf("read %d, want %d", b[0], want)
	}
	return time.Now()
}

func TestAStreamTakesOneWay(t *testing.T) {
	inNet(t, 1, func(t *testing.T, n *Net, a, b net.Conn) {
		began := time.Now()
		say(t, a, 1)
		if took := heard(t, b, 1).Sub(began); took != way50 {
			t.Errorf("took %s", took)
		}
		n.SetSlow("b", time.Second)
		began = time.Now()
		say(t, b, 2)
		if took := heard(t, a, 2).Sub(began); took != way50+time.Second {
			t.Errorf("a slow site's took %s", took)
		}
	})
}

func TestLossIsDelayAndKeepsOrder(t *testing.T) {
	inNet(t, 1, func(t *testing.T, n *Net, a, b net.Conn) {
		n.SetLoss(0.3)
		var times []time.Duration
		began := time.Now()
		for i := range byte(100) {
			say(t, a, i)
		}
		for i := range byte(100) {
			times = append(times, heard(t, b, i).Sub(began))
		}
		if !slices.IsSorted(times) || times[99] < rtoMin {
			t.Errorf("arrived after %v", times)
		}
	})
}

func TestEqualSeedsLoseTheSame(t *testing.T) {
	arrivals := func(seed uint64) (out []time.Duration) {
		inNet(t, seed, func(t *testing.T, n *Net, a, b net.Conn) {
			n.SetLoss(0.3)
			began := time.Now()
			for i := range byte(20) {
				say(t, a, i)
				out = append(out, heard(t, b, i).Sub(began))
			}
		})
		return out
	}
	if !slices.Equal(arrivals(3), arrivals(3)) {
		t.Error("one seed, two fates")
	}
	if slices.Equal(arrivals(3), arrivals(4)) {
		t.Error("two seeds, one fate")
	}
}

func TestACutHasADirectionAndLosesNothing(t *testing.T) {
	inNet(t, 1, func(t *testing.T, n *Net, a, b net.Conn) {
		n.SetCut("a", "b", true)
		say(t, a, 1)
		say(t, b, 2)
		heard(t, a, 2)
		must(t, b.SetReadDeadline(time.Now().Add(10*time.Second)))
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read through a cut: %v", err)
		}
		must(t, b.SetReadDeadline(time.Time{}))
		n.SetCut("a", "b", false)
		mended := time.Now()
		if took := heard(t, b, 1).Sub(mended); took > 30*time.Second {
			t.Errorf("the retransmission came after %s", took)
		}
	})
}

func TestAKilledHostSaysGoodbyeAndADarkOneDoesNot(t *testing.T) {
	for _, dark := range []bool{false, true} {
		inNet(t, 1, func(t *testing.T, n *Net, a, b net.Conn) {
			server := b.(*conn).host
			say(t, b, 1)
			if dark {
				n.Darken("b", server)
			} else {
				server.Kill()
			}
			must(t, a.SetReadDeadline(time.Now().Add(time.Minute)))
			got, err := io.ReadAll(a)
			if dark != errors.Is(err, os.ErrDeadlineExceeded) || !dark && (err != nil || len(got) != 1) {
				t.Errorf("dark %t: read %v, %v", dark, got, err)
			}
		})
	}
}

func TestDialsAreRefusedOrWait(t *testing.T) {
	inNet(t, 1, func(t *testing.T, n *Net, _, b net.Conn) {
		client := n.NewHost("a")
		if _, err := client.Dial(t.Context(), "c"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody serves: %v", err)
		}
		n.SetCut("b", "a", true)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := client.Dial(ctx, "b"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no answer comes back: %v", err)
		}
		n.SetCut("b", "a", false)
		b.(*conn).host.Kill()
		if _, err := client.Dial(t.Context(), "b"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("it is dead: %v", err)
		}
	})
}
