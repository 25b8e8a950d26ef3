package testbed

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"syscall"
	"time"

	"github.com/causeway-mesh/causeway/e2e/wan"
	"github.com/causeway-mesh/causeway/e2e/wan/netns"
)

// Site is one place on the network: a namespace in which every address of its prefix
// is local.
type Site struct {
	Name   wan.Site
	Prefix netip.Prefix
	ns     *netns.NS
}

// Addr is the site's address that ends in the two given bytes.
func (s *Site) Addr(third, fourth byte) netip.Addr {
	a := s.Prefix.Masked().Addr().As4()
	a[2], a[3] = third, fourth
	return netip.AddrFrom4(a)
}

// The plan of addresses within a site's /16.
func (s *Site) APIServerAddr() netip.Addr     { return s.Addr(0, 1) }
func (s *Site) GatewayAddr(n int) netip.Addr  { return s.Addr(1, byte(n)) } // n from 1
func (s *Site) OperatorAddr(n int) netip.Addr { return s.Addr(2, byte(n)) } // n from 1
func (s *Site) RelayAddr(n int) netip.Addr    { return s.Addr(3, byte(n)) } // n from 1
func (s *Site) PodAddr(n int) netip.Addr      { return s.Addr(100, byte(n)) }
func (s *Site) ClientAddr(n int) netip.Addr   { return s.Addr(200, byte(n)) }
func (s *Site) GatewayAddrPort(n int) string {
	return netip.AddrPortFrom(s.GatewayAddr(n), 15443).String()
}

// dialTimeout bounds a dial whose context has no deadline.
const dialTimeout = 10 * time.Second

// Dial connects from inside the site. The address is a literal one: there is no DNS.
func (s *Site) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return s.DialFrom(ctx, network, netip.Addr{}, addr)
}

// DialFrom is Dial from one of the site's addresses, such as ClientAddr.
func (s *Site) DialFrom(ctx context.Context, network string, from netip.Addr, addr string) (net.Conn, error) {
	if _, err := netip.ParseAddrPort(addr); err != nil {
		return nil, fmt.Errorf("dialing from site %s: %w", s.Name, err)
	}
	d := net.Dialer{Timeout: dialTimeout}
	if from.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: from.AsSlice()}
	}
	var conn net.Conn
	err := s.ns.Do(func() (err error) {
		conn, err = d.DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// Listen listens inside the site.
func (s *Site) Listen(network, addr string) (net.Listener, error) {
	var l net.Listener
	err := s.ns.Do(func() (err error) {
		l, err = net.Listen(network, addr)
		return err
	})
	return l, err
}

// Start starts a command inside the site. It dies with this process and is out of
// reach of the terminal's Ctrl-C, which is this process's to handle.
func (s *Site) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.Setpgid = true
	return s.ns.Start(cmd)
}
