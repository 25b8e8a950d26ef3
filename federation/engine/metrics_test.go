package engine

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// ofPeers are the metrics that tell of other clusters.
func ofPeers(t *testing.T, reg *prometheus.Registry) []string {
	t.Helper()
	return values(t, reg, "causeway_liveness", "causeway_engine_region", "causeway_engine_verdict", "causeway_engine_record")
}

func TestMetricsOfAPeerGoWithIt(t *testing.T) {
	reg := prometheus.NewRegistry()
	r := ready(t)
	r.metrics = newMetrics(reg)
	r.OnReport(seen(routing.PathUp))
	r.round()
	if len(ofPeers(t, reg)) == 0 {
		t.Fatal("nothing is said of a peer that is there")
	}
	s := state()
	delete(s.Members, "us-west")
	r.onState(s)
	r.round()
	held := *r.View()
	held.RecordAges = map[federation.ClusterName]time.Duration{"us-west": time.Second} // not forgotten yet
	held.Legs = []federation.Leg{{From: "us-east", To: "us-west", Up: true, RTT: time.Millisecond}}
	r.metrics.round(&held, 0)
	if d := cmp.Diff([]string(nil), ofPeers(t, reg)); d != "" {
		t.Error("said of a peer that has left:", d)
	}
}

func TestAStandbySaysNothingOfPeersAndCountsNoFailovers(t *testing.T) {
	reg := prometheus.NewRegistry()
	r := ready(t)
	r.metrics = newMetrics(reg)
	r.OnReport(seen(routing.PathUp))
	r.round()
	r.StepDown()
	r.SetEndpoints(checkout, map[uint16]PortEndpoints{80: {Total: 2}}) // nothing is ready at home: a failover
	r.round()
	if d := cmp.Diff([]string{"causeway_engine_leading 0"}, values(t, reg, "causeway_engine_leading", "causeway_engine_failovers")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string(nil), ofPeers(t, reg)); d != "" {
		t.Error("said of peers by a standby:", d)
	}
}

func TestMetricsSayNothingOfWhatIsNotKnownYet(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := newMetrics(reg)
	if got := values(t, reg, "causeway_engine_leading", "causeway_policystore_age"); got != nil {
		t.Errorf("said before the first round: %v", got)
	}
	m.round(&View{}, 0)
	if d := cmp.Diff([]string{"causeway_engine_leading 0"}, values(t, reg, "causeway_engine_leading", "causeway_policystore_age")); d != "" {
		t.Error("a store that has proved nothing has no age:", d)
	}
	m.round(&View{Store: StoreStatus{Age: time.Minute}}, 0)
	if d := cmp.Diff([]string{"causeway_policystore_age_seconds 60"}, values(t, reg, "causeway_policystore_age")); d != "" {
		t.Error(d)
	}
}
