package gossip

import (
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/causeway-mesh/causeway/federation"
)

// Gossip is this cluster's seat.
type Gossip struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	metrics *metrics
	start   time.Time // zero of the own monotonic clock
	limit   bounds

	// changed: we send, the caller of Changed receives. Buffer 1, coalesced.
	changed chan struct{}
	// packets and streams: the acceptor sends, memberlist receives. A full packets
	// channel drops; streams waits for memberlist or the end of Run.
	packets chan *memberlist.Packet
	streams chan net.Conn
	// peersChanged wakes Run. Buffer 1, coalesced.
	peersChanged chan struct{}
	// joins: links ask Run's joiner to join a peer now. A full buffer drops; the
	// joiner comes round by itself.
	joins chan federation.ClusterName

	mu         sync.Mutex // guards all below
	book       *book
	owner      *owner
	published  bool // nothing is said of ourselves before the first Publish
	superseded uint64
	peers      map[federation.ClusterName][]string
	hints      map[federation.ClusterName]string // addresses that members advertise
	links      map[federation.ClusterName]*link
	members    map[federation.ClusterName]memberNote
	epidemic   epidemic
	list       *memberlist.Memberlist // nil unless running
}

// New checks the configuration and starts nothing.
func New(cfg Config, deps Deps) (*Gossip, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := deps.validate(); err != nil {
		return nil, err
	}
	g := &Gossip{
		cfg: cfg, deps: deps, log: deps.Log, start: time.Now(),
		limit:        bounds{clusters: cfg.MaxClusters, services: cfg.MaxServices, bytes: cfg.MaxMessageBytes},
		changed:      make(chan struct{}, 1),
		packets:      make(chan *memberlist.Packet, cfg.QueueLength),
		streams:      make(chan net.Conn),
		peersChanged: make(chan struct{}, 1),
		joins:        make(chan federation.ClusterName, cfg.MaxClusters),
		peers:        map[federation.ClusterName][]string{},
		hints:        map[federation.ClusterName]string{},
		links:        map[federation.ClusterName]*link{},
		members:      map[federation.ClusterName]memberNote{},
	}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	g.book = newBook(g.limit, cfg.TombstoneTTL)
	g.owner = newOwner(cfg.Cluster, cfg.Epoch, g.book)
	var err error
	g.metrics, err = newMetrics(deps.Metrics, g.heldCount)
	return g, err
}

// now is the own monotonic clock.
func (g *Gossip) now() time.Duration { return time.Since(g.start) }

// Changed tells that Records or Members would answer differently, ages aside.
func (g *Gossip) Changed() <-chan struct{} { return g.changed }

// SetPeers replaces the other clusters and their gateways' addresses. What was
// held of a cluster that is no longer a peer is forgotten. Peers beyond
// MaxClusters are left out, the last by name first.
func (g *Gossip) SetPeers(peers map[federation.ClusterName][]string) {
	names := slices.Sorted(maps.Keys(peers))
	names = slices.DeleteFunc(names, func(c federation.ClusterName) bool {
		return c == g.cfg.Cluster || !validName(c)
	})
	if n := len(names) - (g.cfg.MaxClusters - 1); n > 0 {
		g.metrics.refused.WithLabelValues(refuseClusters).Add(float64(n))
		names = names[:g.cfg.MaxClusters-1]
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	next := make(map[federation.ClusterName][]string, len(names))
	for _, c := range names {
		next[c] = slices.Clone(peers[c])
		if l := g.links[c]; l != nil && !slices.Equal(next[c], g.peers[c]) {
			poke(l.redial)
		}
	}
	g.peers = next
	for c := range g.book.clusters {
		if _, ok := next[c]; !ok && c != g.cfg.Cluster {
			delete(g.book.clusters, c)
			delete(g.hints, c)
			delete(g.members, c)
			poke(g.changed)
		}
	}
	poke(g.peersChanged)
}

// SetEpoch starts a new reign: all own records are said again under it. An epoch
// that is not higher changes nothing.
func (g *Gossip) SetEpoch(epoch uint64) {
	g.mu.Lock()
	changed := g.owner.setEpoch(epoch, g.now())
	g.mu.Unlock()
	if changed {
		g.tellFull()
		poke(g.changed)
	}
}

// Publish makes counts the full set of what this cluster exports. Nothing is said
// of this cluster before the first call, so call it only once the counts are known.
func (g *Gossip) Publish(counts map[federation.ServicePort]Count) {
	now := g.now()
	g.mu.Lock()
	changed, refused := g.owner.publish(counts, now)
	first := !g.published
	g.published = true
	var body []byte
	if len(changed) > 0 && !first {
		g.owner.renew(now)
		s, _ := g.book.tell(g.cfg.Cluster, changed, now)
		body = encode(s)
		g.passOn(g.cfg.Cluster, changed)
	}
	g.mu.Unlock()
	if refused > 0 {
		g.metrics.refused.WithLabelValues(refuseServices).Add(float64(refused))
		g.log.Error("too many exported service ports: the last ones by name are not told to other clusters",
			"limit", g.cfg.MaxServices, "left_out", refused)
	}
	switch {
	case first:
		g.tellFull()
	case body != nil:
		g.sendAll(frameOwn, body)
	}
	if first || len(changed) > 0 {
		poke(g.changed)
	}
}

// Records shows what is held of every cluster, the own included: live records and,
// for a while, withdrawn ones. The maps are the caller's.
func (g *Gossip) Records() map[federation.ClusterName]map[federation.ServicePort]federation.HeldRecord {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.book.records(g.now())
}

// receive takes in statements: from is their sender if it speaks of itself, or empty
// for relayed ones. held is how long they were stuck on their way. It returns an
// answer for the sender: frame type 0 is none.
func (g *Gossip) receive(body []byte, from federation.ClusterName, held time.Duration) (kind byte, answer []byte) {
	return g.receiveWithin(body, from, held, g.limit)
}

func (g *Gossip) receiveWithin(body []byte, from federation.ClusterName, held time.Duration, lim bounds) (kind byte, answer []byte) {
	statements, err := decode(body, lim)
	if err != nil {
		g.metrics.refuse(refuseMalformed)
		g.log.Debug("refusing gossip message", "cluster", from, "error", err)
		return 0, nil
	}
	var changed bool
	var newer uint64
	g.mu.Lock()
	now := g.now()
	for _, s := range statements {
		if from != "" && s.Owner != from {
			g.metrics.refuse(refuseNotOwner)
			continue
		}
		s.delayBy(held)
		if s.Owner == g.cfg.Cluster {
			newer = max(newer, g.heardOfUs(s, now))
			continue
		}
		if _, ok := g.peers[s.Owner]; !ok {
			g.metrics.refuse(refuseCluster)
			continue
		}
		out := g.book.merge(s, from != "", now)
		changed = changed || out.changed
		g.count(out)
		g.passOnNews(s.Owner, out)
		switch {
		case from == "":
		case out.stale:
			proof, _ := g.book.tell(s.Owner, nil, now)
			kind, answer = frameRelay, encode(proof)
		case out.behind && kind == 0:
			kind = frameWant
		}
	}
	g.mu.Unlock()
	if changed {
		poke(g.changed)
	}
	if newer > 0 && g.deps.Superseded != nil {
		g.deps.Superseded(newer)
	}
	return kind, answer
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

// heardOfUs handles our own statements coming back. It returns an epoch, once, if they prove
// a newer leader of our cluster.
func (g *Gossip) heardOfUs(s statement, now time.Duration) uint64 {
	newer, restamped := g.owner.echo(s, now)
	if restamped && g.published {
		for _, l := range g.links {
			poke(l.wantFull)
		}
	}
	if newer <= g.superseded {
		return 0
	}
	g.superseded = newer
	g.metrics.superseded.Inc()
	g.log.Warn("a newer leader of our cluster has spoken: a peer returned its record",
		"epoch", newer, "own_epoch", g.owner.at.Epoch)
	return newer
}

// passOnNews gives memberlist's epidemic what was new to us.
func (g *Gossip) passOnNews(owner federation.ClusterName, out outcome) {
	if len(out.news) > 0 {
		g.passOn(owner, out.news)
	}
	if out.renewed {
		g.epidemic.add(rumour{owner: owner})
	}
}

func (g *Gossip) passOn(owner federation.ClusterName, ports []federation.ServicePort) {
	for _, p := range ports {
		g.epidemic.add(rumour{owner, p})
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

// tellFull has every link send our complete statement.
func (g *Gossip) tellFull() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range g.links {
		poke(l.wantFull)
	}
}

// heartbeat renews all that we have said, in one small message.
func (g *Gossip) heartbeat() {
	g.mu.Lock()
	g.book.sweep(g.now())
	if !g.published {
		g.mu.Unlock()
		return
	}
	now := g.now()
	g.owner.renew(now)
	s, _ := g.book.tell(g.cfg.Cluster, []federation.ServicePort{}, now)
	body := encode(s)
	g.epidemic.add(rumour{owner: g.cfg.Cluster})
	g.mu.Unlock()
	g.sendAll(frameOwn, body)
}

func (g *Gossip) sendAll(kind byte, body []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range g.links {
		l.send(kind, body)
	}
}

func (g *Gossip) knows(c federation.ClusterName) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.peers[c]
	return ok
}

func (g *Gossip) linkTo(c federation.ClusterName) *link {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.links[c]
}

// addressesOf gives a peer's gateways, and last what it advertises itself.
func (g *Gossip) addressesOf(c federation.ClusterName) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := slices.Clone(g.peers[c])
	if h := g.hints[c]; h != "" && !slices.Contains(out, h) {
		out = append(out, h)
	}
	return out
}

func (g *Gossip) joinNow(c federation.ClusterName) {
	select {
	case g.joins <- c:
	default:
	}
}

func (g *Gossip) heldCount() float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, l := range g.book.clusters {
		n += len(l.entries)
	}
	return float64(n)
}
