package wan_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
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

// kernel reads a setting of the host's IPv4, or sets it first.
func kernel(t *testing.T, host *netns.NS, name, set string) (got string) {
	t.Helper()
	path := "/proc/sys/net/ipv4/" + name
	err := host.Do(func() error {
		if set != "" {
			if err := os.WriteFile(path, []byte(set), 0o644); err != nil {
				return err
			}
		}
		b, err := os.ReadFile(path)
		got = strings.TrimSpace(string(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// likeDocker gives the host the iptables rules that Docker has; false where there is no
// iptables.
func likeDocker(t *testing.T, host *netns.NS) bool {
	t.Helper()
	if _, err := exec.LookPath("iptables"); err != nil {
		t.Log("without Docker's rules: ", err)
		return false
	}
	for _, rule := range []string{
		"-N DOCKER-USER", "-P FORWARD DROP", "-A FORWARD -j DOCKER-USER",
		"-A FORWARD -i bre ! -o bre -j ACCEPT", "-A FORWARD -i brw ! -o brw -j ACCEPT",
		"-t nat -A POSTROUTING -s 10.1.0.0/16 ! -o bre -j MASQUERADE", "-t nat -A POSTROUTING -s 10.2.0.0/16 ! -o brw -j MASQUERADE",
	} {
		err := host.Do(func() error {
			out, err := exec.Command("iptables", strings.Fields(rule)...).CombinedOutput()
			if err != nil {
				return fmt.Errorf("iptables %s: %w: %s", rule, err, out)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return true
}

// exempt are the iptables rules of the host that accept what the network carries.
func exempt(t *testing.T, host *netns.NS) int {
	t.Helper()
	n := 0
	err := host.Do(func() error {
		for _, table := range []string{"filter", "nat"} {
			out, err := exec.Command("iptables", "-t", table, "-S").CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			n += strings.Count(string(out), "-i wan0 -j ACCEPT") + strings.Count(string(out), "-A POSTROUTING -s 10.1.0.0/16 -d 10.2.0.0/16 -j ACCEPT")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
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
	kernel(t, host, "ip_forward", "0")
	kernel(t, host, "conf/all/rp_filter", "1") // strict, as many distributions have it
	r := wan.DefaultRouted()
	r.NS, r.Firewall = host, likeDocker(t, host)
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
	if r.Firewall && exempt(t, host) != 2 {
		t.Errorf("%d rules of ours let packets pass", exempt(t, host))
	}
	stop()
	if r.Firewall && exempt(t, host) != 0 {
		t.Errorf("%d rules of ours are left", exempt(t, host))
	}
	if got := rules(t, host); len(got) != 0 {
		t.Errorf("the rules from %v are left", got)
	}
	if got := kernel(t, host, "ip_forward", ""); got != "0" {
		t.Errorf("ip_forward is %s and was 0", got)
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
	from := make(chan string, 1)
	addr := n.serve(t, func(c net.Conn) { from <- c.RemoteAddr().String() })
	takes(t, least, most, func() time.Duration {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c, err := n.dial(ctx, "west", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		took := time.Since(began)
		if got := <-from; !strings.HasPrefix(got, "10.2.7.7:") {
			t.Errorf("the client is seen as %s", got)
		}
		return took
	})
}

func TestASiteWithoutADeviceIsTold(t *testing.T) {
	r := wan.DefaultRouted()
	r.NS = space(t)
	if _, err := wan.NewRouted(routedConfig(), r); err == nil || wan.Supported() && !strings.Contains(err.Error(), "site east: no device has an address of 10.1.0.0/16") {
		t.Errorf("%v", err)
	}
}
