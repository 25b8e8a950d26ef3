package wan

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"

	"github.com/causeway-mesh/causeway/e2e/wan/netns"
)

// Routed tells how to join sites that are networks of one namespace, such as one Docker
// network for each kind cluster. What goes from one of them to another is sent through
// one TUN device by policy routing; nothing else changes its way.
type Routed struct {
	// NS is the namespace; nil is the process's own.
	NS *netns.NS
	// Device is the TUN device's name. Default "wan0".
	Device string
	// Table is the routing table that leads into it, Priority that of the rules which
	// look it up. Defaults 100 and 1000.
	Table, Priority int
	// Firewall lets the packets past Docker's iptables rules: forwarding from the
	// device, and no masquerade between the sites. Needs iptables.
	Firewall bool
}

// DefaultRouted is for Docker.
func DefaultRouted() Routed {
	return Routed{Device: Device, Table: 100, Priority: 1000, Firewall: true}
}

// NewRouted makes the device, the rules and the routes. It needs CAP_NET_ADMIN in the
// namespace. Close takes everything back, IPv4 forwarding too where it was off.
func NewRouted(cfg Config, r Routed) (*WAN, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configuring the network: %w", err)
	}
	w := empty(cfg, "routed tun")
	in := func(f func() error) error { return f() }
	if r.NS != nil {
		in = r.NS.Do
	}
	shared := &port{offset: virtioHeader}
	if err := in(func() error { return shared.makeTUN(r.Device) }); err != nil {
		return nil, err
	}
	for site := range cfg.Sites {
		w.ports[site] = shared
	}
	if err := in(func() error { return w.route(r, in) }); err != nil {
		w.Close()
		return nil, err
	}
	w.connect()
	return w, nil
}

// inside runs f in the namespace that is routed.
type inside func(f func() error) error

func (w *WAN) route(r Routed, in inside) error {
	dev, err := bringUp(r.Device, w.cfg.MTU)
	if err != nil {
		return err
	}
	all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	way := &netlink.Route{Dst: ipNet(all), LinkIndex: dev.Attrs().Index, Table: r.Table, Scope: netlink.SCOPE_LINK}
	if err := netlink.RouteReplace(way); err != nil { // goes with the device
		return fmt.Errorf("adding the route into %s to table %d: %w", r.Device, r.Table, err)
	}
	bridges, err := bridgesOf(w.cfg.Sites)
	if err != nil {
		return err
	}
	for from, bridge := range bridges {
		for to, prefix := range w.cfg.Sites {
			if to == from {
				continue
			}
			if err := w.rule(r, in, bridge, prefix); err != nil {
				return err
			}
		}
	}
	if err := w.forwarding(in); err != nil {
		return err
	}
	if r.Firewall {
		return w.firewall(r.Device, in)
	}
	return nil
}

// rule sends what comes from a bridge to another site's prefix to the table.
func (w *WAN) rule(r Routed, in inside, bridge string, prefix netip.Prefix) error {
	rule := netlink.NewRule()
	rule.IifName, rule.Dst, rule.Table, rule.Priority = bridge, ipNet(prefix), r.Table, r.Priority
	if err := netlink.RuleAdd(rule); err != nil {
		return fmt.Errorf("adding the rule from %s to %s: %w", bridge, prefix, err)
	}
	w.undo = append(w.undo, func() { _ = in(func() error { return netlink.RuleDel(rule) }) })
	return nil
}

// bridgesOf finds the device of each site: the one that has an address of its prefix.
func bridgesOf(sites map[Site]netip.Prefix) (map[Site]string, error) {
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	out := map[Site]string{}
	for _, a := range addrs {
		ip, _ := netip.AddrFromSlice(a.IP.To4())
		for site, prefix := range sites {
			if !prefix.Contains(ip) {
				continue
			}
			link, err := netlink.LinkByIndex(a.LinkIndex)
			if err != nil {
				return nil, fmt.Errorf("finding the device of %s: %w", ip, err)
			}
			out[site] = link.Attrs().Name
		}
	}
	var errs []error
	for site, prefix := range sites {
		if out[site] == "" {
			errs = append(errs, fmt.Errorf("site %s: no device has an address of %s", site, prefix))
		}
	}
	return out, errors.Join(errs...)
}

const forwarding = "/proc/sys/net/ipv4/ip_forward"

// forwarding lets the kernel forward. The check of return paths may stay as it is, strict
// too: seen from the device that a packet leaves by, the rules lead back to ours.
func (w *WAN) forwarding(in inside) error {
	old, err := os.ReadFile(forwarding)
	if err != nil {
		return fmt.Errorf("reading whether the kernel forwards: %w", err)
	}
	if old = bytes.TrimSpace(old); string(old) == "1" {
		return nil
	}
	if err := os.WriteFile(forwarding, []byte("1"), 0o644); err != nil {
		return fmt.Errorf("making the kernel forward: %w", err)
	}
	w.undo = append(w.undo, func() { _ = in(func() error { return os.WriteFile(forwarding, old, 0o644) }) })
	return nil
}
