package wan

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/causeway-mesh/causeway/e2e/wan/netns"
)

// Device is the name of the wide-area device inside a site.
const Device = "wan0"

const tunPath = "/dev/net/tun"

// Supported tells whether this user may open the TUN device at all. Without it the sites
// of New are joined by veth pairs, and NewRouted fails.
func Supported() bool {
	f, err := os.OpenFile(tunPath, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// openTUN makes a TUN device in the site's namespace and keeps its file here.
func openTUN(ns *netns.NS, site Site, cfg Config) (*port, error) {
	p := &port{site: site, offset: virtioHeader}
	return p, ns.Do(func() error {
		if err := p.makeTUN(Device); err != nil {
			return err
		}
		if err := plumb(cfg, site); err != nil {
			p.file.Close()
			return err
		}
		return nil
	})
}

// makeTUN makes a device in the thread's namespace. It goes when the file is closed.
func (p *port) makeTUN(name string) error {
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("opening %s: %w", tunPath, err)
	}
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("naming a device %q: %w", name, err)
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		unix.Close(fd)
		return fmt.Errorf("making device %s: %w", name, err)
	}
	const offloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads); err != nil {
		unix.Close(fd)
		return fmt.Errorf("setting offloads of %s: %w", name, err)
	}
	return p.open(fd, tunPath)
}

// plumb brings the site's devices up and gives it its prefix: every address of the
// prefix is local (so a process may listen on any), the rest of the world lies
// behind wan0.
func plumb(cfg Config, site Site) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bringing lo up: %w", err)
	}
	prefix := cfg.Sites[site]
	first := firstAddress(prefix)
	if err := netlink.AddrAdd(lo, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(first, 32))}); err != nil {
		return fmt.Errorf("adding address %s: %w", first, err)
	}
	local := &netlink.Route{
		Dst: ipNet(prefix), LinkIndex: lo.Attrs().Index, Type: unix.RTN_LOCAL,
		Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST,
	}
	if err := netlink.RouteReplace(local); err != nil {
		return fmt.Errorf("making %s local: %w", prefix, err)
	}
	dev, err := bringUp(Device, cfg.MTU)
	if err != nil {
		return err
	}
	for other, p := range cfg.Sites {
		if other == site {
			continue
		}
		r := &netlink.Route{Dst: ipNet(p), LinkIndex: dev.Attrs().Index, Scope: netlink.SCOPE_LINK, Src: first.AsSlice()}
		if err := netlink.RouteReplace(r); err != nil {
			return fmt.Errorf("adding the route to %s: %w", p, err)
		}
	}
	return nil
}

// bringUp finds a device of the thread's namespace and brings it up.
func bringUp(name string, mtu int) (netlink.Link, error) {
	dev, err := netlink.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", name, err)
	}
	if err := netlink.LinkSetMTU(dev, mtu); err != nil {
		return nil, fmt.Errorf("setting the mtu of %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(dev); err != nil {
		return nil, fmt.Errorf("bringing %s up: %w", name, err)
	}
	return dev, nil
}

// firstAddress is the prefix's x.x.0.1, from which a site dials.
func firstAddress(p netip.Prefix) netip.Addr { return p.Masked().Addr().Next() }

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}
