package gateway_test

import (
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
	"github.com/causeway-mesh/causeway/gateway"
)

// The only gateway of a cluster is going: until its delay is over it serves what
// peers open, on their tunnels and on new ones, though it has said DRAIN.
func TestLeavingGatewayServesPeersUntilItsDelayIsOver(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	const delay = 1500 * time.Millisecond
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
	asked := 0
	for ; time.Since(began) < delay-250*time.Millisecond; asked++ {
		if got, err := ask(egress); err != nil || got != "east hello" {
			t.Fatalf("client %d, %s after the end was asked for: %q, %v", asked, time.Since(began), got, err)
		}
	}
	if asked < 10 {
		t.Fatalf("only %d clients came in the delay", asked)
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
