package wan

import (
	"encoding/binary"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/causeway-mesh/causeway/e2e/wan/netns"
)

const ethernetHeader = 14

// openVeth is for users to whom TUN is closed: in a user namespace of their own they
// may still make veth pairs and read them with packet sockets. The router's end lies
// in the router's namespace, where nothing forwards but us.
func openVeth(router *netns.NS) func(*netns.NS, Site, Config) (*port, error) {
	return func(ns *netns.NS, site Site, cfg Config) (*port, error) {
		if router == nil {
			return nil, fmt.Errorf("%s is closed to this user and there is no router namespace", tunPath)
		}
		p := &port{site: site, offset: virtioHeader + ethernetHeader}
		end := vethName(cfg, site)
		if err := router.Do(func() error { return vethPair(ns, end, cfg.MTU) }); err != nil {
			return nil, err
		}
		var there net.HardwareAddr
		if err := ns.Do(func() error { return vethPlumb(cfg, site, &there) }); err != nil {
			return nil, err
		}
		return p, router.Do(func() error { return packetSocket(p, end, there) })
	}
}

// vethName is the router's end of a site's link; names are short (15 bytes), so they
// are numbered in the order of the sites.
func vethName(cfg Config, site Site) string {
	n := 0
	for s := range cfg.Sites {
		if s < site {
			n++
		}
	}
	return fmt.Sprintf("cwwan%d", n)
}

func vethPair(ns *netns.NS, end string, mtu int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = end, mtu
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: Device, PeerNamespace: netlink.NsFd(ns.FD())}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("making the veth pair %s: %w", end, err)
	}
	link, err := netlink.LinkByName(end)
	if err != nil {
		return fmt.Errorf("finding %s: %w", end, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bringing %s up: %w", end, err)
	}
	return nil
}

// vethPlumb gives the site its routes. There is no ARP on the link: whatever comes
// out of it is the router's.
func vethPlumb(cfg Config, site Site, mac *net.HardwareAddr) error {
	link, err := netlink.LinkByName(Device)
	if err != nil {
		return fmt.Errorf("finding %s: %w", Device, err)
	}
	if err := netlink.LinkSetARPOff(link); err != nil {
		return fmt.Errorf("turning ARP off on %s: %w", Device, err)
	}
	*mac = link.Attrs().HardwareAddr
	return plumb(cfg, site)
}

// packetSocket opens the router's end. Only IPv4 that comes from the site arrives
// (ETH_P_IP is not shown what we send ourselves).
func packetSocket(p *port, end string, there net.HardwareAddr) error {
	link, err := netlink.LinkByName(end)
	if err != nil {
		return fmt.Errorf("finding %s: %w", end, err)
	}
	proto := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_IP))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a packet socket: %w", err)
	}
	if err := p.open(fd, end); err != nil {
		return err
	}
	for opt, v := range map[int]int{unix.PACKET_VNET_HDR: 1, unix.PACKET_IGNORE_OUTGOING: 1} {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, opt, v); err != nil {
			p.file.Close()
			return fmt.Errorf("setting option %d of the packet socket: %w", opt, err)
		}
	}
	// As much as the kernel allows; a burst beyond it is a full router.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 16<<20)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 16<<20)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: link.Attrs().Index}); err != nil {
		p.file.Close()
		return fmt.Errorf("binding the packet socket to %s: %w", end, err)
	}
	p.link = append(append(append([]byte(nil), there...), link.Attrs().HardwareAddr...), 0x08, 0x00)
	return nil
}
