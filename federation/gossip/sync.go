package gossip

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// talk is one connection with a peer that speaks version 2, from either end.
type talk struct {
	g    *Gossip
	peer federation.ClusterName
	// put writes, or queues and may drop; an error ends the connection.
	put func(kind byte, body []byte) error
	// stale is by how many ticks a beat must be newer to be told in an answer.
	stale uint64

	mu   sync.Mutex
	told map[keyID]bool // keys that this connection has carried
}

func (g *Gossip) newTalk(peer federation.ClusterName, put func(byte, []byte) error) *talk {
	return &talk{g: g, peer: peer, put: put, stale: staleTicks, told: map[keyID]bool{}}
}

// take handles a signed frame. An error ends the connection.
func (t *talk) take(f frame, held time.Duration) error {
	switch f.kind {
	case frameKey:
		t.g.learn(f.body)
	case frameBatch:
		return t.takeBatch(f.body, held)
	case frameBeat:
		return t.takeBeat(f.body, held)
	case frameDigest:
		return t.compare(f.body)
	case frameLack:
		return t.supply(f.body)
	case frameSilent:
		t.g.hint(t.peer, federation.ClusterName(f.body))
	}
	return nil
}

func (g *Gossip) learn(chain []byte) {
	owner, err := g.keys.learn(chain, g.now())
	if err != nil {
		g.metrics.refuse(reasonOf(err))
		g.log.Debug("refusing a gossip key", "owner", owner, "error", err)
	}
}

// reasonOf gives the label under which a refusal is counted.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, errUnsigned):
		return refuseUnsigned
	case errors.Is(err, errUnknownKey):
		return refuseUnknownKey
	case errors.Is(err, errSignature):
		return refuseSignature
	case errors.Is(err, errVersion):
		return refuseVersion
	case errors.Is(err, errKey):
		return refuseKey
	case errors.Is(err, errTooManyServices):
		return refuseServices
	case errors.Is(err, errTooManyClusters):
		return refuseClusters
	case errors.Is(err, errOversized):
		return refuseOversized
	}
	return refuseMalformed
}

// admit verifies a batch that brings something new. The reason says why it is refused.
func (g *Gossip) admit(sealed []byte, now time.Duration) (owner federation.ClusterName, b batch, reason string) {
	id, payload, err := unseal(sealed)
	if err != nil {
		return "", b, reasonOf(err)
	}
	s, err := g.keys.get(id, now)
	if err != nil {
		return "", b, reasonOf(err)
	}
	b = peekBatch(payload)
	g.mu.Lock()
	_, peer := g.peers[s.owner]
	v := g.archive.volumes[s.owner]
	had := v != nil && v.has(b)
	stale := v != nil && b.Version.Epoch < v.epoch
	g.mu.Unlock()
	switch {
	case !peer && s.owner != g.cfg.Cluster:
		return s.owner, b, refuseCluster
	case stale:
		return s.owner, b, refuseStale
	case had: // known, or a replay: not worth a verification
		return s.owner, b, refuseReplayed
	}
	if _, payload, err = g.keys.open(sealed, now); err != nil {
		return s.owner, b, reasonOf(err)
	}
	if b, err = decodeBatch(payload, g.limit.services); err != nil {
		return s.owner, b, reasonOf(err)
	}
	return s.owner, b, ""
}

func (t *talk) takeBatch(body []byte, held time.Duration) error {
	g := t.g
	age, sealed, err := splitBatch(body)
	if err != nil {
		g.metrics.refuse(reasonOf(err))
		return nil
	}
	now := g.now()
	owner, b, reason := g.admit(sealed, now)
	if reason != "" {
		g.metrics.refuse(reason)
		if reason == refuseStale && owner == t.peer {
			return t.prove(owner)
		}
		return nil
	}
	if owner == g.cfg.Cluster {
		g.heardOwn(sealed, b)
		return nil
	}
	if g.file(owner, sealed, b, age+held) {
		return t.ask(owner)
	}
	return nil
}

// file takes in a verified batch, passes it on, and says whether its owner has said
// more than we hold.
func (g *Gossip) file(owner federation.ClusterName, sealed []byte, b batch, age time.Duration) (behind bool) {
	g.mu.Lock()
	out := g.archive.file(owner, sealed, b, age, g.now())
	if out.news {
		g.passOn(owner, b, len(sealed))
	}
	g.mu.Unlock()
	g.note(out)
	return out.behind
}

func (g *Gossip) note(out filing) {
	g.metrics.note(out)
	if out.changed {
		poke(g.changed)
	}
}

// maxRumour bounds a batch that the epidemic carries; larger ones are repaired by the
// exchange of digests.
const maxRumour = 4 << 10

func (g *Gossip) passOn(owner federation.ClusterName, b batch, size int) {
	if size <= maxRumour && !b.Snapshot {
		g.epidemic.add(rumour{owner: owner, version: b.Version})
	}
}

// prove returns the owner's own newer word to one who speaks under an older epoch.
func (t *talk) prove(owner federation.ClusterName) error {
	t.g.mu.Lock()
	var newest *filed
	if v := t.g.archive.volumes[owner]; v != nil {
		newest = v.last()
	}
	t.g.mu.Unlock()
	if newest == nil {
		return nil
	}
	return t.tell(newest)
}

// tell sends a batch, after its key if this connection has not carried that yet.
func (t *talk) tell(f *filed) error {
	id, _, err := unseal(f.sealed)
	if err != nil {
		return err
	}
	if err := t.introduce(id); err != nil {
		return err
	}
	return t.put(frameBatch, encodeBatch(t.g.now()-f.made, f.sealed))
}

func (t *talk) introduce(id keyID) error {
	t.mu.Lock()
	known := t.told[id]
	t.told[id] = true
	t.mu.Unlock()
	if known {
		return nil
	}
	if chain := t.g.keys.chainOf(id); chain != nil {
		return t.put(frameKey, chain)
	}
	return nil
}

func (t *talk) takeBeat(body []byte, held time.Duration) error {
	g := t.g
	b, err := decodeBeacon(body)
	if err != nil {
		g.metrics.refuse(refuseMalformed)
		return nil
	}
	if b.Owner == g.cfg.Cluster {
		return nil
	}
	if !g.knows(b.Owner) {
		g.metrics.refuse(refuseCluster)
		return nil
	}
	b.Age += held
	g.mu.Lock()
	out := g.archive.beat(b, g.now())
	g.mu.Unlock()
	g.note(out)
	switch {
	case out.stale && b.Owner == t.peer:
		return t.prove(b.Owner)
	case out.behind:
		return t.ask(b.Owner)
	}
	return nil
}

// askAgain is how long an owner's missing words are waited for before they are asked
// for again: longer than the longest round trip.
const askAgain = 300 * time.Millisecond

// ask asks the other end for what we lack of an owner.
func (t *talk) ask(owner federation.ClusterName) error {
	g := t.g
	g.mu.Lock()
	now := g.now()
	last, asked := g.asked[owner]
	if asked && now-last < askAgain {
		g.mu.Unlock()
		return nil
	}
	g.asked[owner] = now
	h := g.archive.held(owner)
	g.mu.Unlock()
	return t.put(frameLack, encodeHoldings([]holding{h}))
}

// compare answers a digest: with what the other end lacks, and a request for what we do.
func (t *talk) compare(body []byte) error {
	g := t.g
	theirs, err := decodeHoldings(body, g.limit)
	if err != nil {
		g.metrics.refuse(reasonOf(err))
		return nil
	}
	var lack []holding
	g.mu.Lock()
	for _, h := range theirs {
		if _, peer := g.peers[h.Owner]; (peer || h.Owner == g.cfg.Cluster) && g.archive.less(h) {
			lack = append(lack, g.archive.held(h.Owner))
		}
	}
	theirs = g.archive.unnamed(theirs)
	g.mu.Unlock()
	if len(lack) > 0 {
		if err := t.put(frameLack, encodeHoldings(lack)); err != nil {
			return err
		}
	}
	return t.send(theirs)
}

// supply answers a request.
func (t *talk) supply(body []byte) error {
	theirs, err := decodeHoldings(body, t.g.limit)
	if err != nil {
		t.g.metrics.refuse(reasonOf(err))
		return nil
	}
	return t.send(theirs)
}

// maxAnswer bounds what one digest or request brings, in batches' bytes; the rest
// comes with the next one.
const maxAnswer = 4 << 20

// send tells what the other end lacks, given what it holds.
func (t *talk) send(theirs []holding) error {
	left := maxAnswer
	for _, h := range theirs {
		if h.Owner == t.peer && t.peer != t.g.cfg.Cluster && !t.ahead(h) {
			continue // it knows best what it has said itself
		}
		t.g.mu.Lock()
		missing, beat := t.g.archive.lacking(h, t.stale, t.g.now())
		t.g.mu.Unlock()
		for _, f := range missing {
			if left -= len(f.sealed); left < 0 {
				return nil
			}
			if err := t.tell(f); err != nil {
				return err
			}
		}
		if beat != nil {
			if err := t.put(frameBeat, encodeBeacon(*beat)); err != nil {
				return err
			}
		}
	}
	return nil
}

// ahead says whether we hold more of the peer's own words than it says to have spoken.
func (t *talk) ahead(h holding) bool {
	t.g.mu.Lock()
	defer t.g.mu.Unlock()
	own := t.g.archive.held(h.Owner)
	return own.Epoch > h.Epoch || own.Epoch == h.Epoch && own.Upto > h.Upto
}

// heardOwn handles a verified batch of our own cluster that is not what we have said.
func (g *Gossip) heardOwn(sealed []byte, b batch) {
	g.mu.Lock()
	newer, again := g.author.echo(sealed, b, g.now())
	if newer <= g.superseded {
		newer = 0
	}
	if newer > 0 {
		g.superseded = newer
		g.metrics.superseded.Inc()
		g.log.Warn("a newer leader of our cluster has spoken: a peer returned its signed record",
			"epoch", newer, "own_epoch", g.author.epoch)
	}
	g.mu.Unlock()
	if again {
		g.tellOwn()
	}
	if newer > 0 && g.deps.Superseded != nil {
		g.deps.Superseded(newer)
	}
}

// spread sends a batch of our own to every live member at once.
func (g *Gossip) spread(f *filed) {
	if f == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.passOn(g.cfg.Cluster, f.batch, len(f.sealed))
	for _, l := range g.links {
		if l.speaks.Load() == speaksSigned {
			_ = l.talk.tell(f) // a full queue drops, and digests repair
		}
	}
}

// tellOwn has every link compare what it has told with what we have said.
func (g *Gossip) tellOwn() {
	g.mu.Lock()
	links := slices.Collect(maps.Values(g.links))
	g.mu.Unlock()
	for _, l := range links {
		if g.deps.carry == nil {
			poke(l.wantSync)
			continue
		}
		_ = l.sync(func(kind byte, _ time.Duration, body []byte) error {
			l.send(kind, body)
			return nil
		})
	}
}

// exchange sends our digest to one peer by chance.
func (g *Gossip) exchange() {
	g.mu.Lock()
	var up []*link
	for _, l := range g.links {
		if l.speaks.Load() == speaksSigned {
			up = append(up, l)
		}
	}
	body := encodeHoldings(g.archive.digest())
	g.mu.Unlock()
	if len(up) == 0 || len(body) == 0 {
		return
	}
	up[rand.N(len(up))].send(frameDigest, body)
}

// askAny asks the owner itself, or else a peer by chance, for what we lack of it.
func (g *Gossip) askAny(owner federation.ClusterName) {
	g.mu.Lock()
	l := g.links[owner]
	for _, other := range g.links { // a map's order is chance enough
		if l == nil || l.speaks.Load() != speaksSigned {
			l = other
		}
	}
	g.mu.Unlock()
	if l != nil && l.speaks.Load() == speaksSigned {
		_ = l.talk.ask(owner) // a full queue drops, and digests repair
	}
}
