package gossip

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/causeway-mesh/causeway/federation"
)

// packetBytes is the size up to which memberlist fills a packet. Streams carry
// them, so no MTU binds it.
const packetBytes = 16 << 10

// Run holds the seat until ctx ends, then leaves politely within LeaveTimeout. It
// may be called once. An error means that the listener broke.
func (g *Gossip) Run(ctx context.Context) error {
	defer g.metrics.unregister(g.deps.Metrics)
	// The goodbye needs the links for a moment after ctx has ended.
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	list, err := memberlist.Create(g.memberlistConfig(inner))
	if err != nil {
		if g.deps.Listener != nil {
			_ = g.deps.Listener.Close()
		}
		return fmt.Errorf("starting memberlist: %w", err)
	}
	g.mu.Lock()
	g.list = list
	g.mu.Unlock()
	broken := make(chan error, 1) // the acceptor sends once; Run receives at most once
	if g.deps.carry == nil {
		wg.Go(func() { broken <- newAcceptor(g).run(inner) })
	}
	wg.Go(func() { g.keepJoined(inner, list) })
	err = g.loop(ctx, inner, &wg, broken)
	g.mu.Lock()
	g.list = nil
	g.mu.Unlock()
	if err == nil {
		if lerr := list.Leave(g.cfg.LeaveTimeout); lerr != nil {
			g.log.Debug("leaving gossip", "error", lerr)
		}
	}
	_ = list.Shutdown()
	return err
}

func (g *Gossip) memberlistConfig(ctx context.Context) *memberlist.Config {
	d := &delegate{g}
	c := memberlist.DefaultWANConfig()
	c.Name = string(g.cfg.Cluster)
	c.Label = g.cfg.Federation
	c.Transport = &transport{g: g, ctx: ctx}
	c.Delegate, c.Events, c.Alive, c.Merge, c.Conflict, c.Ping = d, d, d, d, d, g.coordinates
	c.ProbeInterval, c.ProbeTimeout = g.cfg.ProbeInterval, g.cfg.ProbeTimeout
	c.SuspicionMult, c.SuspicionMaxTimeoutMult = g.cfg.SuspicionMult, g.cfg.SuspicionMaxMult
	c.AwarenessMaxMultiplier = 3
	c.GossipInterval, c.PushPullInterval = g.cfg.GossipInterval, 0 // digests are exchanged instead
	c.GossipToTheDeadTime = 30 * time.Second
	c.TCPTimeout = 2 * g.cfg.DialTimeout
	c.RequireNodeNames = true
	c.DisableTcpPings = true // a probe goes over a stream already
	c.EnableCompression = false
	c.UDPBufferSize = packetBytes
	c.Logger = log.New(logWriter{g.log}, "", 0)
	return c
}

// lookEvery is how often silence is looked for.
const lookEvery = 100 * time.Millisecond

// loop keeps one link per peer and beats, until ctx ends or the listener breaks.
func (g *Gossip) loop(ctx, inner context.Context, wg *sync.WaitGroup, broken <-chan error) error {
	cancels := map[federation.ClusterName]context.CancelFunc{}
	beat := time.NewTicker(g.cfg.HeartbeatInterval)
	defer beat.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	exchange := time.NewTicker(g.cfg.ExchangeInterval)
	defer exchange.Stop()
	for {
		g.reconcile(inner, wg, cancels)
		select {
		case <-ctx.Done():
			return nil
		case err := <-broken:
			return err
		case <-g.peersChanged:
		case <-beat.C:
			g.heartbeat()
		case <-exchange.C:
			g.exchange()
		case <-look.C:
			g.listen()
			g.observe()
		}
	}
}

// reconcile starts links for new peers and ends those of former ones.
func (g *Gossip) reconcile(ctx context.Context, wg *sync.WaitGroup, cancels map[federation.ClusterName]context.CancelFunc) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c, cancel := range cancels {
		if _, ok := g.peers[c]; !ok {
			cancel()
			delete(cancels, c)
			delete(g.links, c)
		}
	}
	for c := range g.peers {
		if cancels[c] != nil {
			continue
		}
		lctx, cancel := context.WithCancel(ctx)
		l := newLink(g, c)
		cancels[c], g.links[c] = cancel, l
		if g.deps.carry != nil {
			l.connectCarried()
			continue
		}
		wg.Go(func() {
			l.run(lctx)
			g.forgetLink(c)
		})
	}
}

// forgetLink takes the series of a peer that is none any more off the metrics.
func (g *Gossip) forgetLink(c federation.ClusterName) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.links[c] == nil {
		g.metrics.links.DeleteLabelValues(string(c))
	}
}

// keepJoined joins every peer that memberlist does not count: at once when a link
// to it comes up, and every few seconds.
func (g *Gossip) keepJoined(ctx context.Context, list *memberlist.Memberlist) {
	var wg sync.WaitGroup
	defer wg.Wait()
	busy := make(chan struct{}, 8) // bounds joins under way
	tick := time.NewTicker(g.cfg.RedialMax)
	defer tick.Stop()
	join := func(c federation.ClusterName) {
		select {
		case busy <- struct{}{}:
		default:
			return
		}
		wg.Go(func() {
			defer func() { <-busy }()
			address := fmt.Sprintf("%s/%s:%d", c, madeUpIP(c), madeUpPort)
			if _, err := list.Join([]string{address}); err != nil {
				g.log.Debug("joining gossip", "cluster", c, "error", err)
			}
		})
	}
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-g.joins:
			if !g.aliveNames()[c] {
				join(c)
			}
		case <-tick.C:
			alive := g.aliveNames()
			for _, c := range g.linked() {
				if !alive[c] {
					join(c)
				}
			}
		}
	}
}

// linked lists the peers whose link is up: the others can't be joined anyway.
func (g *Gossip) linked() []federation.ClusterName {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []federation.ClusterName
	for c, l := range g.links {
		if l.up.Load() {
			out = append(out, c)
		}
	}
	return out
}

// logWriter turns memberlist's lines into records of the level they name.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(p []byte) (int, error) {
	level, text := slog.LevelDebug, bytes.TrimSpace(p)
	for prefix, l := range map[string]slog.Level{"[ERR] ": slog.LevelWarn, "[WARN] ": slog.LevelInfo, "[INFO] ": slog.LevelDebug, "[DEBUG] ": slog.LevelDebug} {
		if rest, ok := bytes.CutPrefix(text, []byte(prefix)); ok {
			level, text = l, rest
		}
	}
	w.log.Log(context.Background(), level, string(text))
	return len(p), nil
}
