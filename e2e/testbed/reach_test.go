package testbed

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/causeway-mesh/causeway/e2e/wan"
)

// nameOnHost is a name that TestMain gave to Enter.
const nameOnHost = "store.test"

// hostWith is the host as Enter gives it, but that the test's own process dials: its
// namespace stands for the host's.
func hostWith(t *testing.T, dialable ...string) *Host {
	t.Helper()
	asks, theirs, err := dialSocket()
	if err != nil {
		t.Fatal(err)
	}
	h := *host
	h.dialable = dialable
	if h.dialer, err = fileUnixConn(theirs); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); serveDials(asks, dialable) }()
	t.Cleanup(func() { h.dialer.Close(); <-ended; asks.Close() })
	return &h
}

// echo answers each line with itself, at an address of the test's own namespace.
func echoTo(t *testing.T, addr string) string {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
	return l.Addr().String()
}

func says(t *testing.T, c net.Conn, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write([]byte("hello\n")); err != nil {
		t.Error(err)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || line != "hello\n" {
		t.Errorf("got %q, %v", line, err)
	}
}

func TestHostDialReachesWhatWasGivenAndNothingElse(t *testing.T) {
	addr, other := echoTo(t, "127.0.0.1:0"), echoTo(t, "127.0.0.1:0")
	closed := "127.0.0.1:1"
	h := hostWith(t, addr, closed)
	c, err := h.Dial(timeout(t, 5*time.Second), addr)
	says(t, c, err)
	if _, err := h.Dial(t.Context(), other); err == nil || !strings.Contains(err.Error(), "was not given to Enter") {
		t.Errorf("dialling what was not given: %v", err)
	}
	if _, err := h.Dial(t.Context(), closed); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("dialling where nobody listens: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Dial(gone, addr); !errors.Is(err, context.Canceled) {
		t.Errorf("dialling with a context that has ended: %v", err)
	}
}

func TestReachKeepsTheHostsAddressAndTheDistance(t *testing.T) {
	loopback, byName := echoTo(t, "127.0.0.1:0"), echoTo(t, "127.77.0.2:0")
	_, port, _ := net.SplitHostPort(byName)
	elsewhere, named, again := "192.0.2.7:2379", nameOnHost+":"+port, strings.Replace(loopback, "127.0.0.1", "localhost", 1)
	w := newWorld(t, 1, func(_ *Config, d *Deps) { d.Host = hostWith(t, loopback, named, elsewhere, again) })
	// The last one is the first one, inside a cluster.
	for _, addr := range []string{loopback, named, elsewhere, again} {
		if err := w.Reach(addr); err != nil {
			t.Fatal(err)
		}
	}
	site := w.Clusters["us-east"].Site
	began := time.Now()
	c, err := site.Dial(timeout(t, 5*time.Second), "tcp", loopback)
	says(t, c, err)
	if took, rtt := time.Since(began), wan.DefaultMatrix().RoundTrip("store", "us-east"); took < 2*rtt {
		t.Errorf("connecting and one answer took %s; the round trip to the store's site alone is %s", took, rtt)
	}
	c, err = site.Dial(timeout(t, 5*time.Second), "tcp", "127.77.0.2:"+port)
	says(t, c, err)
	resolver := net.Resolver{PreferGo: true}
	if got, err := resolver.LookupHost(t.Context(), nameOnHost); err != nil || len(got) != 1 || got[0] != "127.77.0.2" {
		t.Errorf("%s resolves to %v, %v", nameOnHost, got, err)
	}
	// Nobody answers there, but the address is the cluster's own.
	if c, err := site.Dial(timeout(t, 5*time.Second), "tcp", elsewhere); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
}

func TestReachRefusesTheClustersOwnAddresses(t *testing.T) {
	const addr = "10.10.7.7:2379"
	w := newWorld(t, 1, func(_ *Config, d *Deps) { d.Host = hostWith(t, addr) })
	if err := w.Reach(addr); err == nil || !strings.Contains(err.Error(), "give the host's name instead") {
		t.Errorf("reaching one of the clusters' addresses: %v", err)
	}
	if err := w.Reach("192.0.2.7:1"); err == nil || !strings.Contains(err.Error(), "was not given to Enter") {
		t.Errorf("reaching what was not given to Enter: %v", err)
	}
}

func TestReachLaysNothingOverTheHostsOwnFiles(t *testing.T) {
	const addr = nameOnHost + ":2379"
	w := newWorld(t, 1, func(_ *Config, d *Deps) { d.Host = hostWith(t, addr); d.Host.ownMounts = false })
	if err := w.Reach(addr); err == nil || !strings.Contains(err.Error(), "no mount namespace of its own") {
		t.Errorf("reaching a name without a mount namespace: %v", err)
	}
}
