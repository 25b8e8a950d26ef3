package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Reach makes an address of the host's network, one of Outside.Dial, reachable in every
// cluster by the very host and port that it has outside, so that what a client there
// verifies is the name that it was given.
//
// In a cluster the host means the cluster itself: an IP address becomes a local one, a
// name stands in a hosts file. What listens there passes bytes on, over the wide-area
// network, to the store's site, and that to the host: the store keeps its distance.
func (w *World) Reach(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("reaching %s: %w", addr, err)
	}
	n := len(w.reached) + 1 // the last byte of its addresses
	if !slices.Contains(w.host.dialable, addr) {
		return fmt.Errorf("reaching %s: it was not given to Enter", addr)
	}
	local, err := w.localAddr(host, n)
	if err != nil {
		return fmt.Errorf("reaching %s: %w", addr, err)
	}
	inside := net.JoinHostPort(local.String(), port)
	if w.reached[inside] {
		return nil // localhost beside 127.0.0.1
	}
	if w.reached == nil {
		w.reached = map[string]bool{}
	}
	w.reached[inside] = true
	relay := net.JoinHostPort(w.Store.RelayAddr(n).String(), port)
	if err := w.relay(w.Store, relay, func(ctx context.Context) (net.Conn, error) { return w.host.Dial(ctx, addr) }); err != nil {
		return err
	}
	for _, c := range w.Clusters {
		if err := c.Site.own(local); err != nil {
			return fmt.Errorf("giving %s to cluster %s: %w", local, c.Name, err)
		}
		if err := w.relay(c.Site, inside, c.Site.dialer(relay)); err != nil {
			return err
		}
	}
	return nil
}

// relay listens inside the site until the world ends.
func (w *World) relay(s *Site, addr string, dial dialer) error {
	l, err := s.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listening at %s in site %s: %w", addr, s.Name, err)
	}
	w.relays = append(w.relays, l)
	go proxy(l, dial)
	return nil
}

// localAddr is what the host is inside a cluster.
func (w *World) localAddr(host string, n int) (netip.Addr, error) {
	if host == "localhost" {
		return netip.MustParseAddr("127.0.0.1"), nil
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		a = netip.AddrFrom4([4]byte{127, 77, 0, byte(n)})
		return a, w.resolve(host, a)
	}
	for _, s := range w.sites {
		if s.Prefix.Contains(a) {
			return a, fmt.Errorf("the test clusters have the addresses %s for themselves, and %s is one of them: give the host's name instead", s.Prefix, a)
		}
	}
	return a, nil
}

// own makes an address one of the site's, if it is not.
func (s *Site) own(a netip.Addr) error {
	if a.IsLoopback() {
		return nil
	}
	return s.ns.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		mask := net.CIDRMask(a.BitLen(), a.BitLen())
		return netlink.AddrReplace(lo, &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: mask}})
	})
}

// resolve gives the host an address for this program and all that it starts, in a
// hosts file laid over /etc/hosts: in the mount namespace of our own that Enter made
// because a name was given to it.
func (w *World) resolve(host string, a netip.Addr) error {
	if !w.host.ownMounts {
		return errors.New("this program has no mount namespace of its own")
	}
	if w.hosts == nil {
		w.hosts = []string{"127.0.0.1 localhost", "::1 localhost"}
	}
	path, first := filepath.Join(w.Dir, "hosts"), len(w.hosts) == 2
	w.hosts = append(w.hosts, a.String()+" "+host)
	if err := os.WriteFile(path, []byte(strings.Join(w.hosts, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	if !first {
		return nil // written in place, so what is mounted has it
	}
	if err := unix.Mount(path, "/etc/hosts", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("laying %s over /etc/hosts: %w; give the host's IP address instead", path, err)
	}
	return nil
}

// hasNames tells whether Reach will need a hosts file for one of the addresses.
func hasNames(addrs []string) bool {
	return slices.ContainsFunc(addrs, func(addr string) bool {
		host, _, err := net.SplitHostPort(addr)
		if err != nil || host == "localhost" {
			return false
		}
		_, err = netip.ParseAddr(host)
		return err != nil
	})
}
