package wan

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/causeway-mesh/causeway/e2e/wan/netns"
)

// Deps are the namespaces the network joins.
type Deps struct {
	// Sites has the namespace of every site in Config.Sites.
	Sites map[Site]*netns.NS
	// Router is the namespace that holds the router's ends of the links where TUN is
	// closed to us. It may be any namespace that we own and that is no site's.
	Router *netns.NS
	// OnlyPackets skips TUN even where it is open; for tests of the other way.
	OnlyPackets bool
}

// Packet is one captured IP packet.
type Packet struct {
	From, To Site
	At       time.Time
	// IP is the whole packet from its IP header on, valid during the call only. An
	// offloaded one may exceed the MTU, and its TCP checksum may not be filled in.
	IP []byte
}

// Link is what tests and demos change while the network runs.
type Link interface {
	// Emulated tells whether delays are real; where it is false SetDelay fails.
	Emulated() bool
	SetDelay(from, to Site, oneWay time.Duration) error
	SetDrop(from, to Site, drop bool) error
}

var _ Link = (*WAN)(nil)

// WAN is the running network.
type WAN struct {
	cfg     Config
	kind    string
	pool    *pool
	ports   map[Site]*port
	pipes   map[Direction]*pipe
	tap     atomic.Pointer[tap]
	strange atomic.Uint64
	once    sync.Once
}

// tap holds the capture callback; a struct because atomic.Pointer wants a type.
type tap struct{ fn func(Packet) }

// port is a site's end of the network as the router sees it.
type port struct {
	site   Site
	prefix netip.Prefix
	file   *os.File
	offset int    // bytes in front of the IP packet
	link   []byte // link header for the way to the site; empty with TUN
}

// pipe is one direction: the queue and the goroutine's bell.
type pipe struct {
	dir Direction
	mu  sync.Mutex
	q   *queue
	// bell says that the queue was empty and is not any more, or that it changed.
	// Sent by anyone, never closed; buffer 1, a full one means the bell rings already.
	bell chan struct{}
}

// New makes the devices, addresses and routes. Packets move once Run runs.
func New(cfg Config, deps Deps) (*WAN, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configuring the network: %w", err)
	}
	w := &WAN{cfg: cfg, pool: newPool(), ports: map[Site]*port{}, pipes: map[Direction]*pipe{}}
	open, kind := openTUN, "tun"
	if deps.OnlyPackets || !tunOpen() {
		open, kind = openVeth(deps.Router), "veth"
	}
	w.kind = kind
	for _, site := range w.Sites() {
		ns := deps.Sites[site]
		if ns == nil {
			w.Close()
			return nil, fmt.Errorf("site %s has no namespace", site)
		}
		p, err := open(ns, site, cfg)
		if err != nil {
			w.Close()
			return nil, fmt.Errorf("joining site %s: %w", site, err)
		}
		w.ports[site] = p
	}
	for from := range w.ports {
		for to := range w.ports {
			d := Direction{from, to}
			if from != to {
				w.pipes[d] = &pipe{dir: d, q: newQueue(cfg.Matrix.RoundTrip(from, to)/2, cfg.QueueBytes), bell: make(chan struct{}, 1)}
			}
		}
	}
	return w, nil
}

// Sites are the sites' names in order.
func (w *WAN) Sites() []Site {
	sites := make([]Site, 0, len(w.cfg.Sites))
	for s := range w.cfg.Sites {
		sites = append(sites, s)
	}
	slices.Sort(sites)
	return sites
}

// Kind is the kind of device in use: "tun", or "veth" with packet sockets.
func (w *WAN) Kind() string { return w.kind }

// Emulated is true: both kinds of device go through the queues.
func (w *WAN) Emulated() bool { return true }

// Run moves packets until ctx ends.
func (w *WAN) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range w.ports {
		group.Go(func() error { return w.read(ctx, p) })
	}
	for _, p := range w.pipes {
		group.Go(func() error { return w.deliver(ctx, p) })
	}
	group.Go(func() error {
		<-ctx.Done()
		w.Close() // wakes the readers
		return nil
	})
	return group.Wait()
}

// Close closes the devices. Run returns.
func (w *WAN) Close() {
	w.once.Do(func() {
		for _, p := range w.ports {
			p.file.Close()
		}
	})
}

func (w *WAN) read(ctx context.Context, p *port) error {
	b := w.pool.forReading()
	for {
		n, err := p.file.Read(b.mem)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, os.ErrClosed) {
				return nil
			}
			return fmt.Errorf("reading from site %s: %w", p.site, err)
		}
		if n <= p.offset {
			w.strange.Add(1)
			continue
		}
		b.data, b.offset = b.mem[:n], p.offset
		if kept := w.forward(p.site, b); kept {
			b = w.pool.forReading()
		}
	}
}

// forward puts the frame into the pipe towards its destination. It returns true when
// it kept b.
func (w *WAN) forward(from Site, b *buffer) bool {
	dst, ok := destination(b.ip())
	if !ok {
		w.strange.Add(1)
		return false
	}
	to, ok := w.siteOf(dst)
	if !ok || to == from {
		w.strange.Add(1)
		return false
	}
	pipe := w.pipes[Direction{from, to}]
	now := time.Now()
	kept := w.pool.shrunk(b)
	pipe.mu.Lock()
	pushed := pipe.q.push(now, kept)
	if pushed {
		if t := w.tap.Load(); t != nil {
			t.fn(Packet{From: from, To: to, At: now, IP: kept.ip()})
		}
	}
	first := pipe.q.count == 1
	pipe.mu.Unlock()
	if !pushed && kept != b {
		w.pool.free(kept)
	}
	if pushed && first {
		pipe.ring()
	}
	return pushed && kept == b
}

func (w *WAN) siteOf(a netip.Addr) (Site, bool) {
	for site, p := range w.ports { // a handful of sites
		if p.prefix.Contains(a) {
			return site, true
		}
	}
	return "", false
}

func (p *pipe) ring() {
	select {
	case p.bell <- struct{}{}:
	default:
	}
}

func (w *WAN) deliver(ctx context.Context, p *pipe) error {
	out := w.ports[p.dir.To]
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		for {
			p.mu.Lock()
			b, ok := p.q.pop(time.Now())
			p.mu.Unlock()
			if !ok {
				break
			}
			w.write(out, b)
			w.pool.free(b)
		}
		p.mu.Lock()
		due, waiting := p.q.next()
		p.mu.Unlock()
		var at <-chan time.Time
		if waiting {
			timer.Reset(time.Until(due))
			at = timer.C
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.bell:
		case <-at:
		}
	}
}

// write hands the frame to the site. An error means that the site's device is full or
// going away; a router drops then, and so do we.
func (w *WAN) write(p *port, b *buffer) {
	copy(b.data[virtioHeader:b.offset], p.link)
	if _, err := p.file.Write(b.data); err != nil {
		w.strange.Add(1)
	}
}
