package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/liveness"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// seen is a report of our gateway on us-west's.
func seen(state routing.PathState) routing.GatewayReport {
	return routing.GatewayReport{Instance: "gw-1", Advertise: "10.0.0.1:15443", Paths: []routing.PathReport{{
		Cluster: "us-west", Address: "10.0.0.9:15443", State: state, RTT: 66 * time.Millisecond,
		Jitter: 2 * time.Millisecond, Loss: 0.05, Cause: "silent for 612ms on 2 connections",
	}}}
}

func (r *rig) verdict(t *testing.T, c federation.ClusterName) federation.Verdict {
	t.Helper()
	for _, m := range r.View().Members {
		if m.Name == c {
			return m.Verdict
		}
	}
	t.Fatalf("%s is no member", c)
	return federation.Verdict{}
}

// A gateway that hangs keeps its stream for a while; what it said last proves less and
// less, and then nothing.
func TestAReportThatIsOldIsNoEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t)
		r.OnReport(seen(routing.PathUp))
		r.round()
		if v := r.verdict(t, "us-west"); v.Kind != federation.Reachable {
			t.Fatalf("%+v", v)
		}
		time.Sleep(reportMaxAge + time.Second)
		r.round()
		if v := r.verdict(t, "us-west"); v.Kind != federation.Unknown || v.Reason != liveness.ReasonNoReport {
			t.Errorf("%+v", v)
		}
	})
}

func TestAnOwnersLostAPIServerIsTold(t *testing.T) {
	r := ready(t)
	r.OnReport(seen(routing.PathUp))
	s := state()
	m := s.Members["us-west"]
	m.APIServerLost = true
	s.Members["us-west"] = m
	r.onState(s)
	r.round()
	if v := r.verdict(t, "us-west"); v.Kind != federation.ControlPlaneDown || v.Reason != liveness.ReasonAPIServerLost {
		t.Errorf("%+v", v)
	}
	if w, ok := r.View().Decisions[port].Winner(); !ok || w.LastResort {
		t.Errorf("the winner is %+v", w)
	}
	r.SetAPIServer(false)
	r.round()
	if !r.View().APIServerLost || !r.View().Status().APIServerLost {
		t.Error("our own is not told")
	}
	r.SetAPIServer(true)
	r.round()
	if r.View().APIServerLost {
		t.Error("that it is back is not told")
	}
}

func TestLegsShowWhatEachEndMeasures(t *testing.T) {
	r := ready(t)
	r.OnReport(seen(routing.PathUp))
	r.round()
	own := federation.Leg{From: "us-east", To: "us-west", Up: true, RTT: 66 * time.Millisecond, Jitter: 2 * time.Millisecond, Loss: 0.05}
	got := r.View().Legs
	if len(got) != 1 || got[0].Age > time.Second {
		t.Fatalf("%+v", got)
	}
	got[0].Age = 0
	if d := cmp.Diff([]federation.Leg{own}, got); d != "" {
		t.Error(d)
	}
	back := federation.Leg{From: "us-west", To: "us-east", Up: true, RTT: 68 * time.Millisecond}
	lie := federation.Leg{From: "us-east", To: "us-west", Down: true}
	stranger := federation.Leg{From: "us-west", To: "nowhere", Up: true}
	if d := cmp.Diff([]federation.Leg{own, back}, allLegs("us-east", state().Members, got, []federation.Leg{back, lie, stranger})); d != "" {
		t.Error(d)
	}
}

func TestHintsOfAPeerAreThoseOnItAndItsOwnOnUs(t *testing.T) {
	on, ofUs := federation.Leg{From: "c", To: "b"}, federation.Leg{From: "b", To: "a"}
	legs := []federation.Leg{on, ofUs, {From: "b", To: "c"}, {From: "a", To: "b"}, {From: "c", To: "a"}}
	if d := cmp.Diff([]federation.Leg{on, ofUs}, about(legs, "b", "a")); d != "" {
		t.Error(d)
	}
}

func TestMetricsShowRegionsVerdictsAndFailovers(t *testing.T) {
	reg := prometheus.NewRegistry()
	r := ready(t)
	r.metrics = newMetrics(reg)
	r.OnReport(seen(routing.PathUp))
	r.round()
	r.SetEndpoints(checkout, map[uint16]PortEndpoints{80: {Total: 2}}) // nothing is ready at home
	r.round()
	want := []string{
		"causeway_engine_failovers_total cause=NoReadyEndpoints from=us-east service=shop/checkout:80 to=us-west 1",
		"causeway_engine_region_jitter_seconds from=us-east to=us-west 0.002",
		"causeway_engine_region_loss_ratio from=us-east to=us-west 0.05",
		"causeway_engine_region_rtt_seconds from=us-east to=us-west 0.066",
		"causeway_engine_verdict_info cause=Answers peer=us-west region=us-west verdict=Reachable 1",
	}
	if d := cmp.Diff(want, values(t, reg, "causeway_engine_failovers", "causeway_engine_region", "causeway_engine_verdict")); d != "" {
		t.Error(d)
	}
}

// values are the metrics whose names begin so, a line each, sorted.
func values(t *testing.T, reg *prometheus.Registry, prefixes ...string) []string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range families {
		if !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(f.GetName(), p) }) {
			continue
		}
		for _, m := range f.GetMetric() {
			line := f.GetName()
			for _, l := range m.GetLabel() {
				line += " " + l.GetName() + "=" + l.GetValue()
			}
			out = append(out, fmt.Sprint(line, " ", m.GetGauge().GetValue()+m.GetCounter().GetValue()))
		}
	}
	return out
}

func TestFailoversNameWhyAClusterWasLeft(t *testing.T) {
	decide := func(cs ...routing.Candidate) map[federation.ServicePort]routing.Decision {
		return map[federation.ServicePort]routing.Decision{port: {Port: port, Candidates: cs}}
	}
	in := func(c federation.ClusterName) routing.Candidate { return routing.Candidate{Cluster: c, In: true} }
	dead := func(c federation.ClusterName) routing.Candidate {
		return routing.Candidate{Cluster: c, In: true, LastResort: true, Verdict: federation.Verdict{Kind: federation.GatewayDown}}
	}
	out := func(c federation.ClusterName) routing.Candidate {
		return routing.Candidate{Cluster: c, Reason: routing.ReasonNoReadyEndpoints}
	}
	var f failovers
	for i, step := range []struct {
		decisions map[federation.ServicePort]routing.Decision
		want      string // "from>to cause"
	}{
		{decide(in("a"), in("b")), ""},
		{decide(in("a"), in("b")), ""},
		{decide(dead("a"), in("b")), "a>b GatewayDown"},
		{decide(in("a"), in("b")), "b>a Preferred"},
		{nil, ""}, // a round without a store forgets nothing
		{decide(out("a"), in("b")), "a>b NoReadyEndpoints"},
		{decide(out("a"), out("b")), ""},
		{decide(in("a"), out("b")), "b>a NoReadyEndpoints"},
		{decide(in("b")), "a>b Withdrawn"},
	} {
		got := ""
		for _, m := range f.note(step.decisions) {
			got += string(m.from) + ">" + string(m.to) + " " + m.cause
		}
		if got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
}
