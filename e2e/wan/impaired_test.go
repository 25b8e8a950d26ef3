package wan_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/e2e/wan/link"
	"github.com/causeway-mesh/causeway/e2e/wan/script"
)

// fetch reads size bytes of a pattern from east to west and says how long it took.
func (n *network) fetch(t *testing.T, size int) time.Duration {
	t.Helper()
	chunk := bytes.Repeat([]byte("causeway"), 8192)
	addr := n.serve(t, func(c net.Conn) {
		for sent := 0; sent < size; sent += len(chunk) {
			if _, err := c.Write(chunk); err != nil {
				return
			}
		}
	})
	c, err := n.dial(t.Context(), "west", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(3 * time.Minute))
	began, got := time.Now(), make([]byte, len(chunk))
	for read := 0; read < size; read += len(chunk) {
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, chunk) {
			t.Fatal("bytes changed under way")
		}
	}
	return time.Since(began)
}

func (n *network) set(t *testing.T, change string) {
	t.Helper()
	c, err := script.ParseChange(change)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Apply(c); err != nil {
		t.Fatal(err)
	}
}

func TestAStreamArrivesWholeThroughEveryImpairment(t *testing.T) {
	for change, count := range map[string]func(link.Counters) uint64{
		"loss 1%":                   func(c link.Counters) uint64 { return c.Lost },
		"loss 1% burst 3":           func(c link.Counters) uint64 { return c.Lost },
		"reorder 2% by 500us":       func(c link.Counters) uint64 { return c.Reordered },
		"duplicate 5%":              func(c link.Counters) uint64 { return c.Duplicated },
		"rate 200mbit queue 32KiB":  func(c link.Counters) uint64 { return c.Refused },
		"jitter 1ms exponential":    func(c link.Counters) uint64 { return c.Packets },
		"loss 1% reorder 2% by 1ms": func(c link.Counters) uint64 { return min(c.Lost, c.Reordered) },
	} {
		t.Run(change, func(t *testing.T) {
			each(t, func(t *testing.T, n *network) {
				n.set(t, "*>* delay 1ms")
				n.set(t, "east>west "+change)
				n.fetch(t, 8<<20)
				c, err := n.Counters("east", "west")
				if err != nil || count(c) == 0 {
					t.Errorf("nothing befell the packets: %+v %v", c, err)
				}
			})
		})
	}
}

func TestTheBandwidthIsWhatTheScriptSays(t *testing.T) {
	each(t, func(t *testing.T, n *network) {
		n.set(t, "*>* delay 1ms")
		n.set(t, "east>west rate 80mbit")
		const size = 8 << 20
		at := func(mbit int) time.Duration { return size * 8 * time.Microsecond / time.Duration(mbit) }
		// Headers, and what was lost to the full queue, come on top of the bytes.
		takes(t, at(82), at(50), func() time.Duration { return n.fetch(t, size) })
	})
}

func TestWhatOvertakesDoesNotWaitForWhatIsHeldBack(t *testing.T) {
	each(t, func(t *testing.T, n *network) {
		addr := n.serve(t, func(net.Conn) {})
		n.set(t, "west>east reorder 100% by 10s")
		ctx, cancel := context.WithTimeout(t.Context(), 4*oneWay)
		defer cancel()
		if c, err := n.dial(ctx, "west", addr); err == nil {
			c.Close()
			t.Fatal("a connection came about while its packets are held back")
		}
		n.set(t, "west>east clear")
		began := time.Now()
		c, err := n.dial(t.Context(), "west", addr)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if took := time.Since(began); took > 8*time.Second { // busy machines
			t.Errorf("a handshake took %s", took)
		}
	})
}

func TestAScriptPlaysWhileTrafficFlows(t *testing.T) {
	n := newNetwork(t, false)
	addr := n.serve(t, func(c net.Conn) { _, _ = io.Copy(c, c) })
	s, err := script.Parse("at 50ms west>east down\nat 400ms west>east clear")
	if err != nil {
		t.Fatal(err)
	}
	down := make(chan struct{})
	played := make(chan error, 1)
	began := time.Now()
	go func() {
		played <- n.Play(t.Context(), s, func(e script.Event) {
			if e.At == 50*time.Millisecond {
				close(down)
			}
		})
	}()
	<-down
	c, err := n.dial(t.Context(), "west", addr) // its SYN is swallowed, its next one is not
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if at := time.Since(began); at < 400*time.Millisecond {
		t.Errorf("a connection came about through a black hole, at %s", at)
	}
	if err := <-played; err != nil {
		t.Error(err)
	}
}

func TestAScriptWithAnUnknownSiteChangesNothing(t *testing.T) {
	n := newNetwork(t, true)
	s, err := script.Parse("at 0s east>west down\nat 1h east>north down")
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Play(t.Context(), s, nil); err == nil {
		t.Error("no error")
	}
	if got, _ := n.Settings("east", "west"); got.Down {
		t.Error("the first change was made")
	}
}

func TestPlayEndsWithItsContext(t *testing.T) {
	n := newNetwork(t, true)
	s, err := script.Parse("at 1h east>west down")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Play(ctx, s, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestStatusShowsEveryDirection(t *testing.T) {
	n := newNetwork(t, true)
	n.set(t, "east>west loss 20%")
	got := n.Status()
	if len(got) != 2 || got[0].String() != "east->west" || got[0].Settings.Loss != 0.2 || got[0].Settings.Delay != oneWay || got[1].Settings.Loss != 0 {
		t.Errorf("%+v", got)
	}
}
