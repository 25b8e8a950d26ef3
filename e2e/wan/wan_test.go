package wan_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/e2e/wan"
	"github.com/causeway-mesh/causeway/e2e/wan/netns"
)

const oneWay = 20 * time.Millisecond

type network struct {
	*wan.WAN
	spaces map[wan.Site]*netns.NS
}

func (n *network) dial(ctx context.Context, site wan.Site, addr string) (conn net.Conn, err error) {
	var d net.Dialer
	err = n.spaces[site].Do(func() error { conn, err = d.DialContext(ctx, "tcp", addr); return err })
	return conn, err
}

// serve accepts on east's address and gives every connection to handle.
func (n *network) serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	var l net.Listener
	err := n.spaces["east"].Do(func() (err error) { l, err = net.Listen("tcp", "10.1.7.7:0"); return err })
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			handle(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// each runs the test over both kinds of device that this user may open.
func each(t *testing.T, test func(*testing.T, *network)) {
	for _, onlyPackets := range []bool{false, true} {
		n := newNetwork(t, onlyPackets)
		t.Run(n.Kind(), func(t *testing.T) { test(t, n) })
	}
}

func newNetwork(t *testing.T, onlyPackets bool) *network {
	t.Helper()
	n := &network{spaces: map[wan.Site]*netns.NS{}}
	space := func() *netns.NS {
		ns, err := netns.New()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(ns.Close)
		return ns
	}
	n.spaces["east"], n.spaces["west"] = space(), space()
	cfg := wan.DefaultConfig()
	cfg.Matrix = wan.Matrix{{From: "east", To: "west"}: 2 * oneWay}
	cfg.Sites = map[wan.Site]netip.Prefix{"east": netip.MustParsePrefix("10.1.0.0/16"), "west": netip.MustParsePrefix("10.2.0.0/16")}
	w, err := wan.New(cfg, wan.Deps{Sites: n.spaces, Router: space(), OnlyPackets: onlyPackets})
	if err != nil {
		t.Fatal(err)
	}
	n.WAN = w
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return n
}

// takes measures until once has taken no longer than most: a busy machine needs several
// goes. None may take less than least.
func takes(t *testing.T, least, most time.Duration, once func() time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		took := once()
		if took >= least && took <= most {
			return
		}
		if took < least || time.Now().After(deadline) {
			t.Errorf("it took %s, want %s to %s", took, least, most)
			return
		}
	}
}

func TestRoundTripIsTheMatrix(t *testing.T) {
	each(t, func(t *testing.T, n *network) {
		addr := n.serve(t, func(c net.Conn) { _, _ = io.Copy(c, c) })
		takes(t, 2*oneWay, 2*oneWay+30*time.Millisecond, func() time.Duration {
			began := time.Now()
			c, err := n.dial(t.Context(), "west", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			took := time.Since(began)
			if host, _, _ := net.SplitHostPort(c.LocalAddr().String()); host != "10.2.0.1" {
				t.Errorf("the client dials from %s", host)
			}
			return took
		})
	})
}

func TestDropIsSilentAndEnds(t *testing.T) {
	each(t, func(t *testing.T, n *network) {
		addr := n.serve(t, func(c net.Conn) { _, _ = io.Copy(c, c) })
		if err := n.Isolate("east", true); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 8*oneWay)
		defer cancel()
		if c, err := n.dial(ctx, "west", addr); !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dialing into a black hole: %v %v", c, err)
		}
		got, _ := n.Counters("west", "east")
		for deadline := time.Now().Add(30 * time.Second); got.Swallowed == 0 && time.Now().Before(deadline); {
			runtime.Gosched() // the SYN has left; a busy machine has not read it yet
			got, _ = n.Counters("west", "east")
		}
		if got.Swallowed == 0 || got.Packets != 0 {
			t.Errorf("counters of the black hole: %+v", got)
		}
		if err := n.Isolate("east", false); err != nil {
			t.Fatal(err)
		}
		c, err := n.dial(t.Context(), "west", addr)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
}

func TestBulkArrivesWholeAndFast(t *testing.T) {
	const size = 64 << 20
	each(t, func(t *testing.T, n *network) {
		if err := errors.Join(n.SetDelay("east", "west", time.Millisecond), n.SetDelay("west", "east", time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		chunk := bytes.Repeat([]byte("causeway"), 8192)
		addr := n.serve(t, func(c net.Conn) {
			for sent := 0; sent < size; sent += len(chunk) {
				if _, err := c.Write(chunk); err != nil {
					return
				}
			}
		})
		var captured atomic.Uint64
		n.Capture(func(p wan.Packet) {
			if s, ok := wan.ParseTCP(p.IP); ok && p.From == "east" {
				captured.Add(uint64(len(s.Payload)))
			}
		})
		defer n.Capture(nil)
		c, err := n.dial(t.Context(), "west", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		began, got := time.Now(), make([]byte, len(chunk))
		for read := 0; read < size; read += len(chunk) {
			if _, err := io.ReadFull(c, got); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, chunk) {
				t.Fatal("bytes changed under way")
			}
		}
		took := time.Since(began)
		t.Logf("%.0f Mbit/s", size*8/took.Seconds()/1e6)
		if captured.Load() < size {
			t.Errorf("captured %d bytes of payload, sent %d", captured.Load(), size)
		}
	})
}

func TestUnknownSitesAreErrors(t *testing.T) {
	n := newNetwork(t, true)
	for name, err := range map[string]error{
		"drop": n.SetDrop("east", "north", true), "delay": n.SetDelay("north", "east", 0),
		"isolate": n.Isolate("north", true), "negative delay": n.SetDelay("east", "west", -1),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
