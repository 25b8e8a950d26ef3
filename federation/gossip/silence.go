package gossip

import (
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// SWIM alone needs seconds: it waits for a member's turn to be probed, then for the
// suspicion to stand. But every member has a connection of its own to every other one,
// and on each a beat or ping is answered every second, at another moment for each pair.
// So the first unanswered one is seen soon. Who sees it tells all, as a hint; a hint
// changes nothing but makes its reader ask for itself, at once. A member is dead when it
// does not answer us and at least half of those whom we hear say the same. Under loss one
// or two connections stall together now and then, half of them never do.
const (
	// fewVoters is below how many others a longer silence is needed.
	fewVoters = 4
	// hintTTL is how long a hint counts; silent members are told of again every second.
	hintTTL = 2500 * time.Millisecond
)

// hints are who has said, when, that it does not hear a member. Both are peers, which bounds it.
type hints map[federation.ClusterName]map[federation.ClusterName]time.Duration

// quiet says for how long the peer has owed an answer; 0 is not at all.
func (l *link) quiet(now time.Duration) time.Duration {
	switch asked := time.Duration(l.asked.Load()); {
	case l.heard.Load() == 0:
		return 0 // never heard: nothing to miss
	case !l.up.Load():
		// A seat that moves is back after a dial; what is gone for good stays away.
		return max(0, now-time.Duration(l.heard.Load())-l.g.cfg.SilenceAfter)
	case asked == 0:
		return 0
	default:
		return now - asked
	}
}

// owe notes that an answer is owed from now on.
func (l *link) owe(now time.Duration) { l.asked.CompareAndSwap(0, int64(now)) }

// answered notes an answer.
func (l *link) answered(now time.Duration) {
	l.heard.Store(int64(now))
	l.asked.Store(0)
}

// listen looks for silence, tells others of it, and asks for itself where they do.
func (g *Gossip) listen() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	for c, l := range g.links {
		if l.quiet(now) <= g.cfg.SilenceAfter {
			if l.asked.Load() == 0 {
				delete(g.told, c)
			}
			continue
		}
		if last, ok := g.told[c]; ok && now-last < time.Second {
			continue
		}
		g.told[c] = now
		for _, other := range g.links {
			if other != l && other.speaks.Load() == speaksSigned {
				other.send(frameSilent, []byte(c))
			}
		}
	}
}

// hint takes another's word that it does not hear a member.
func (g *Gossip) hint(from, silent federation.ClusterName) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.links[silent]
	if l == nil || silent == from {
		g.metrics.refuse(refuseCluster)
		return
	}
	if g.silent[silent] == nil {
		g.silent[silent] = map[federation.ClusterName]time.Duration{}
	}
	g.silent[silent][from] = g.now()
	if l.up.Load() && l.asked.Load() == 0 {
		l.owe(g.now())
		l.send(framePing, nil)
	}
}

// gone says whether a member is dead by its silence; the caller holds g.mu.
func (g *Gossip) gone(c federation.ClusterName, now time.Duration) bool {
	l := g.links[c]
	if l == nil || l.quiet(now) <= g.cfg.SilenceAfter {
		return false
	}
	voters, votes := 0, 0
	for other, o := range g.links {
		if other == c || o.speaks.Load() != speaksSigned || o.quiet(now) > g.cfg.SilenceAfter {
			continue
		}
		voters++
		if at, ok := g.silent[c][other]; ok && now-at < hintTTL {
			votes++
		}
	}
	if voters < fewVoters && l.quiet(now) <= 3*g.cfg.SilenceAfter {
		return false
	}
	return votes > 0 && 2*votes >= voters
}
