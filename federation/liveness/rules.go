package liveness

import (
	"fmt"
	"strings"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// suspicion is what all peers together say of ourselves.
type suspicion struct {
	isolated bool // every peer has fallen silent at once
	deaf     bool // no owner speaks any more
	peers    int
}

// suspect looks at all peers: at least two must agree before we doubt ourselves.
func suspect(evidence map[federation.ClusterName]Evidence) suspicion {
	s := suspicion{isolated: len(evidence) >= 2, peers: len(evidence)}
	heard, speak := 0, 0
	for _, e := range evidence {
		paths := summarize(e.Paths)
		if paths.state != routing.PathDown || paths.hostsAnswer() || e.Owner.spokeAfter(paths.silence) {
			s.isolated = false
		}
		heard, speak = heard+count(e.Owner.heard()), speak+count(e.Owner.speaks())
	}
	s.deaf = heard >= 2 && speak == 0
	return s
}

// judge reads one peer's evidence by the truth table, flaps and our own isolation
// aside.
func judge(e Evidence, deaf bool) Held {
	paths := summarize(e.Paths)
	h := Held{RTT: paths.rtt, Jitter: paths.jitter, Loss: paths.loss, Proof: paths.silence}
	switch paths.state {
	case routing.PathUp:
		h.Kind, h.Reason, h.Cause = answering(e, paths, deaf)
	case routing.PathDown:
		h.Kind, h.Reason, h.Cause = silent(e, paths)
		_, dead := e.others()
		h.Agree = 1 + len(dead)
	default:
		h.Kind = federation.Unknown
		h.Reason, h.Cause = unproved(e)
	}
	h.Of = max(1, e.Others)
	return h
}

func answering(e Evidence, paths summary, deaf bool) (federation.VerdictKind, string, string) {
	tunnels := fmt.Sprintf("tunnels answer (%d of %d)", paths.up, paths.total)
	switch {
	case paths.draining == paths.up:
		return federation.Draining, ReasonDraining, fmt.Sprintf("every gateway that answers says that it is going (%d of %d)", paths.up, paths.total)
	case e.Owner.APIServerLost:
		return federation.ControlPlaneDown, ReasonAPIServerLost, tunnels + ", but its operator says that its API server does not answer"
	case deaf && !e.Owner.speaks():
		return federation.Reachable, ReasonNobodySpeaks, tunnels + "; no operator of any cluster is heard, which is most likely our own gossip's fault"
	case e.Owner.heard() && !e.Owner.speaks():
		return federation.ControlPlaneDown, ReasonOwnerSilent, fmt.Sprintf("%s, but its operator has said nothing for %s", tunnels, round(e.Owner.Age))
	case e.Member == MemberDead && !e.Owner.speaks():
		return federation.ControlPlaneDown, ReasonLeftGossip, tunnels + ", but its operator has left the gossip"
	}
	return federation.Reachable, ReasonAnswers, tunnels
}

func silent(e Evidence, paths summary) (federation.VerdictKind, string, string) {
	reach, dead := e.others()
	gone := len(dead) > 0 && len(reach) == 0
	switch {
	case paths.refused == paths.total:
		return federation.GatewayDown, ReasonRefused, "its hosts refuse the connection: " + paths.cause
	case paths.refused+paths.hung == paths.total:
		return federation.GatewayDown, ReasonHung, "its hosts answer, its gateways do not: " + paths.cause
	case len(reach) == 0 && !e.Owner.speaks() && (e.Member == MemberDead || gone):
		return federation.ClusterDown, ReasonNobodyReachesIt, "no tunnel answers and no other cluster hears it: " + paths.cause
	case paths.unheard: // as it was when the path went down: what has died since is above
		return federation.LinkDown, ReasonTheyDoNotHearUs, "one way only: they do not hear us, their beats went on coming: " + paths.cause
	case e.hearsUs():
		return federation.LinkDown, ReasonWeDoNotHearThem, "one way only: we do not hear them, they say that our beats went on coming: " + paths.cause
	case len(reach) > 0:
		return federation.LinkDown, ReasonOthersReachIt, fmt.Sprintf("no tunnel of ours answers, %s still reaches it: %s", names(reach), paths.cause)
	case gone && e.Owner.spokeAfter(paths.silence):
		return federation.GatewayDown, ReasonNobodyReachesIt, "its operator speaks, but no tunnel of any cluster answers: " + paths.cause
	}
	return federation.LinkDown, ReasonSilent, "no tunnel answers: " + paths.cause
}

func unproved(e Evidence) (reason, cause string) {
	switch {
	case e.Unregistered:
		return ReasonNoGateways, "it has registered no gateway"
	case len(e.Paths) == 0:
		return ReasonNoReport, "no gateway of this cluster has reported on it yet"
	}
	return ReasonNoProof, fmt.Sprintf("no tunnel has answered within %s", ProofMaxAge)
}

func names(cs []federation.ClusterName) string {
	out := make([]string, len(cs))
	for i, c := range cs {
		out[i] = string(c)
	}
	return strings.Join(out, ", ")
}

func round(d time.Duration) time.Duration { return d.Round(time.Second) }
