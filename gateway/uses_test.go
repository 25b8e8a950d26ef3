package gateway_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
	"github.com/causeway-mesh/causeway/federation/routing"
	"github.com/causeway-mesh/causeway/gateway/tunnel"
)

// use awaits a gateway's count of the port.
func (n *node) use(t *testing.T, what string, ok func(routing.PortUse) bool) {
	t.Helper()
	await(t, what, func() bool { return ok(n.gw.Report().Uses[port]) })
}

func open(t *testing.T, egress string) *net.TCPConn {
	t.Helper()
	c, err := dial(egress)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func dial(egress string) (*net.TCPConn, error) {
	c, err := net.Dial("tcp", egress)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), c.SetDeadline(time.Now().Add(time.Minute))
}

func TestStreamsAreCountedWhereTheirEndpointsAre(t *testing.T) {
	_, consumer, east, egress := pair(t)
	east.serve(t, endpoint(t, named("east")))
	c := open(t, egress)
	if _, err := talk(c); err != nil {
		t.Fatal(err)
	}
	east.use(t, "the stream", func(u routing.PortUse) bool { return u == routing.PortUse{InFlight: 1} })
	if uses := consumer.gw.Report().Uses; uses == nil || len(uses) != 0 {
		t.Errorf("the consumer has no endpoints, and says %v", uses)
	}
	_ = c.Close()
	east.use(t, "its end", func(u routing.PortUse) bool { return u == routing.PortUse{Ended: 1} })
}

func TestLocalClientsUseCapacityAndAreNoOutcome(t *testing.T) {
	_, consumer, _, _ := pair(t)
	consumer.serve(t, endpoint(t, named("west")))
	egress := consumer.route(t, "eu-west") // looks whether the port is open
	consumer.use(t, "rest", func(u routing.PortUse) bool { return u == routing.PortUse{} })
	c := open(t, egress)
	if _, err := talk(c); err != nil {
		t.Fatal(err)
	}
	consumer.use(t, "the client", func(u routing.PortUse) bool { return u == routing.PortUse{InFlight: 1} })
	_ = c.Close()
	consumer.use(t, "its end", func(u routing.PortUse) bool { return u == routing.PortUse{} })
}

func TestOnlyWhatFailsAtTheEndpointsIsAFailure(t *testing.T) {
	gone := listen(t)
	_ = gone.Close()
	reset := func(c net.Conn) {
		_, _ = bufio.NewReader(c).ReadString('\n')
		tunnel.Reset(c)
	}
	end := func(c net.Conn) { _, _ = bufio.NewReader(c).ReadString('\n') }
	leave := func(c *net.TCPConn) {
		_, _ = bufio.NewReader(c).ReadString('\n') // it has got through
		tunnel.Reset(c)
	}
	stay := func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }
	for name, f := range map[string]struct {
		endpoints []string
		client    func(*net.TCPConn)
		failed    bool
	}{
		"no endpoint is ready":     {nil, stay, true},
		"no endpoint accepts":      {[]string{gone.Addr().String()}, stay, true},
		"the endpoint resets":      {[]string{endpoint(t, reset)}, stay, true},
		"the endpoint ends":        {[]string{endpoint(t, end)}, stay, false},
		"the client resets":        {[]string{endpoint(t, named("east"))}, leave, false},
		"the client is served":     {[]string{endpoint(t, named("east"))}, func(c *net.TCPConn) { _ = c.CloseWrite(); stay(c) }, false},
		"one of two does not live": {[]string{gone.Addr().String(), endpoint(t, end)}, stay, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, east, egress := pair(t)
			east.serve(t, f.endpoints...)
			if c, err := dial(egress); err == nil { // a reset may be there before Dial has looked
				t.Cleanup(func() { _ = c.Close() })
				_, _ = io.WriteString(c, "hello\n")
				f.client(c)
				_ = c.Close()
			} else if !f.failed {
				t.Fatal(err)
			}
			east.use(t, "the outcome", func(u routing.PortUse) bool { return u.InFlight == 0 && u.Ended > 0 })
			if u := east.gw.Report().Uses[port]; (u.Failed > 0) != f.failed || f.failed && u.Failed != u.Ended {
				t.Errorf("%+v", u)
			}
		})
	}
}

// full is an endpoint whose queue has no place left: SYNs to it get no answer.
func full(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	for range 16 {
		c, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Fatal("it takes all that comes")
	return ""
}

func TestEndpointThatUsesUpTheOpenersPatienceHasFailed(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	consumer, east := start(t, ca, "eu-west"), start(t, ca, "us-east")
	link(t, consumer, east, east.address)
	east.serve(t, full(t))
	speak(t, ca, east, tunnel.AppendFrame(nil, tunnel.TypeOpen, 1, tunnel.Open{Port: port, Budget: 900 * time.Millisecond}.Append(nil)))
	east.use(t, "the outcome", func(u routing.PortUse) bool { return u.Failed == 1 })
}

func TestOpenerThatBreaksOffAtOnceBlamesNoEndpoint(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	consumer, east := start(t, ca, "eu-west"), start(t, ca, "us-east")
	link(t, consumer, east, east.address)
	east.serve(t, full(t))
	frames := tunnel.AppendFrame(nil, tunnel.TypeOpen, 1, tunnel.Open{Port: port, Budget: time.Minute}.Append(nil))
	speak(t, ca, east, tunnel.AppendFrame(frames, tunnel.TypeReset, 1, nil))
	await(t, "the end of the dial", func() bool { return east.count(t, "causeway_ingress_refused_total", tunnel.NoEndpoint.String()) == 1 })
	if uses := east.gw.Report().Uses; len(uses) != 0 {
		t.Errorf("%+v", uses)
	}
}

func TestCallsOfLocalClientsAreCountedWhereTheyAre(t *testing.T) {
	_, consumer, east, egress := pair(t)
	calls := func(what string, ok func(routing.PortCalls) bool) {
		t.Helper()
		await(t, what, func() bool { return ok(consumer.gw.Report().Calls[port]) })
	}
	before := consumer.gw.Report().Calls[port] // the probe of the port, which nobody took
	if c, err := dial(egress); err == nil {
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
	calls("a refusal", func(c routing.PortCalls) bool {
		return c.Failed == before.Failed+1 && c.Outcomes == before.Outcomes+1 && c.Slowest == 0
	})
	east.serve(t, endpoint(t, named("east")))
	c := open(t, egress)
	if _, err := talk(c); err != nil {
		t.Fatal(err)
	}
	calls("an acceptance", func(c routing.PortCalls) bool {
		return c.Failed == before.Failed+1 && c.Outcomes == before.Outcomes+2 && c.Slowest > 0
	})
	tunnel.Reset(c)
	c = open(t, egress)
	if _, err := talk(c); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	calls("clients that reset and end", func(c routing.PortCalls) bool { return c.Failed == before.Failed+1 && c.Outcomes == before.Outcomes+3 })
	east.serve(t, endpoint(t, func(c net.Conn) {
		_, _ = bufio.NewReader(c).ReadString('\n')
		tunnel.Reset(c)
	}))
	c = open(t, egress)
	if _, err := talk(c); err == nil {
		t.Fatal("the endpoint answers")
	}
	calls("a break", func(c routing.PortCalls) bool { return c.Failed == before.Failed+2 && c.Outcomes == before.Outcomes+5 })
	if calls := east.gw.Report().Calls; calls == nil || len(calls) != 0 {
		t.Errorf("the other end, whose clients call nobody, says %v", calls)
	}
}
