package gossip

import (
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// This file is all that is left of version 1, whose statements are not signed: what a
// peer of that version says of itself on its own, mutually authenticated connection is
// taken, and it is told the same of us. Nothing of it is passed on, and nothing that
// others pass on is taken. See docs/adr/0012-signed-health.md for when it goes.

// unsignedHolds says whether the newest that is known of a cluster is unsigned: it has
// gone back to version 1 under a newer epoch, or never left it.
func (g *Gossip) unsignedHolds(c federation.ClusterName) bool {
	l, v := g.book.clusters[c], g.archive.volumes[c]
	return c != g.cfg.Cluster && l != nil && (v == nil || l.epoch() > v.epoch)
}

// receiveUnsigned takes a statement from its owner. It returns an answer for the
// sender: frame type 0 is none.
func (g *Gossip) receiveUnsigned(body []byte, from federation.ClusterName, held time.Duration) (kind byte, answer []byte) {
	statements, err := decode(body, g.limit)
	if err != nil {
		g.metrics.refuse(reasonOf(err))
		g.log.Debug("refusing gossip message", "cluster", from, "error", err)
		return 0, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range statements {
		if s.Owner != from {
			g.metrics.refuse(refuseNotOwner)
			continue
		}
		s.delayBy(held)
		kind, answer = g.mergeUnsigned(s)
	}
	return kind, answer
}

func (g *Gossip) mergeUnsigned(s statement) (kind byte, answer []byte) {
	now := g.now()
	if v := g.archive.volumes[s.Owner]; v != nil && max(s.Floor, s.newest().Epoch) <= v.epoch {
		// It has signed under this epoch or a newer one. A leader of the old version that
		// was superseded is told so in its own words.
		g.metrics.refuse(refuseUnsigned)
		return frameRelay, encode(statement{Owner: s.Owner, Floor: v.epoch, Beat: beat{Version: v.version()}})
	}
	out := g.book.merge(s, true, now)
	g.count(out)
	if out.changed {
		poke(g.changed)
	}
	switch {
	case out.stale:
		proof, _ := g.book.tell(s.Owner, nil, now)
		return frameRelay, encode(proof)
	case out.behind:
		return frameWant, nil
	}
	return 0, nil
}

// returned takes our own words that a peer of version 1 gives back: if we have spoken
// under this epoch before, all is said again beyond that. What it says of a newer
// epoch is not signed, and proves nothing.
func (g *Gossip) returned(body []byte) {
	statements, err := decode(body, g.limit)
	if err != nil {
		g.metrics.refuse(reasonOf(err))
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range statements {
		if s.Owner != g.cfg.Cluster || s.newest().Epoch > g.owner.at.Epoch {
			g.metrics.refuse(refuseUnsigned)
			continue
		}
		if _, again := g.owner.echo(s, g.now()); again && g.published {
			for _, l := range g.links {
				poke(l.wantFull)
			}
		}
	}
}

func (s *statement) delayBy(d time.Duration) {
	s.Beat.Age += d
	for i := range s.Records {
		s.Records[i].Age += d
	}
}

func (g *Gossip) count(out outcome) {
	if out.refused > 0 {
		g.metrics.refused.WithLabelValues(refuseServices).Add(float64(out.refused))
	}
	if out.full {
		g.metrics.refuse(refuseClusters)
	}
	if out.stale {
		g.metrics.refuse(refuseStale)
	}
}

// publishUnsigned keeps what peers of version 1 are told, and returns what is new.
func (g *Gossip) publishUnsigned(health map[federation.ServicePort]federation.Health, now time.Duration) []byte {
	counts := make(map[federation.ServicePort]Count, len(health))
	for p, h := range health {
		counts[p] = Count{Ready: h.Ready, Total: h.Total}
	}
	changed, _ := g.owner.publish(counts, now)
	if len(changed) == 0 {
		return nil
	}
	g.owner.renew(now)
	s, _ := g.book.tell(g.cfg.Cluster, changed, now)
	return encode(s)
}

func (g *Gossip) beatUnsigned(now time.Duration) []byte {
	g.owner.renew(now)
	s, _ := g.book.tell(g.cfg.Cluster, []federation.ServicePort{}, now)
	return encode(s)
}

func (g *Gossip) sendUnsigned(body []byte) {
	if body != nil {
		g.sendAll(speaksUnsigned, frameOwn, body)
	}
}

// fullStatement encodes the own complete statement; nil before the first Publish.
func (g *Gossip) fullStatement() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.published {
		return nil
	}
	return encode(g.owner.full(g.now()))
}

// tellFull has every link to a peer of version 1 send our complete statement.
func (g *Gossip) tellFull() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range g.links {
		poke(l.wantFull)
	}
}
