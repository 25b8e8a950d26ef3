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

// A peer that has opened a stream and then says nothing more, not even PONG, must not
// keep an endpoint's connection for ever.
func TestEndpointIsFreedWhenItsPeerFallsSilent(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	consumer, east := start(t, ca, "eu-west"), start(t, ca, "us-east")
	link(t, consumer, east, east.address)
	freed := make(chan struct{})
	east.serve(t, endpoint(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c); close(freed) }))
	config := ca.Source(id("eu-west", identity.RoleGateway)).ClientConfig(func(identity.ID) error { return nil },
		federation.GatewayServerName(fed, "us-east"), federation.ALPNTunnel)
	c, err := tls.Dial("tcp", east.address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	hello := tunnel.Hello{Version: tunnel.Version, Instance: "gw-9", Cluster: "eu-west"}
	open := tunnel.Open{Port: port, Budget: time.Minute}
	frames := tunnel.AppendFrame(nil, tunnel.TypeHello, 0, hello.Append(nil))
	if _, err := c.Write(tunnel.AppendFrame(frames, tunnel.TypeOpen, 1, open.Append(nil))); err != nil {
		t.Fatal(err)
	}
	select {
	case <-freed:
	case <-time.After(10 * time.Second):
		t.Fatal("the endpoint still waits")
	}
}
