package wan_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/causeway-mesh/causeway/e2e/wan"
	"github.com/causeway-mesh/causeway/e2e/wan/netns"
)

func space(t *testing.T) *netns.NS {
	t.Helper()
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ns.Close)
	return ns
}

// attach makes a node with an address of its own and a default route to the host, as a
// container on a Docker network.
func attach(host, node *netns.NS, name, prefix string) error {
	of := func(last string) *netlink.Addr {
		a, _ := netlink.ParseAddr(prefix + last + "/16")
		return a
	}
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "eth0", PeerNamespace: netlink.NsFd(node.FD())}
	return errors.Join(
		host.Do(func() error {
			if err := netlink.LinkAdd(pair); err != nil {
				return err
			}
			return errors.Join(netlink.AddrAdd(pair, of(".0.1")), netlink.LinkSetUp(pair))
		}),
		node.Do(func() error {
			eth0, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			return errors.Join(netlink.AddrAdd(eth0, of(".7.7")), netlink.LinkSetUp(eth0),
				netlink.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: net.ParseIP(prefix + ".0.1")}))
		}))
}

func rules(t *testing.T, host *netns.NS) (out []string) {
	t.Helper()
	err := host.Do(func() error {
		list, err := netlink.RuleList(netlink.FAMILY_V4)
		for _, r := range list {
			if r.IifName != "" {
				out = append(out, r.IifName)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestNetworksOfOneNamespaceAreJoined is what kind clusters are given: two networks of
// one host, a node on each.
func TestNetworksOfOneNamespaceAreJoined(t *testing.T) {
	if !wan.Supported() {
		t.Log("TUN is closed to this user: there is nothing to join")
		_, err := wan.NewRouted(routedConfig(), wan.DefaultRouted())
		if err == nil {
			t.Error("no error")
		}
		return
	}
	host := space(t)
	n := &network{spaces: map[wan.Site]*netns.NS{"east": space(t), "west": space(t)}}
	if err := errors.Join(attach(host, n.spaces["east"], "bre", "10.1"), attach(host, n.spaces["west"], "brw", "10.2")); err != nil {
		t.Fatal(err)
	}
	r := wan.DefaultRouted()
	r.NS, r.Firewall = host, false
	w, err := wan.NewRouted(routedConfig(), r)
	if err != nil {
		t.Fatal(err)
	}
	n.WAN = w
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	stop := func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	n.connects(t, 2*oneWay, 2*oneWay+30*time.Millisecond)
	n.set(t, "east<>west delay 1ms loss 1% reorder 1% by 1ms")
	n.fetch(t, 8<<20)
	if c, _ := n.Counters("east", "west"); c.Lost == 0 || c.Reordered == 0 {
		t.Errorf("nothing befell the packets: %+v", c)
	}
	if got := rules(t, host); len(got) != 2 {
		t.Errorf("rules from %v", got)
	}
	stop()
	if got := rules(t, host); len(got) != 0 {
		t.Errorf("the rules from %v are left", got)
	}
}

func routedConfig() wan.Config {
	cfg := wan.DefaultConfig()
	cfg.Matrix = wan.Matrix{{From: "east", To: "west"}: 2 * oneWay}
	cfg.Sites = map[wan.Site]netip.Prefix{"east": netip.MustParsePrefix("10.1.0.0/16"), "west": netip.MustParsePrefix("10.2.0.0/16")}
	return cfg
}

// connects says how long a handshake from west to east takes.
func (n *network) connects(t *testing.T, least, most time.Duration) {
	t.Helper()
	addr := n.serve(t, func(net.Conn) {})
	began := time.Now()
	c, err := n.dial(t.Context(), "west", addr)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if took := time.Since(began); took < least || took > most {
		t.Errorf("a handshake took %s, want %s to %s", took, least, most)
	}
}

func TestASiteWithoutADeviceIsTold(t *testing.T) {
	r := wan.DefaultRouted()
	r.NS = space(t)
	if _, err := wan.NewRouted(routedConfig(), r); err == nil || wan.Supported() && !strings.Contains(err.Error(), "site east: no device has an address of 10.1.0.0/16") {
		t.Errorf("%v", err)
	}
}
