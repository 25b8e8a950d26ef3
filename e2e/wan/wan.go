package wan

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/causeway-mesh/causeway/e2e/wan/link"
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
	undo    []func() // what Close takes back, the last first
}

// tap holds the capture callback; a struct because atomic.Pointer wants a type.
type tap struct{ fn func(Packet) }

// pipe is one direction: its line and its goroutine's bell.
type pipe struct {
	dir  Direction
	base link.Settings // what the matrix says
	mu   sync.Mutex
	line *link.Line[*buffer]
	// bell says that something may be due earlier than it was, or that the line changed.
	// Sent by anyone, never closed; buffer 1, a full one means the bell rings already.
	bell chan struct{}
}

// New makes the devices, addresses and routes. Packets move once Run runs.
func New(cfg Config, deps Deps) (*WAN, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configuring the network: %w", err)
	}
	open, kind := openTUN, "tun"
	if deps.OnlyPackets || !Supported() {
		open, kind = openVeth(deps.Router), "veth"
	}
	w := empty(cfg, kind)
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
	w.connect()
	return w, nil
}

func empty(cfg Config, kind string) *WAN {
	return &WAN{cfg: cfg, kind: kind, pool: newPool(), ports: map[Site]*port{}, pipes: map[Direction]*pipe{}}
}

// connect makes a pipe for each direction between the ports.
func (w *WAN) connect() {
	for from := range w.ports {
		for to := range w.ports {
			if d := (Direction{from, to}); from != to {
				w.pipes[d] = newPipe(d, w.cfg)
			}
		}
	}
}

func newPipe(d Direction, cfg Config) *pipe {
	name := fnv.New64a()
	_, _ = name.Write([]byte(d.String())) // each direction has dice of its own
	base := link.Settings{Delay: cfg.Matrix.RoundTrip(d.From, d.To) / 2}
	return &pipe{
		dir: d, base: base, bell: make(chan struct{}, 1),
		line: link.New[*buffer](base, rand.New(rand.NewPCG(cfg.Seed, name.Sum64())), cfg.QueueBytes),
	}
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
	for _, p := range w.devices() {
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

// devices are the ports, each once.
func (w *WAN) devices() map[*os.File]*port {
	out := map[*os.File]*port{}
	for _, p := range w.ports {
		out[p.file] = p
	}
	return out
}

// Close closes the devices and takes routes and rules back. Run returns.
func (w *WAN) Close() {
	w.once.Do(func() {
		for file := range w.devices() {
			file.Close()
		}
		for _, f := range slices.Backward(w.undo) {
			f()
		}
	})
}
