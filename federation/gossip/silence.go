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

// talks says whether the peer owes us no answer for longer than SilenceAfter.
func (l *link) talks(now time.Duration) bool {
	return l.heard.Load() > 0 && l.quiet(now) <= l.g.cfg.SilenceAfter
}

// owe notes that an answer is owed from now on.
func (l *link) owe(now time.Duration) { l.asked.CompareAndSwap(0, int64(now)) }

// answered notes an answer.
func (l *link) answered(now time.Duration) {
	l.heard.Store(int64(now))
	l.asked.Store(0)
}

// listen looks for silence, tells others of it, and asks one of them for the word of who
// does not answer: it may be heard there.
func (g *Gossip) listen() {
	for _, c := range g.quieted() {
		g.askAround(c)
	}
}

// quieted lists the members that have not answered for another second, after telling
// others of them.
func (g *Gossip) quieted() (out []federation.ClusterName) {
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
		out = append(out, c)
		for _, other := range g.links {
			if other != l && other.speaks.Load() == speaksSigned {
				other.send(frameSilent, []byte(c))
			}
		}
	}
	return out
}

// askAround asks a member by chance, of those that answer, for what we lack of another one.
func (g *Gossip) askAround(of federation.ClusterName) {
	g.mu.Lock()
	now := g.now()
	var via *talk
	for c, l := range g.links { // a map's order is chance enough
		if c != of && l.speaks.Load() == speaksSigned && l.talks(now) {
			via = l.talk
			break
		}
	}
	g.mu.Unlock()
	if via != nil {
		_ = via.ask(of) // a full queue drops, and the next second asks again
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
