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

// tunOpen tells whether this user may open the TUN device at all.
func tunOpen() bool {
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
		fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("opening %s: %w", tunPath, err)
		}
		ifr, err := unix.NewIfreq(Device)
		if err != nil {
			return err
		}
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
			unix.Close(fd)
			return fmt.Errorf("making device %s: %w", Device, err)
		}
		const offloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
		if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads); err != nil {
			unix.Close(fd)
			return fmt.Errorf("setting offloads of %s: %w", Device, err)
		}
		if err := p.open(fd, tunPath); err != nil {
			return err
		}
		if err := plumb(cfg, site); err != nil {
			p.file.Close()
			return err
		}
		return nil
	})
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
	dev, err := netlink.LinkByName(Device)
	if err != nil {
		return fmt.Errorf("finding %s: %w", Device, err)
	}
	if err := netlink.LinkSetMTU(dev, cfg.MTU); err != nil {
		return fmt.Errorf("setting the mtu of %s: %w", Device, err)
	}
	if err := netlink.LinkSetUp(dev); err != nil {
		return fmt.Errorf("bringing %s up: %w", Device, err)
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

// firstAddress is the prefix's x.x.0.1, from which a site dials.
func firstAddress(p netip.Prefix) netip.Addr { return p.Masked().Addr().Next() }

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}
