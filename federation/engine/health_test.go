package engine

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// counts is a gateway's report of n connections in flight, and failed of ended streams.
func counts(instance string, n, failed, ended uint32) routing.GatewayReport {
	return routing.GatewayReport{Instance: instance, Advertise: "10.0.0.9:15443", Uses: map[federation.ServicePort]routing.PortUse{
		port: {InFlight: n, Failed: failed, Ended: ended},
	}}
}

func known(perMille uint16) federation.Measure {
	return federation.Measure{Known: true, PerMille: perMille}
}

// said is what a round tells of our port.
func (r *rig) said() federation.Health {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.health(r.now())[port]
}

func (r *rig) bears(connections uint32) {
	r.SetEndpoints(checkout, map[uint16]PortEndpoints{80: {
		Ready: []string{"10.0.1.1:8080", "10.0.1.2:8080"}, Total: 3, Weight: 5, Connections: connections,
		Zones: []federation.ZoneCount{{Zone: "a", Ready: 1, Total: 2}, {Zone: "b", Ready: 1, Total: 1}},
	}})
}

func TestHealthIsWhatEndpointsAndGatewaysSay(t *testing.T) {
	r := ready(t)
	r.bears(100)
	r.OnReport(counts("gw-1", 30, 1, 300))
	r.OnReport(counts("gw-2", 21, 8, 300))
	want := federation.Health{
		Ready: 2, Total: 3, Capacity: 10, Load: known(260), Errors: known(15),
		Zones: []federation.ZoneCount{{Zone: "a", Ready: 1, Total: 2}, {Zone: "b", Ready: 1, Total: 1}},
	}
	if d := cmp.Diff(want, r.said()); d != "" {
		t.Error(d)
	}
	r.round()
	for _, c := range r.View().Decisions[port].Candidates {
		if c.Cluster == "us-east" && (c.Capacity != 10 || c.Load != want.Load || c.Errors != want.Errors || len(c.Zones) != 2) {
			t.Errorf("the candidate shows %+v", c)
		}
	}
}

func TestCapacityIsTheReadyEndpointsWeight(t *testing.T) {
	ready := make([]string, 3)
	for name, c := range map[string]struct {
		p    PortEndpoints
		want uint32
	}{
		"not stated": {PortEndpoints{Ready: ready, Total: 4}, 3},
		"stated":     {PortEndpoints{Ready: ready, Total: 4, Weight: 7}, 21},
		"too much":   {PortEndpoints{Ready: ready, Total: 4, Weight: math.MaxUint32}, math.MaxUint32},
	} {
		if got := c.p.health(routing.PortUse{}, true).Capacity; got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestWhatIsNotMeasuredIsUnknownAndNotZero(t *testing.T) {
	old := routing.GatewayReport{Instance: "gw-2"} // of the version before: it does not count
	for name, c := range map[string]struct {
		do           func(*rig)
		load, errors federation.Measure
	}{
		"no gateway":             {func(*rig) {}, federation.Measure{}, federation.Measure{}},
		"at rest":                {func(r *rig) { r.OnReport(counts("gw-1", 0, 0, 0)) }, known(0), federation.Measure{}},
		"busy":                   {func(r *rig) { r.OnReport(counts("gw-1", 50, 0, 10)) }, known(250), known(0)},
		"connections not stated": {func(r *rig) { r.bears(0); r.OnReport(counts("gw-1", 50, 0, 10)) }, federation.Measure{}, known(0)},
		"nothing is ready":       {func(r *rig) { r.SetEndpoints(checkout, nil); r.OnReport(counts("gw-1", 5, 9, 9)) }, federation.Measure{}, known(1000)},
		"one does not count":     {func(r *rig) { r.OnReport(counts("gw-1", 50, 0, 10)); r.OnReport(old) }, federation.Measure{}, federation.Measure{}},
		"one has not come yet":   {func(r *rig) { r.OnReport(counts("gw-3", 50, 0, 10)) }, federation.Measure{}, federation.Measure{}},
		"one has just gone": {func(r *rig) {
			r.OnReport(counts("gw-1", 50, 0, 10))
			r.OnReport(counts("gw-2", 1, 0, 0))
			r.OnGone("gw-2")
		}, federation.Measure{}, federation.Measure{}},
		"one has drained and gone": {func(r *rig) {
			r.OnReport(counts("gw-1", 50, 0, 10))
			r.OnReport(routing.GatewayReport{Instance: "gw-2", Draining: true})
			r.OnGone("gw-2")
		}, known(250), known(0)},
		"more than the endpoints do": {func(r *rig) { r.OnReport(counts("gw-1", 300, 0, 10)) }, known(1500), known(0)},
		"very little":                {func(r *rig) { r.OnReport(counts("gw-1", 1, 1, 100_000)) }, known(10), known(1)},
	} {
		r := ready(t)
		r.bears(100)
		c.do(r)
		if got := r.said(); got.Load != c.load || got.Errors != c.errors {
			t.Errorf("%s: load %+v, errors %+v", name, got.Load, got.Errors)
		}
	}
}

func TestGatewayThatStaysAwayIsWaitedForOnlySoLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t)
		r.bears(100)
		r.OnReport(counts("gw-2", 10, 0, 1))
		r.OnGone("gw-2")
		time.Sleep(r.cfg.GatewayGrace + time.Second) // virtual; gw-1 has never come
		r.OnReport(counts("gw-3", 50, 0, 10))
		if got := r.said(); got.Load != known(250) {
			t.Errorf("after the grace: %+v", got.Load)
		}
		time.Sleep(reportMaxAge + time.Millisecond)
		if got := r.said(); got.Load.Known || got.Errors.Known {
			t.Errorf("of a gateway that hangs: %+v, %+v", got.Load, got.Errors)
		}
	})
}

func TestMetricsShowOwnHealthAndNothingUnknown(t *testing.T) {
	reg := prometheus.NewRegistry()
	r := ready(t)
	reg.MustRegister(newHealthMetrics(r.View))
	r.bears(0)
	r.OnReport(counts("gw-1", 50, 1, 10))
	r.round()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if m := f.GetMetric(); len(m) == 1 && m[0].GetLabel()[0].GetValue() == port.String() {
			got[f.GetName()] = m[0].GetGauge().GetValue()
		}
	}
	want := map[string]float64{
		"causeway_engine_service_ready_endpoints": 2, "causeway_engine_service_capacity": 10, "causeway_engine_service_errors_ratio": 0.1,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestMeasuresWakeNobody(t *testing.T) {
	r := ready(t)
	r.bears(100)
	r.OnReport(counts("gw-1", 10, 0, 10))
	r.round()
	for len(r.dirty) > 0 {
		<-r.dirty
	}
	changed, stop := r.Subscribe()
	defer stop()
	r.OnReport(counts("gw-1", 90, 5, 10))
	if len(r.dirty) != 0 {
		t.Error("a count makes a round")
	}
	r.round()
	if len(changed) != 0 {
		t.Error("subscribers are told of a measure")
	}
	if len(r.tables) != 1 {
		t.Errorf("%d tables", len(r.tables))
	}
}
