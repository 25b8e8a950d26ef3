package gateway_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
	"github.com/causeway-mesh/causeway/federation/routefeed"
	"github.com/causeway-mesh/causeway/federation/routing"
	"github.com/causeway-mesh/causeway/gateway"
)

// count reads a counter, of one label value or, with "", of none.
func (n *node) count(t *testing.T, name, label string) float64 {
	t.Helper()
	families, err := n.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestStandbyIsObeyedOnlyAfterTheLeadersSilence(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	const beat, silence = 50 * time.Millisecond, 2 * time.Second // busy machines
	l := listen(t)
	standby := routefeed.NewServer(routefeed.ServerDeps{
		TLS: ca.Source(id("eu-west", identity.RoleOperator)).ServerConfig(identity.Exactly(id("eu-west", identity.RoleGateway))),
		Log: slog.New(slog.DiscardHandler), OnReport: func(routing.GatewayReport) {}, OnGone: func(string) {}, AliveEvery: beat,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = standby.Serve(ctx, l) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	n := startWith(t, ca, "eu-west", func(c *gateway.Config) {
		c.FeederSilence = silence
		c.Operators = append(c.Operators, l.Addr().String())
	})
	n.publish(t, func(x *routing.Table) {
		x.Peers["us-east"] = routing.Peer{Cluster: "us-east", TrustDomain: domain}
	})
	standby.Publish(routing.Table{Version: routing.TableVersion{Epoch: 1, Feeder: "standby", Sequence: 1}, Self: "eu-west", Federation: fed,
		Peers: map[federation.ClusterName]routing.Peer{}})
	// The leader has nothing new for more than twice the silence, and the standby is
	// offered again and again.
	await(t, "offers of the standby", func() bool { return n.count(t, "causeway_gateway_tables_total", "old") > float64(2*silence/beat) })
	if f := n.gw.Table().Version.Feeder; f != "op" {
		t.Fatalf("%s is obeyed beside a leader that lives", f)
	}
	n.feed.Silence()
	await(t, "the standby's table", func() bool { return n.gw.Table().Version.Feeder == "standby" })
}
