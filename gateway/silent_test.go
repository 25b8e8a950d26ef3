package gateway_test

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
	"github.com/causeway-mesh/causeway/gateway/tunnel"
)

// speak says HELLO to a gateway as one of eu-west, then frames, and nothing more.
func speak(t *testing.T, ca *identitytest.CA, to *node, frames []byte) {
	t.Helper()
	config := ca.Source(id("eu-west", identity.RoleGateway)).ClientConfig(func(identity.ID) error { return nil },
		federation.GatewayServerName(fed, to.cluster), federation.ALPNTunnel)
	c, err := tls.Dial("tcp", to.address, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	hello := tunnel.Hello{Version: tunnel.Version, Instance: "gw-9", Cluster: "eu-west"}
	if _, err := c.Write(append(tunnel.AppendFrame(nil, tunnel.TypeHello, 0, hello.Append(nil)), frames...)); err != nil {
		t.Fatal(err)
	}
}

func TestFramesOfALaterVersionAreCountedAtThePort(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	consumer, east := start(t, ca, "eu-west"), start(t, ca, "us-east")
	link(t, consumer, east, east.address)
	speak(t, ca, east, tunnel.AppendFrame(nil, 200, 0, []byte("who knows")))
	await(t, "the frame in the counter", func() bool { return east.count(t, "causeway_tunnel_unknown_frames_total", "") == 1 })
}

// A peer that has opened a stream and then says nothing more, not even PONG, must not
// keep an endpoint's connection for ever.
func TestEndpointIsFreedWhenItsPeerFallsSilent(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	consumer, east := start(t, ca, "eu-west"), start(t, ca, "us-east")
	link(t, consumer, east, east.address)
	freed := make(chan struct{})
	east.serve(t, endpoint(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c); close(freed) }))
	open := tunnel.Open{Port: port, Budget: time.Minute}
	speak(t, ca, east, tunnel.AppendFrame(nil, tunnel.TypeOpen, 1, open.Append(nil)))
	select {
	case <-freed:
	case <-time.After(time.Minute):
		t.Fatal("the endpoint still waits")
	}
}
