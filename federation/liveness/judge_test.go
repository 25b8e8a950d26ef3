package liveness_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/liveness"
	"github.com/causeway-mesh/causeway/federation/routing"
)

const (
	young = time.Second
	old   = time.Minute
	never = -time.Second
)

func path(state routing.PathState, changes ...func(*routing.PathReport)) routing.PathReport {
	p := routing.PathReport{Address: "10.0.0.1:15443", State: state, RTT: 60 * time.Millisecond, Silence: 100 * time.Millisecond, Cause: "cause"}
	if state == routing.PathDown {
		p.Silence = 20 * time.Second
	}
	for _, change := range changes {
		change(&p)
	}
	return p
}

func refused(p *routing.PathReport)  { p.Refused = true }
func hung(p *routing.PathReport)     { p.Hung = true }
func unheard(p *routing.PathReport)  { p.Unheard = true }
func draining(p *routing.PathReport) { p.Draining = true }
func stale(p *routing.PathReport)    { p.Silence = liveness.ProofMaxAge + 1 }

var (
	up, down, unknown = path(routing.PathUp), path(routing.PathDown), path(routing.PathUnknown)
	reaches           = federation.Leg{From: "west", To: "x", Up: true}
	findsDead         = federation.Leg{From: "west", To: "x", Down: true}
)

// speaking is the evidence of a peer whose control plane is well.
func speaking(paths ...routing.PathReport) liveness.Evidence {
	return liveness.Evidence{Self: "us", Others: 2, Paths: paths, Member: liveness.MemberAlive, Owner: liveness.Owner{Age: young}}
}

// gone is the evidence of one whose control plane is silent.
func gone(paths ...routing.PathReport) liveness.Evidence {
	e := speaking(paths...)
	e.Member, e.Owner.Age = liveness.MemberDead, old
	return e
}

func with(e liveness.Evidence, change func(*liveness.Evidence)) liveness.Evidence {
	change(&e)
	return e
}

func hinted(e liveness.Evidence, legs ...federation.Leg) liveness.Evidence {
	e.Legs = legs
	return e
}

func aged(l federation.Leg) federation.Leg {
	l.Age = liveness.HintMaxAge + 1
	return l
}

// The package's truth table, a row or more for each of its rows.
func TestTruthTable(t *testing.T) {
	for name, c := range map[string]struct {
		evidence liveness.Evidence
		kind     federation.VerdictKind
		reason   string
	}{
		"all well":                             {speaking(up, up), federation.Reachable, liveness.ReasonAnswers},
		"one gateway is enough":                {speaking(down, up), federation.Reachable, liveness.ReasonAnswers},
		"first moments":                        {with(speaking(up), func(e *liveness.Evidence) { e.Member, e.Owner.Age = liveness.MemberUnknown, never }), federation.Reachable, liveness.ReasonAnswers},
		"all gateways drain":                   {speaking(path(routing.PathUp, draining), down), federation.Draining, liveness.ReasonDraining},
		"one gateway drains":                   {speaking(path(routing.PathUp, draining), up), federation.Reachable, liveness.ReasonAnswers},
		"API server lost":                      {with(speaking(up), func(e *liveness.Evidence) { e.Owner.APIServerLost = true }), federation.ControlPlaneDown, liveness.ReasonAPIServerLost},
		"operator silent":                      {with(speaking(up), func(e *liveness.Evidence) { e.Owner.Age = old }), federation.ControlPlaneDown, liveness.ReasonOwnerSilent},
		"operator left the gossip":             {with(speaking(up), func(e *liveness.Evidence) { e.Member, e.Owner.Age = liveness.MemberDead, never }), federation.ControlPlaneDown, liveness.ReasonLeftGossip},
		"gossip loses it, it speaks":           {with(speaking(up), func(e *liveness.Evidence) { e.Member = liveness.MemberDead }), federation.Reachable, liveness.ReasonAnswers},
		"hosts refuse":                         {gone(path(routing.PathDown, refused), path(routing.PathDown, refused)), federation.GatewayDown, liveness.ReasonRefused},
		"hosts answer, gateways hang":          {speaking(path(routing.PathDown, hung), path(routing.PathDown, hung)), federation.GatewayDown, liveness.ReasonHung},
		"one refuses, one hangs":               {gone(path(routing.PathDown, refused), path(routing.PathDown, hung)), federation.GatewayDown, liveness.ReasonHung},
		"one refuses, one silent":              {gone(path(routing.PathDown, refused), down), federation.ClusterDown, liveness.ReasonNobodyReachesIt},
		"they do not hear us":                  {speaking(path(routing.PathDown, unheard), down), federation.LinkDown, liveness.ReasonTheyDoNotHearUs},
		"they did not hear us, and died":       {gone(path(routing.PathDown, unheard), down), federation.ClusterDown, liveness.ReasonNobodyReachesIt},
		"they do not hear us, others reach it": {hinted(gone(path(routing.PathDown, unheard)), reaches), federation.LinkDown, liveness.ReasonTheyDoNotHearUs},
		"we do not hear them":                  {hinted(speaking(down), federation.Leg{From: "x", To: "us", Down: true, Unheard: true}), federation.LinkDown, liveness.ReasonWeDoNotHearThem},
		"what they said of us is old":          {hinted(speaking(down), aged(federation.Leg{From: "x", To: "us", Down: true, Unheard: true})), federation.LinkDown, liveness.ReasonSilent},
		"others reach it":                      {hinted(gone(down), reaches), federation.LinkDown, liveness.ReasonOthersReachIt},
		"it reaches us, says it":               {hinted(speaking(down), federation.Leg{From: "x", To: "us", Up: true}), federation.LinkDown, liveness.ReasonSilent},
		"others reached it long ago":           {hinted(gone(down), aged(reaches)), federation.ClusterDown, liveness.ReasonNobodyReachesIt},
		"path silent, gossip silent":           {gone(down, down), federation.ClusterDown, liveness.ReasonNobodyReachesIt},
		"path silent, others too, it speaks":   {hinted(speaking(down), findsDead), federation.GatewayDown, liveness.ReasonNobodyReachesIt},
		"path silent, others too, it does not": {hinted(with(gone(down), func(e *liveness.Evidence) { e.Member = liveness.MemberSuspect }), findsDead),
			federation.ClusterDown, liveness.ReasonNobodyReachesIt},
		"path silent, gossip hears it":         {speaking(down, down), federation.LinkDown, liveness.ReasonSilent},
		"not probed":                           {speaking(unknown), federation.Unknown, liveness.ReasonNoProof},
		"one undecided keeps it from the dead": {gone(unknown, down), federation.Unknown, liveness.ReasonNoProof},
		"the proof is old":                     {speaking(path(routing.PathUp, stale)), federation.Unknown, liveness.ReasonNoProof},
		"no gateway reports":                   {speaking(), federation.Unknown, liveness.ReasonNoReport},
		"it has no gateway":                    {with(speaking(), func(e *liveness.Evidence) { e.Unregistered = true }), federation.Unknown, liveness.ReasonNoGateways},
	} {
		held := liveness.Judge(map[federation.ClusterName]liveness.Evidence{"x": c.evidence, "other": speaking(up)}, nil, time.Minute)
		if got := held["x"]; got.Kind != c.kind || got.Reason != c.reason || got.Cause == "" {
			t.Errorf("%s: %s, %s (%s), want %s, %s", name, got.Kind, got.Reason, got.Cause, c.kind, c.reason)
		}
	}
}

func TestAllSilentAtOnceMeansSuspectYourself(t *testing.T) {
	just := path(routing.PathDown, func(p *routing.PathReport) { p.Silence = time.Second }) // what b's owner said was said before
	held := liveness.Judge(map[federation.ClusterName]liveness.Evidence{"a": gone(down), "b": speaking(just)}, nil, 0)
	for name, h := range held {
		if h.Kind != federation.Unknown || !strings.Contains(h.Cause, "suspects its own network") || h.Agree != 0 {
			t.Errorf("%s: %s (%s), %d agree", name, h.Kind, h.Cause, h.Agree)
		}
	}
}

func TestASignOfOthersLiftsTheSuspicion(t *testing.T) {
	for name, sign := range map[string]liveness.Evidence{
		"one answers":                 speaking(up),
		"a host refuses":              gone(path(routing.PathDown, refused)),
		"an owner was heard since":    speaking(down),
		"one has not been probed yet": speaking(unknown),
	} {
		held := liveness.Judge(map[federation.ClusterName]liveness.Evidence{"a": gone(down), "b": sign}, nil, 0)
		if got := held["a"]; got.Kind != federation.ClusterDown {
			t.Errorf("%s: a is %s (%s)", name, got.Kind, got.Cause)
		}
	}
}

// When no owner at all is heard, our own gossip is the likelier fault.
func TestDeafnessBlamesNobody(t *testing.T) {
	quiet := with(speaking(up), func(e *liveness.Evidence) { e.Owner.Age = old })
	held := liveness.Judge(map[federation.ClusterName]liveness.Evidence{"a": quiet, "b": quiet}, nil, 0)
	if got := held["a"]; got.Kind != federation.Reachable || got.Reason != liveness.ReasonNobodySpeaks {
		t.Errorf("%s, %s", got.Kind, got.Reason)
	}
	held = liveness.Judge(map[federation.ClusterName]liveness.Evidence{"a": quiet}, nil, 0)
	if got := held["a"]; got.Kind != federation.ControlPlaneDown {
		t.Errorf("one silent owner is not everybody: %s, %s", got.Kind, got.Reason)
	}
}

func TestAgeCountsFromTheChange(t *testing.T) {
	well := map[federation.ClusterName]liveness.Evidence{"a": speaking(up)}
	lost := map[federation.ClusterName]liveness.Evidence{"a": speaking(down)}
	held := liveness.Judge(well, nil, 10*time.Second)
	held = liveness.Judge(well, held, 15*time.Second)
	held = liveness.Judge(lost, held, 20*time.Second)
	held = liveness.Judge(lost, held, 26*time.Second)
	want := federation.Verdict{
		Kind: federation.LinkDown, Reason: liveness.ReasonSilent, Cause: "no tunnel answers: 10.0.0.1:15443: cause", Age: 6 * time.Second,
		ProofAge: 20 * time.Second, RTT: 60 * time.Millisecond, Agree: 1, Of: 2,
	}
	if diff := cmp.Diff(want, held["a"].Verdict(26*time.Second)); diff != "" {
		t.Error(diff)
	}
}

// fleet plays one peer's evidence against a clock.
type fleet struct {
	held map[federation.ClusterName]liveness.Held
}

func (f *fleet) at(now time.Duration, e liveness.Evidence) federation.Verdict {
	f.held = liveness.Judge(map[federation.ClusterName]liveness.Evidence{"x": e}, f.held, now)
	return f.held["x"].Verdict(now)
}

func TestFlapsAreHeldBackUpwardsOnly(t *testing.T) {
	var f fleet
	for _, step := range []struct {
		at     time.Duration
		e      liveness.Evidence
		want   federation.VerdictKind
		reason string
	}{
		{0, speaking(up), federation.Reachable, liveness.ReasonAnswers},
		{1 * time.Second, speaking(down), federation.LinkDown, liveness.ReasonSilent},
		{2 * time.Second, speaking(up), federation.Reachable, liveness.ReasonAnswers}, // the first return is believed
		{3 * time.Second, speaking(down), federation.LinkDown, liveness.ReasonSilent}, // a loss is believed at once
		{4 * time.Second, speaking(up), federation.LinkDown, liveness.ReasonFlapping},
		{5 * time.Second, speaking(unknown), federation.Unknown, liveness.ReasonNoProof},
		{6 * time.Second, speaking(up), federation.LinkDown, liveness.ReasonFlapping}, // not knowing for a while is no way round
		{31 * time.Second, speaking(up), federation.LinkDown, liveness.ReasonFlapping},
		{32 * time.Second, speaking(up), federation.Reachable, liveness.ReasonAnswers},
	} {
		if got := f.at(step.at, step.e); got.Kind != step.want || got.Reason != step.reason {
			t.Fatalf("at %s: %s, %s (%s), want %s", step.at, got.Kind, got.Reason, got.Cause, step.want)
		}
	}
}

func TestAKnownDistanceOutlivesThePath(t *testing.T) {
	var f fleet
	f.at(0, speaking(path(routing.PathUp, func(p *routing.PathReport) { p.Jitter, p.Loss = time.Millisecond, 0.1 })))
	silent := path(routing.PathDown)
	if v := f.at(time.Second, speaking(silent)); v.RTT != 60*time.Millisecond || v.Jitter != time.Millisecond || v.Loss != 0.1 {
		t.Errorf("%+v", v)
	}
}

func TestTheNearestGatewayIsMeasured(t *testing.T) {
	far := path(routing.PathUp, func(p *routing.PathReport) { p.RTT, p.Loss, p.Silence = 90*time.Millisecond, 0.5, 0 })
	for _, paths := range [][]routing.PathReport{{far, up}, {up, far}} {
		var f fleet
		if v := f.at(0, speaking(paths...)); v.RTT != 60*time.Millisecond || v.Loss != 0 || v.ProofAge != 0 {
			t.Errorf("%+v", v)
		}
	}
}
