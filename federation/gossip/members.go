package gossip

import (
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// MemberStatus is what gossip knows of a cluster's seat: its control plane, not
// its data path.
type MemberStatus string

// The statuses.
const (
	// Unknown: never seen since we started, or no longer running.
	Unknown MemberStatus = "Unknown"
	// Alive: SWIM counts it, and our own link to it answers.
	Alive MemberStatus = "Alive"
	// Suspect: SWIM still counts it, but our own link to it is down or silent; or SWIM has
	// given it up, and it answers us: others' word on a third one is a hint.
	Suspect MemberStatus = "Suspect"
	// Dead: it does not answer us, and half of the others say so too, or SWIM has given
	// it up, or it has left.
	Dead MemberStatus = "Dead"
)

// MemberState is one peer's standing.
type MemberState struct {
	Status MemberStatus
	// Since is how long the status has stood, on the own monotonic clock.
	Since time.Duration
	// Silence is how long ago our own link last heard the peer; meaningless unless Heard.
	Silence time.Duration
	Heard   bool
}

// memberNote is what is kept to tell how long a status has stood.
type memberNote struct {
	status MemberStatus
	since  time.Duration
	joined bool // has been Alive once
}

// Members shows every peer that SetPeers named.
func (g *Gossip) Members() map[federation.ClusterName]MemberState {
	g.observe()
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	out := make(map[federation.ClusterName]MemberState, len(g.peers))
	for c := range g.peers {
		n := g.members[c]
		s := MemberState{Status: n.status, Since: now - n.since}
		if n.status == "" {
			s.Status, s.Since = Unknown, now
		}
		if l := g.links[c]; l != nil && l.heard.Load() > 0 {
			s.Heard, s.Silence = true, now-time.Duration(l.heard.Load())
		}
		out[c] = s
	}
	return out
}

// observe brings the notes up to date and announces what has changed.
func (g *Gossip) observe() {
	alive := g.aliveNames()
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	for c := range g.peers {
		n := g.members[c]
		status := Unknown
		switch l := g.links[c]; {
		case n.joined && g.gone(c, now):
			status = Dead
		case alive[c] && l != nil && l.answers(now):
			status = Alive
		case alive[c], n.joined && g.list != nil && l != nil && l.talks(now):
			status = Suspect
		case n.joined && g.list != nil:
			status = Dead
		}
		if status == n.status {
			continue
		}
		g.members[c] = memberNote{status: status, since: now, joined: n.joined || alive[c]}
		if n.status != "" || status != Unknown {
			g.log.Info("gossip member", "cluster", c, "status", status, "was", n.status)
			poke(g.changed)
		}
	}
}

// aliveNames asks memberlist, which must not be done under g.mu: its callbacks take that lock.
func (g *Gossip) aliveNames() map[federation.ClusterName]bool {
	g.mu.Lock()
	list := g.list
	g.mu.Unlock()
	if list == nil {
		return nil
	}
	out := map[federation.ClusterName]bool{}
	for _, n := range list.Members() {
		out[federation.ClusterName(n.Name)] = true
	}
	return out
}
