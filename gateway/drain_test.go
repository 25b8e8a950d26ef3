package gateway_test

import (
	"net"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
	"github.com/causeway-mesh/causeway/federation/routing"
	"github.com/causeway-mesh/causeway/gateway"
)

// The only gateway of a cluster is going: until its delay is over it serves what
// peers open, on their tunnels and on new ones, though it has said DRAIN.
func TestLeavingGatewayServesPeersUntilItsDelayIsOver(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	const delay = 3 * time.Second                                                                       // busy machines
	consumer := startWith(t, ca, "eu-west", func(c *gateway.Config) { c.AttemptMin = 5 * time.Second }) // busy machines
	east := startWith(t, ca, "us-east", func(c *gateway.Config) { c.ShutdownDelay = delay })
	link(t, consumer, east, east.address)
	egress := consumer.route(t, "us-east")
	consumer.up(t, 1)
	east.serve(t, endpoint(t, named("east")))
	began := time.Now()
	east.stop()
	await(t, "DRAIN at the peer", func() bool { return consumer.gw.Paths()[0].Draining })
	if ready, why := east.gw.Ready(); ready || why != "draining" {
		t.Errorf("it says it is ready: %s", why)
	}
	served := 0
	for got, err := ask(egress); err == nil; got, err = ask(egress) {
		if got != "east hello" {
			t.Fatalf("client %d got %q", served, got)
		}
		served++
	}
	if took := time.Since(began); served == 0 || took < delay {
		t.Fatalf("%d clients were served, and the next was not, %s after the end was asked for", served, took)
	}
	err := <-east.done
	east.done <- err
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ask(egress); err == nil {
		t.Fatal("somebody answers after the end")
	}
}

// A gateway that drains leaves the table before its clients leave it.
func TestStreamsOutliveTheirGatewaysPlaceInTheTable(t *testing.T) {
	_, consumer, east, egress := pair(t)
	east.serve(t, endpoint(t, named("east")))
	c, err := net.Dial("tcp", egress)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if got, err := talk(c); err != nil || got != "east hello" {
		t.Fatalf("%q, %v", got, err)
	}
	consumer.publish(t, func(x *routing.Table) {
		p := x.Peers["us-east"]
		p.Gateways = nil
		x.Peers["us-east"] = p
	})
	if _, err := ask(egress); err == nil {
		t.Fatal("a gateway that is in no table takes new clients")
	}
	if got, err := talk(c); err != nil || got != "east hello" {
		t.Fatalf("the client of a gateway that has left the table gets %q, %v", got, err)
	}
	consumer.publish(t, func(x *routing.Table) { delete(x.Peers, "us-east") })
	await(t, "the client of a cluster that is no member any more to be cut", func() bool { // the review follows the table
		_, err := talk(c)
		return err != nil
	})
}
