package memnet

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"sync"
	"time"
)

// Site is a place on the map; all hosts of a site share its ways to others.
type Site string

// way is the direction from one site to another.
type way struct{ from, to Site }

// Net is the network.
type Net struct {
	seed   uint64
	oneWay func(from, to Site) time.Duration
	post   *post

	mu    sync.Mutex // guards all below, and every host, conn and flow
	loss  float64
	cut   map[way]bool
	slow  map[Site]time.Duration
	doors map[Site]*Host
	dark  map[Site]bool
	conns map[way]uint64
}

// New makes a network whose sites are oneWay apart, and starts its delivering goroutine.
// Equal seeds draw equal losses on the n-th connection between two sites.
func New(seed uint64, oneWay func(from, to Site) time.Duration) *Net {
	return &Net{
		seed: seed, oneWay: oneWay, post: newPost(), cut: map[way]bool{}, slow: map[Site]time.Duration{},
		doors: map[Site]*Host{}, dark: map[Site]bool{}, conns: map[way]uint64{},
	}
}

// Close ends delivery.
func (n *Net) Close() { n.post.stop() }

// SetLoss sets the part of segments that are lost, 0 to below 1, on all ways.
func (n *Net) SetLoss(p float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss = p
}

// SetCut cuts the way from one site to another, or mends it.
func (n *Net) SetCut(from, to Site, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[way{from, to}] = cut
}

// SetSlow makes everything that leaves a site, or comes to it, so much later.
func (n *Net) SetSlow(s Site, by time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.slow[s] = by
}

// Open says whether what is sent now from one site reaches another one.
func (n *Net) Open(from, to Site) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open(from, to)
}

func (n *Net) open(from, to Site) bool { return !n.cut[way{from, to}] && !n.dark[from] && !n.dark[to] }

// delay is how long a segment takes that leaves now.
func (n *Net) delay(from, to Site) time.Duration {
	return n.oneWay(from, to) + n.slow[from] + n.slow[to]
}

// lost draws the fate of so many segments.
func (n *Net) lost(rng *rand.Rand, segments int) bool {
	lost := false
	for range segments {
		lost = rng.Float64() < n.loss || lost
	}
	return lost
}

// source is what the next connection's flow from one site to another draws from.
func (n *Net) source(from, to Site) *rand.Rand {
	n.conns[way{from, to}]++
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s>%s#%d", from, to, n.conns[way{from, to}])
	return rand.New(rand.NewPCG(n.seed, h.Sum64())) //nolint:gosec // a simulation
}

// Host is one process on a site, with its kernel.
type Host struct {
	net  *Net
	site Site

	listener *Listener
	conns    map[*conn]struct{}
	dead     bool // nothing leaves it any more, and nothing comes
	ended    bool // its process dials no more
}

// NewHost makes a host.
func (n *Net) NewHost(s Site) *Host {
	h := &Host{net: n, site: s, conns: map[*conn]struct{}{}}
	h.listener = &Listener{host: h, queue: make(chan *conn, backlog), closed: make(chan struct{})}
	return h
}

// Site is where the host stands.
func (h *Host) Site() Site { return h.site }

// Listener is the host's; see Net.Serve.
func (h *Host) Listener() *Listener { return h.listener }

// Serve makes a host the one that takes new connections to its site; a site without one
// refuses them.
func (n *Net) Serve(s Site, h *Host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.doors[s] = h
}

// Kill ends a process: its connections are closed by its kernel.
func (h *Host) Kill() {
	h.net.locked(func() { h.ended = true })
	_ = h.listener.Close()
	for _, c := range h.open() {
		_ = c.Close()
	}
}

func (h *Host) open() []*conn {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	var out []*conn
	for c := range maps.Keys(h.conns) {
		out = append(out, c)
	}
	return out
}

// Darken takes a site from the network without a word, with all hosts on it; hosts made
// afterwards live once it is lit again.
func (n *Net) Darken(s Site, hosts ...*Host) {
	n.mu.Lock()
	n.dark[s] = true
	for _, h := range hosts {
		h.dead = true
	}
	n.mu.Unlock()
	for _, h := range hosts {
		h.Kill()
	}
}

// Light brings a dark site back.
func (n *Net) Light(s Site) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.dark, s)
}
