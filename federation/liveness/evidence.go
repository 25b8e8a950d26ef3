package liveness

import (
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

const (
	// ProofMaxAge is how old the last answer of a tunnel may be for its path to count as
	// up. Idle paths beat once a second and are given up after three; a report comes
	// once a second.
	ProofMaxAge = 6 * time.Second
	// StatementMaxAge is how old an owner's newest statement may be for its control
	// plane to count as alive. Owners renew every second; three losses in a row and
	// one crossing fit.
	StatementMaxAge = 5 * time.Second
	// HintMaxAge is how old another cluster's word on a third one may be to count.
	HintMaxAge = 10 * time.Second
	// FlapPause is the least time between two returns of a peer that falls in between.
	FlapPause = 30 * time.Second
	// since is how much later than our tunnels' last answer a statement must have been
	// made to show that its owner outlived them.
	since = 2 * time.Second
)

// The reasons of verdicts; see the package's truth table.
const (
	ReasonSelfSuspected   = "SelfSuspected"
	ReasonFlapping        = "Flapping"
	ReasonDraining        = "Draining"
	ReasonAPIServerLost   = "APIServerLost"
	ReasonNobodySpeaks    = "NobodySpeaks"
	ReasonOwnerSilent     = "OwnerSilent"
	ReasonLeftGossip      = "LeftGossip"
	ReasonAnswers         = "Answers"
	ReasonRefused         = "Refused"
	ReasonHung            = "Hung"
	ReasonTheyDoNotHearUs = "TheyDoNotHearUs"
	ReasonWeDoNotHearThem = "WeDoNotHearThem"
	ReasonOthersReachIt   = "OthersReachIt"
	ReasonNobodyReachesIt = "NobodyReachesIt"
	ReasonSilent          = "Silent"
	ReasonNoGateways      = "NoGateways"
	ReasonNoReport        = "NoReport"
	ReasonNoProof         = "NoProof"
)

// Evidence is what is known of one peer cluster at one moment. All ages are on the
// caller's monotonic clock.
type Evidence struct {
	// Paths are the reports of our connected gateways, each with the age of the
	// report added to its silence.
	Paths []routing.PathReport
	// Member is gossip's view.
	Member Membership
	// Owner is what the peer's own control plane says.
	Owner Owner
	// Unregistered: its registration in the policy store names no gateway.
	Unregistered bool
	// Legs are hints: what other clusters say of their ways to the peer, and what the
	// peer says of its way to us (Leg.To is Self then).
	Legs []federation.Leg
	// Self is our own cluster.
	Self federation.ClusterName
	// Others is how many clusters there are beside the peer, ours included; 0 is read
	// as 1.
	Others int
}

// Owner is the peer's own word.
type Owner struct {
	// Age is that of its newest statement; negative if none was ever heard.
	Age time.Duration
	// APIServerLost: its leader says that its API server does not answer. The leader
	// lives, and keeps seat and feed.
	APIServerLost bool
}

func (o Owner) heard() bool  { return o.Age >= 0 }
func (o Owner) speaks() bool { return o.heard() && o.Age <= StatementMaxAge }

// spokeAfter says whether the newest statement is younger than a silence.
func (o Owner) spokeAfter(silence time.Duration) bool { return o.speaks() && o.Age+since < silence }

// others sums up the hints that are young enough: how many of the other clusters reach
// the peer, and how many find it dead.
func (e Evidence) others() (reach, dead []federation.ClusterName) {
	for _, l := range e.Legs {
		if l.Age > HintMaxAge || l.To == e.Self {
			continue
		}
		switch {
		case l.Up:
			reach = append(reach, l.From)
		case l.Down:
			dead = append(dead, l.From)
		}
	}
	return reach, dead
}

// hearsUs says whether the peer itself tells that ours went on reaching it.
func (e Evidence) hearsUs() bool {
	for _, l := range e.Legs {
		if l.To == e.Self && l.Unheard && l.Down && l.Age <= HintMaxAge {
			return true
		}
	}
	return false
}
