package gossip

import (
	"fmt"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// briefing is the leader's end of a Follower's connection: it tells what it holds, and
// takes nothing.
type briefing struct{ talk *talk }

// newBriefing tells each newer beat: a standby's ages are to be true.
func newBriefing(g *Gossip, put func(kind byte, body []byte) error) briefing {
	t := g.newTalk(g.cfg.Cluster, put)
	t.stale = 1
	return briefing{t}
}

// take answers a question, and ends the answer with a pong. An error ends the connection.
func (b briefing) take(f frame, _ time.Duration) error {
	switch g := b.talk.g; {
	case f.kind == framePing:
	case f.kind == frameDigest:
		theirs, err := decodeHoldings(f.body, g.limit)
		if err != nil {
			g.metrics.refuse(reasonOf(err))
			return err
		}
		g.mu.Lock()
		theirs = g.archive.unnamed(theirs)
		g.mu.Unlock()
		if err := b.talk.send(theirs); err != nil {
			return err
		}
	case f.unknown():
		g.metrics.refuse(refuseUnknown)
		return nil
	default:
		g.metrics.refuse(refuseMalformed)
		return fmt.Errorf("%w: type %d from a follower", errFrame, f.kind)
	}
	return b.talk.put(framePong, nil)
}

// unnamed adds to what another one holds the clusters of which it holds nothing.
func (a *archive) unnamed(theirs []holding) []holding {
	named := make(map[federation.ClusterName]bool, len(theirs))
	for _, h := range theirs {
		named[h.Owner] = true
	}
	for c := range a.volumes {
		if !named[c] {
			theirs = append(theirs, holding{Owner: c})
		}
	}
	return theirs
}

// inherit takes over what was followed of a cluster that has just become a peer, unless
// it has been heard here already. The leader had it for a member, and so do we now; each
// batch was verified when it came, and its key is verified again when it is next used.
// The caller holds g.mu.
func (g *Gossip) inherit(c federation.ClusterName) {
	if g.deps.Follower == nil || g.archive.volumes[c] != nil || len(g.archive.volumes) >= g.limit.clusters {
		return
	}
	v, keys := g.deps.Follower.handOver(c)
	if v == nil {
		return
	}
	g.archive.volumes[c] = v
	for id, s := range keys {
		g.keys.keep(id, s)
	}
	poke(g.changed)
}
