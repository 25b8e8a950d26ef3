package gateway_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
	"github.com/causeway-mesh/causeway/federation/routing"
	"github.com/causeway-mesh/causeway/gateway"
)

const partnerDomain = "partner.example.org"

// partners are two clusters, each importing from the other, with a connection held in
// each direction.
type partners struct {
	eu, east *node
	euPort   string // eu's egress port for east's service
	held     map[string]net.Conn
}

func hold(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := talk(c); err != nil {
		t.Fatal(err)
	}
	return c
}

func newPartners(t *testing.T, euCA, eastCA *identitytest.CA) partners {
	t.Helper()
	patient := func(c *gateway.Config) { c.AttemptMin = 5 * time.Second } // busy machines
	p := partners{eu: startWith(t, euCA, "eu-west", patient), east: startWith(t, eastCA, "us-east", patient)}
	bundles := map[federation.TrustDomain][]byte{euCA.Domain(): euCA.Bundle(), eastCA.Domain(): eastCA.Bundle()}
	for _, n := range []*node{p.eu, p.east} {
		n.publish(t, func(x *routing.Table) { x.Bundles = bundles })
	}
	link(t, p.eu, p.east, p.east.address)
	p.euPort = p.eu.route(t, "us-east")
	eastPort := p.east.route(t, "eu-west")
	p.eu.up(t, 1)
	p.east.up(t, 1)
	p.eu.serve(t, endpoint(t, named("eu")))
	p.east.serve(t, endpoint(t, named("east")))
	p.held = map[string]net.Conn{"from us": hold(t, p.euPort), "to us": hold(t, eastPort)}
	return p
}

// cutOff is what must follow within a time: the connections are reset, and nothing new
// comes through.
func (p partners) cutOff(t *testing.T, within time.Duration) {
	t.Helper()
	for name, c := range p.held {
		_ = c.SetDeadline(time.Now().Add(within))
		_, err := c.Read(make([]byte, 1))
		var timeout net.Error
		if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("the connection %s was not reset: %v", name, err)
		}
	}
	await(t, "new connections to be refused", func() bool { _, err := ask(p.euPort); return err != nil })
}

func TestTunnelsEndWhenTheirPeersBundleGoes(t *testing.T) {
	p := newPartners(t, identitytest.NewCA(t, domain), identitytest.NewCA(t, partnerDomain))
	p.eu.publish(t, func(x *routing.Table) { x.Bundles = nil }) // the member stays
	p.cutOff(t, 4*time.Second)
	await(t, "the operator to be told why", func() bool { return p.eu.gw.Report().TrustErrors["us-east"] != "" })
}

func TestTunnelsEndWhenOurOwnBundleIsReplaced(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	p := newPartners(t, ca, ca)
	if err := p.eu.identity.SetBundle(domain, identitytest.NewCA(t, domain).Bundle()); err != nil {
		t.Fatal(err)
	}
	p.cutOff(t, 4*time.Second)
}

func TestTunnelsEndWhenTheirPeerIsNoMemberAnyMore(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	p := newPartners(t, ca, ca)
	p.eu.publish(t, func(x *routing.Table) { delete(x.Peers, "us-east") })
	p.cutOff(t, 4*time.Second)
}

// A peer that cannot dial us closes nothing by itself: what we dialled is ours to end.
func TestTunnelsToAPeerThatOnlyListensEndToo(t *testing.T) {
	_, eu, east, euPort := pair(t)
	east.publish(t, func(x *routing.Table) {
		silent := x.Peers["eu-west"]
		silent.Gateways = nil
		x.Peers["eu-west"] = silent
	})
	east.serve(t, endpoint(t, named("east")))
	p := partners{eu: eu, east: east, euPort: euPort, held: map[string]net.Conn{"from us": hold(t, euPort)}}
	if err := eu.identity.SetBundle(domain, identitytest.NewCA(t, domain).Bundle()); err != nil {
		t.Fatal(err)
	}
	p.cutOff(t, 4*time.Second)
}

func TestTunnelsEndWhenTheirPeersCertificateExpires(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	p := newPartners(t, ca, ca)
	// east goes on with a leaf that ends in a moment: the tunnels are made anew with it.
	ca.LeafLifetime = 8 * time.Second
	if err := p.east.identity.SetKeyPair(ca.Issue(id("us-east", identity.RoleGateway))); err != nil {
		t.Fatal(err)
	}
	_, expires, _ := p.east.identity.Own()
	p.eu.publish(t, func(x *routing.Table) { delete(x.Peers, "us-east") })
	p.cutOff(t, 4*time.Second)
	p.eu.publish(t, func(x *routing.Table) { x.Peers["us-east"] = peer(p.east, p.east.address) })
	p.eu.up(t, 1)
	p.held = map[string]net.Conn{"from us": hold(t, p.euPort)}
	p.cutOff(t, time.Minute)
	if late := time.Since(expires); late < 0 || late > 30*time.Second {
		t.Errorf("it was cut off %s after the certificate's end", late)
	}
	await(t, "the operator to be told why", func() bool { return p.eu.gw.Report().TrustErrors["us-east"] != "" })
}
