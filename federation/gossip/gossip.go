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
	keys    *keyring

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

	budgets budgets

	mu          sync.Mutex // guards all below
	archive     *archive
	author      *author
	latest      map[federation.ServicePort]federation.Health // as last published
	asked       map[federation.ClusterName]time.Duration     // when what is missing was last asked for
	silent      hints
	told        map[federation.ClusterName]time.Duration // when others were last told of a silent member
	book        *book                                    // what peers of version 1 say of themselves
	owner       *owner                                   // and what they are told of us
	published   bool                                     // nothing is said of ourselves before the first Publish
	superseded  uint64
	greeted     int // links that have come up
	peers       map[federation.ClusterName][]string
	hints       map[federation.ClusterName]string // addresses that members advertise
	links       map[federation.ClusterName]*link
	members     map[federation.ClusterName]memberNote
	epidemic    epidemic
	legs        legs
	coordinates *coordinates
	list        *memberlist.Memberlist // nil unless running
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
		cfg: cfg, deps: deps, log: deps.Log, start: deps.Start,
		limit:        bounds{clusters: cfg.MaxClusters, services: cfg.MaxServices, bytes: cfg.MaxMessageBytes},
		changed:      make(chan struct{}, 1),
		packets:      make(chan *memberlist.Packet, cfg.QueueLength),
		streams:      make(chan net.Conn),
		peersChanged: make(chan struct{}, 1),
		joins:        make(chan federation.ClusterName, cfg.MaxClusters),
		peers:        map[federation.ClusterName][]string{},
		hints:        map[federation.ClusterName]string{},
		links:        map[federation.ClusterName]*link{},
		legs:         legs{told: map[federation.ClusterName]*toldLegs{}},
		members:      map[federation.ClusterName]memberNote{},
		asked:        map[federation.ClusterName]time.Duration{},
		silent:       hints{},
		told:         map[federation.ClusterName]time.Duration{},
		budgets:      budgets{of: map[federation.ClusterName]*bucket{}},
		keys:         newKeyring(deps.VerifyChain, cfg.KeyRecheck),
	}
	if g.start.IsZero() {
		g.start = time.Now()
	}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	g.book = newBook(g.limit, cfg.TombstoneTTL)
	g.owner = newOwner(cfg.Cluster, cfg.Epoch, g.book)
	g.archive = newArchive(g.limit, cfg.TombstoneTTL)
	g.author = newAuthor(cfg.Cluster, cfg.Epoch, g.archive, deps.Certificate)
	var err error
	if g.coordinates, err = newCoordinates(); err != nil {
		return nil, err
	}
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
	for c := range g.peers {
		if _, ok := next[c]; !ok {
			g.forget(c)
		}
	}
	for c := range next {
		if _, ok := g.peers[c]; !ok {
			g.inherit(c)
		}
	}
	g.peers = next
	poke(g.peersChanged)
}

func (g *Gossip) forget(c federation.ClusterName) {
	delete(g.book.clusters, c)
	delete(g.archive.volumes, c)
	delete(g.hints, c)
	delete(g.members, c)
	g.coordinates.forget(c)
	delete(g.asked, c)
	delete(g.told, c)
	delete(g.silent, c)
	for _, who := range g.silent {
		delete(who, c)
	}
	g.keys.forget(c)
	g.budgets.forget(c)
	poke(g.changed)
}

// SetEpoch starts a new reign: all own records are said again under it. An epoch
// that is not higher changes nothing.
func (g *Gossip) SetEpoch(epoch uint64) {
	now := g.now()
	g.mu.Lock()
	changed := g.owner.setEpoch(epoch, now)
	if changed {
		f, err := g.author.reign(epoch, now)
		g.signed(f, err)
	}
	g.mu.Unlock()
	if changed {
		g.tellOwn()
		g.tellFull()
		poke(g.changed)
	}
}

// Publish makes health the full set of what this cluster exports. Nothing is said of
// this cluster before the first call, so call it only once the counts are known. What
// differs only in load or error rate is told with the next heartbeat.
func (g *Gossip) Publish(health map[federation.ServicePort]federation.Health) {
	now := g.now()
	g.mu.Lock()
	first := !g.published
	g.published, g.latest = true, health
	f, refused, err := g.author.publish(health, false, now)
	g.signed(f, err)
	unsigned := g.publishUnsigned(health, now)
	g.mu.Unlock()
	if refused > 0 {
		g.metrics.refused.WithLabelValues(refuseServices).Add(float64(refused))
		g.log.Error("too many exported service ports: the last ones by name are not told to other clusters",
			"limit", g.cfg.MaxServices, "left_out", refused)
	}
	if first {
		g.tellOwn()
		g.tellFull()
	} else {
		g.spread(f)
		g.sendUnsigned(unsigned)
	}
	if f != nil {
		poke(g.changed)
	}
}

// signed counts a statement that could not be signed, and makes the key of one that
// could be known.
func (g *Gossip) signed(f *filed, err error) {
	if err != nil {
		g.metrics.unsaid.Inc()
		g.log.Error("own health is not told: it cannot be signed", "error", err)
	}
	if f == nil {
		return
	}
	if cert, err := g.deps.Certificate(); err == nil {
		g.keys.own(g.cfg.Cluster, cert, g.now())
	}
}

// Records shows what is held of every cluster, the own included: live records and,
// for a while, withdrawn ones. The maps are the caller's.
func (g *Gossip) Records() map[federation.ClusterName]map[federation.ServicePort]federation.HeldRecord {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	out := g.archive.records(now)
	for c, records := range g.book.records(now) {
		if g.unsignedHolds(c) {
			out[c] = records
		}
	}
	return out
}

// Spoken shows how long ago each other cluster's leader last spoke, at least: its beats
// count although it may export nothing, so that Records has nothing of it. Who was never
// heard is missing. The map is the caller's.
func (g *Gossip) Spoken() map[federation.ClusterName]time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	out := make(map[federation.ClusterName]time.Duration, len(g.archive.volumes))
	for c, v := range g.archive.volumes {
		if c != g.cfg.Cluster && !g.unsignedHolds(c) {
			out[c] = max(now-v.heard, 0)
		}
	}
	for c, l := range g.book.clusters {
		if g.unsignedHolds(c) && l.beat.Version.Sequence > 0 {
			out[c] = max(now-l.beat.Base, 0)
		}
	}
	return out
}

// heartbeat renews all that we have said: in one small message that any reader can
// verify and pass on.
func (g *Gossip) heartbeat() {
	now := g.now()
	g.mu.Lock()
	g.book.sweep(now)
	if !g.published {
		g.mu.Unlock()
		return
	}
	f, _, err := g.author.publish(g.latest, true, now)
	if f == nil && err == nil && g.author.due(now) {
		f, err = g.author.renew(now)
	}
	g.signed(f, err)
	unsigned := g.beatUnsigned(now)
	b, beats := g.author.beat(now)
	g.mu.Unlock()
	g.spread(f)
	g.sendUnsigned(unsigned)
	if beats {
		g.sendAll(speaksSigned, frameBeat, encodeBeacon(b))
	}
}

// sendAll queues a frame on every link whose peer speaks so.
func (g *Gossip) sendAll(speaks int32, kind byte, body []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range g.links {
		if l.speaks.Load() == speaks {
			l.send(kind, body)
		}
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
	for _, v := range g.archive.volumes {
		n += len(v.listed)
	}
	for c, l := range g.book.clusters {
		if g.unsignedHolds(c) {
			n += len(l.entries)
		}
	}
	return float64(n)
}
