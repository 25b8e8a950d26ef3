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
	if d := cmp.Diff([]federation.Leg{own, back}, allLegs("us-east", state().Members, got, []federation.Leg{back, lie, stranger}, noEstimate)); d != "" {
		t.Error(d)
	}
}

func TestEstimatesFillOnlyWhatNobodyMeasures(t *testing.T) {
	members := map[federation.ClusterName]federation.Member{"a": {}, "b": {}, "c": {}}
	own := []federation.Leg{{From: "a", To: "b", Up: true, RTT: 60 * time.Millisecond}, {From: "a", To: "c", Down: true}}
	told := []federation.Leg{{From: "b", To: "a", Up: true}} // it has not measured it yet
	estimate := func(from, to federation.ClusterName) (time.Duration, bool) {
		return 50 * time.Millisecond, from != "c"
	}
	guess := func(from, to federation.ClusterName, up bool) federation.Leg {
		return federation.Leg{From: from, To: to, Up: up, RTT: 50 * time.Millisecond, Estimated: true}
	}
	want := []federation.Leg{own[0], own[1], guess("b", "a", true), guess("b", "c", false)}
	if d := cmp.Diff(want, allLegs("a", members, own, told, estimate)); d != "" {
		t.Error(d)
	}
	v := &View{Legs: want, Members: []MemberView{
		{Member: federation.Member{Name: "a", Region: "east"}}, {Member: federation.Member{Name: "b", Region: "west"}},
		{Member: federation.Member{Name: "c", Region: "north"}},
	}}
	reg := prometheus.NewRegistry()
	m := newViewMetrics()
	reg.MustRegister(m)
	v.Leading = true
	m.shown.Store(v)
	lines := []string{
		"causeway_engine_region_jitter_seconds from=east to=west 0",
		"causeway_engine_region_loss_ratio from=east to=west 0",
		"causeway_engine_region_rtt_estimate_seconds from=west to=east 0.05",
		"causeway_engine_region_rtt_estimate_seconds from=west to=north 0.05",
		"causeway_engine_region_rtt_seconds from=east to=west 0.06",
	}
	if d := cmp.Diff(lines, values(t, reg, "causeway_engine_region")); d != "" {
		t.Error(d)
	}
}

func TestMatrixIsMadeAnewOnlyWhenItIsOld(t *testing.T) {
	var m matrix
	made := 0
	count := func() []federation.Leg { made++; return nil }
	for _, now := range []time.Duration{0, time.Second, matrixEvery - 1, matrixEvery, matrixEvery + time.Second} {
		m.refresh(now, count)
	}
	if made != 2 {
		t.Errorf("it was made %d times, want 2", made)
	}
}

func TestHintsOfAPeerAreThoseOnItAndItsOwnOnUs(t *testing.T) {
	on, ofUs := federation.Leg{From: "c", To: "b"}, federation.Leg{From: "b", To: "a"}
	legs := []federation.Leg{on, ofUs, {From: "b", To: "c"}, {From: "a", To: "b"}, {From: "c", To: "a"}}
	if d := cmp.Diff([]federation.Leg{on, ofUs}, byPeer(legs, "a")["b"]); d != "" {
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

func TestOwnerThatExportsNothingIsHeardByItsBeats(t *testing.T) {
	held := func(age time.Duration) map[federation.ClusterName]map[federation.ServicePort]federation.HeldRecord {
		return map[federation.ClusterName]map[federation.ServicePort]federation.HeldRecord{"us-west": {port: {Age: age}}}
	}
	spoke := map[federation.ClusterName]time.Duration{"us-west": time.Second}
	for name, c := range map[string]struct {
		know knowledge
		want time.Duration
	}{
		"never heard":          {knowledge{}, -1},
		"beats, no export":     {knowledge{spoken: spoke}, time.Second},
		"records of version 1": {knowledge{records: held(2 * time.Second)}, 2 * time.Second},
		"the younger counts":   {knowledge{spoken: spoke, records: held(3 * time.Second)}, time.Second},
	} {
		if got := c.know.silent("us-west"); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
