package liveness

import (
	"fmt"
	"slices"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// Membership is what gossip says of a member.
type Membership string

// The states of membership.
const (
	MemberAlive   Membership = "Alive"
	MemberSuspect Membership = "Suspect"
	MemberDead    Membership = "Dead"
	MemberUnknown Membership = "Unknown"
)

// statementMaxAge is how old an owner's newest statement may be for its control
// plane to count as alive. Owners renew every second; three losses in a row and
// one crossing fit.
const statementMaxAge = 5 * time.Second

// Evidence is what is known of one peer cluster at one moment.
type Evidence struct {
	// Paths are the reports of our connected gateways, each with the age of the
	// report added to its silence.
	Paths []routing.PathReport
	// Member is gossip's view.
	Member Membership
	// StatementAge is the age of the owner's newest statement; negative if none
	// was ever heard.
	StatementAge time.Duration
}

// Held is a verdict as Judge keeps it from one round to the next.
type Held struct {
	Kind  federation.VerdictKind
	Cause string
	Since time.Duration // on the caller's monotonic clock
	RTT   time.Duration
	Proof time.Duration // age of the newest evidence
}

// Verdict is the value for readers at the moment now.
func (h Held) Verdict(now time.Duration) federation.Verdict {
	return federation.Verdict{Kind: h.Kind, Cause: h.Cause, Age: max(0, now-h.Since), ProofAge: h.Proof, RTT: h.RTT}
}

// Judge concludes anew for every peer. prev keeps the age of verdicts that stand;
// now is the caller's monotonic clock.
func Judge(evidence map[federation.ClusterName]Evidence, prev map[federation.ClusterName]Held, now time.Duration) map[federation.ClusterName]Held {
	isolated := allSilent(evidence)
	out := make(map[federation.ClusterName]Held, len(evidence))
	for name, e := range evidence {
		h := judge(e)
		if isolated {
			h.Kind = federation.Unknown
			h.Cause = fmt.Sprintf("all %d peers fell silent at once: this cluster suspects its own network", len(evidence))
		}
		h.Since = now
		if old, ok := prev[name]; ok && old.Kind == h.Kind {
			h.Since = old.Since
		}
		if old := prev[name]; h.RTT == 0 {
			h.RTT = old.RTT // the last measured distance outlives the path
		}
		out[name] = h
	}
	return out
}

// allSilent says whether at least two peers had been probed and none answers.
func allSilent(evidence map[federation.ClusterName]Evidence) bool {
	probed := 0
	for _, e := range evidence {
		switch summarize(e.Paths).state {
		case routing.PathUp:
			return false
		case routing.PathDown:
			probed++
		}
	}
	return probed >= 2 && probed == len(evidence)
}

func judge(e Evidence) Held {
	paths := summarize(e.Paths)
	h := Held{Kind: federation.Unknown, RTT: paths.rtt, Proof: paths.silence}
	speaks := e.StatementAge >= 0 && e.StatementAge <= statementMaxAge
	switch {
	case paths.state == routing.PathUp && e.StatementAge > statementMaxAge:
		h.Kind = federation.ControlPlaneDown
		h.Cause = fmt.Sprintf("tunnels answer (%d of %d), but its operator has said nothing for %s", paths.up, paths.total, round(e.StatementAge))
	case paths.state == routing.PathUp && e.Member == MemberDead && !speaks:
		h.Kind = federation.ControlPlaneDown
		h.Cause = fmt.Sprintf("tunnels answer (%d of %d), but its operator has left the gossip", paths.up, paths.total)
	case paths.state == routing.PathUp:
		h.Kind = federation.Reachable
		h.Cause = fmt.Sprintf("tunnels answer (%d of %d)", paths.up, paths.total)
	case paths.state == routing.PathDown && paths.refused == paths.total:
		h.Kind = federation.GatewayDown
		h.Cause = "its hosts refuse the connection: " + paths.cause
	case paths.state == routing.PathDown && e.Member == MemberDead:
		h.Kind = federation.ClusterDown
		h.Cause = "no tunnel answers and no other cluster hears it: " + paths.cause
	case paths.state == routing.PathDown:
		h.Kind = federation.LinkDown
		h.Cause = "no tunnel answers: " + paths.cause
	case len(e.Paths) == 0:
		h.Cause = "no gateway of this cluster has reported on it yet"
	default:
		h.Cause = "its gateways have not answered a probe yet"
	}
	return h
}

// summary is what all local gateways together saw of one peer.
type summary struct {
	state              routing.PathState
	total, up, refused int
	rtt, silence       time.Duration
	cause              string
}

// summarize: one live path makes the peer live; it is down only when every known
// path is down and none is still undecided.
func summarize(paths []routing.PathReport) summary {
	s := summary{state: routing.PathUnknown, total: len(paths)}
	down := 0
	for _, p := range paths {
		switch p.State {
		case routing.PathUp:
			s.rtt, s.silence = least(s.rtt, p.RTT, s.up == 0), least(s.silence, p.Silence, s.up == 0)
			s.up++
		case routing.PathDown:
			down++
			if p.Refused {
				s.refused++
			}
		}
	}
	switch {
	case s.up > 0:
		s.state = routing.PathUp
	case down > 0 && down == len(paths):
		s.state = routing.PathDown
		p := slices.MinFunc(paths, func(a, b routing.PathReport) int { return int(a.Silence - b.Silence) })
		s.cause, s.silence = fmt.Sprintf("%s: %s", p.Address, p.Cause), p.Silence
	}
	return s
}

func least(held, seen time.Duration, first bool) time.Duration {
	if first {
		return seen
	}
	return min(held, seen)
}

func round(d time.Duration) time.Duration { return d.Round(time.Second) }
