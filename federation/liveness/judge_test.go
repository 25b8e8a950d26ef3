package liveness_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/liveness"
	"github.com/causeway-mesh/causeway/federation/routing"
)

func path(state routing.PathState, refused bool) routing.PathReport {
	return routing.PathReport{Address: "10.0.0.1:15443", State: state, Refused: refused, RTT: 60 * time.Millisecond, Silence: 100 * time.Millisecond, Cause: "cause"}
}

func TestVerdicts(t *testing.T) {
	up, down, unknown, refused := path(routing.PathUp, false), path(routing.PathDown, false), path(routing.PathUnknown, false), path(routing.PathDown, true)
	young, old, never := time.Second, time.Minute, -time.Second
	for name, c := range map[string]struct {
		paths     []routing.PathReport
		member    liveness.Membership
		statement time.Duration
		want      federation.VerdictKind
	}{
		"all well":                             {[]routing.PathReport{up, up}, liveness.MemberAlive, young, federation.Reachable},
		"one gateway is enough":                {[]routing.PathReport{down, up}, liveness.MemberAlive, young, federation.Reachable},
		"first moments":                        {[]routing.PathReport{up}, liveness.MemberUnknown, never, federation.Reachable},
		"operator silent":                      {[]routing.PathReport{up}, liveness.MemberAlive, old, federation.ControlPlaneDown},
		"operator left the gossip":             {[]routing.PathReport{up}, liveness.MemberDead, never, federation.ControlPlaneDown},
		"path silent, gossip hears it":         {[]routing.PathReport{down, down}, liveness.MemberAlive, young, federation.LinkDown},
		"path silent, gossip silent":           {[]routing.PathReport{down, down}, liveness.MemberDead, old, federation.ClusterDown},
		"hosts refuse":                         {[]routing.PathReport{refused, refused}, liveness.MemberDead, old, federation.GatewayDown},
		"one refuses, one silent":              {[]routing.PathReport{refused, down}, liveness.MemberDead, old, federation.ClusterDown},
		"not probed":                           {[]routing.PathReport{unknown}, liveness.MemberAlive, young, federation.Unknown},
		"one undecided keeps it from the dead": {[]routing.PathReport{unknown, down}, liveness.MemberDead, old, federation.Unknown},
		"no gateway reports":                   {nil, liveness.MemberAlive, young, federation.Unknown},
	} {
		held := liveness.Judge(map[federation.ClusterName]liveness.Evidence{
			"x":     {Paths: c.paths, Member: c.member, StatementAge: c.statement},
			"other": {Paths: []routing.PathReport{up}, Member: liveness.MemberAlive}, // we ourselves are well
		}, nil, time.Minute)
		if got := held["x"]; got.Kind != c.want || got.Cause == "" {
			t.Errorf("%s: %s (%s), want %s", name, got.Kind, got.Cause, c.want)
		}
	}
}

func TestAllSilentAtOnceMeansSuspectYourself(t *testing.T) {
	down := []routing.PathReport{path(routing.PathDown, false)}
	held := liveness.Judge(map[federation.ClusterName]liveness.Evidence{
		"a": {Paths: down, Member: liveness.MemberDead}, "b": {Paths: down, Member: liveness.MemberDead},
	}, nil, 0)
	for name, h := range held {
		if h.Kind != federation.Unknown || !strings.Contains(h.Cause, "suspects its own network") {
			t.Errorf("%s: %s (%s)", name, h.Kind, h.Cause)
		}
	}
}

func TestAgeCountsFromTheChange(t *testing.T) {
	up := map[federation.ClusterName]liveness.Evidence{"a": {Paths: []routing.PathReport{path(routing.PathUp, false)}}}
	down := map[federation.ClusterName]liveness.Evidence{"a": {Paths: []routing.PathReport{path(routing.PathDown, false)}}}
	held := liveness.Judge(up, nil, 10*time.Second)
	held = liveness.Judge(up, held, 15*time.Second)
	if v := held["a"].Verdict(18 * time.Second); v.Age != 8*time.Second || v.ProofAge != 100*time.Millisecond {
		t.Errorf("age %s, proof %s", v.Age, v.ProofAge)
	}
	held = liveness.Judge(down, held, 20*time.Second)
	if v := held["a"].Verdict(21 * time.Second); v.Age != time.Second || v.RTT != 60*time.Millisecond {
		t.Errorf("age %s, rtt %s: a change starts the age anew and keeps the distance", v.Age, v.RTT)
	}
}

// Status never lies: nothing is called reachable without a live path, and a
// silent control plane alone makes no path dead.
func TestPropertyVerdictsHaveProof(t *testing.T) {
	states := []routing.PathState{routing.PathUp, routing.PathDown, routing.PathUnknown}
	members := []liveness.Membership{liveness.MemberAlive, liveness.MemberSuspect, liveness.MemberDead, liveness.MemberUnknown}
	rapid.Check(t, func(t *rapid.T) {
		evidence := map[federation.ClusterName]liveness.Evidence{}
		for _, name := range []federation.ClusterName{"a", "b", "c"} {
			var paths []routing.PathReport
			for range rapid.IntRange(0, 3).Draw(t, "paths") {
				paths = append(paths, path(rapid.SampledFrom(states).Draw(t, "state"), rapid.Bool().Draw(t, "refused")))
			}
			evidence[name] = liveness.Evidence{
				Paths: paths, Member: rapid.SampledFrom(members).Draw(t, "member"),
				StatementAge: time.Duration(rapid.IntRange(-1, 60).Draw(t, "age")) * time.Second,
			}
		}
		for name, h := range liveness.Judge(evidence, nil, 0) {
			up := 0
			for _, p := range evidence[name].Paths {
				if p.State == routing.PathUp {
					up++
				}
			}
			if h.Kind.Carries() != (up > 0) {
				t.Fatalf("%s is %s with %d live paths", name, h.Kind, up)
			}
			if h.Kind.Dead() && (up > 0 || len(evidence[name].Paths) == 0) {
				t.Fatalf("%s is %s with %d of %d live paths", name, h.Kind, up, len(evidence[name].Paths))
			}
		}
	})
}
