package tunnel

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

var (
	lossyHours = flag.Float64("lossy-hours", 0, "virtual hours of TestLossIsNotDeath; 0 is ten minutes")
	lossyPairs = flag.Int("lossy-pairs", 3, "pairs of clusters of TestLossIsNotDeath, each of two gateways and two")
	lossyOut   = flag.String("lossy-out", "", "folder for its samples")
	lossyLoss  = flag.Float64("lossy-loss", 0.05, "part of segments that are lost, each way")
)

// lane is one direction of a connection: in order, and never lost but late, since a lost
// segment waits for its retransmission timer (RFC 6298 with Linux's least of 200 ms),
// which doubles.
type lane struct {
	mu     sync.Mutex
	rng    *rand.Rand
	loss   float64
	oneWay time.Duration
	last   time.Time
	in     []byte
	closed bool
	more   chan struct{} // buffer 1, full = already told
}

func newLane(seed uint64, loss float64, oneWay time.Duration) *lane {
	return &lane{rng: rand.New(rand.NewPCG(seed, 7)), loss: loss, oneWay: oneWay, more: make(chan struct{}, 1)} //nolint:gosec // a simulation
}

func (l *lane) send(p []byte, end bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := time.Now().Add(l.oneWay)
	for rto := 2*l.oneWay + 200*time.Millisecond; l.rng.Float64() < l.loss; rto *= 2 {
		at = at.Add(rto)
	}
	if !at.After(l.last) {
		at = l.last.Add(1)
	}
	l.last = at
	time.AfterFunc(time.Until(at), func() {
		l.mu.Lock()
		l.in, l.closed = append(l.in, p...), l.closed || end
		l.mu.Unlock()
		select {
		case l.more <- struct{}{}:
		default:
		}
	})
}

// lossy is one end of a connection of two lanes.
type lossy struct {
	net.Conn // nil: addresses are not asked for
	in, out  *lane
	once     sync.Once
	done     chan struct{}
}

func (c *lossy) Read(p []byte) (int, error) {
	for {
		c.in.mu.Lock()
		n := copy(p, c.in.in)
		c.in.in = c.in.in[n:]
		closed := c.in.closed
		c.in.mu.Unlock()
		switch {
		case n > 0:
			return n, nil
		case closed:
			return 0, io.EOF
		}
		select {
		case <-c.in.more:
		case <-c.done:
			return 0, net.ErrClosed
		}
	}
}

func (c *lossy) Write(p []byte) (int, error) {
	c.out.send(append([]byte(nil), p...), false)
	return len(p), nil
}

func (c *lossy) Close() error {
	c.once.Do(func() { close(c.done); c.out.send(nil, true) })
	return nil
}

func (c *lossy) SetReadDeadline(time.Time) error  { return nil } // nobody is silent for ever here
func (c *lossy) SetWriteDeadline(time.Time) error { return nil }

// lossyPair is one cluster's four paths to another: two gateways to two.
type lossyPair struct {
	paths []*Path
	down  map[*Path]bool
}

// lossyWorld counts what paths say of links that live all the time.
type lossyWorld struct {
	mu       sync.Mutex
	begin    time.Time
	rng      *rand.Rand
	downs    []string // when, which path, and why
	verdicts int      // moments at which all paths of a pair became down
	work     sync.WaitGroup
}

func (w *lossyWorld) dial(oneWay time.Duration, loss float64) func(context.Context, Key) (net.Conn, error) {
	return func(ctx context.Context, k Key) (net.Conn, error) {
		w.mu.Lock()
		seed := w.rng.Uint64()
		takes := 4 * oneWay // TCP's handshake and TLS's
		for rto := time.Second; w.rng.Float64() < 2*loss; rto *= 2 {
			takes += rto // of SYN, and of the hellos
		}
		w.mu.Unlock()
		if !wait(ctx, takes) {
			return nil, ctx.Err()
		}
		there, back := newLane(seed, loss, oneWay), newLane(seed+1, loss, oneWay)
		near := &lossy{in: back, out: there, done: make(chan struct{})}
		far := New(&lossy{in: there, out: back, done: make(chan struct{})}, Config{Instance: "gw", Cluster: k.Cluster, Peer: "us"}, Hooks{}, w.now)
		w.work.Go(func() { _ = far.Run(context.Background()) })
		return near, nil
	}
}

func (w *lossyWorld) now() time.Duration { return time.Since(w.begin) + time.Second }

func (w *lossyWorld) pair(i int, oneWay time.Duration, loss float64) *lossyPair {
	pair := &lossyPair{down: map[*Path]bool{}}
	for j := range 4 {
		cfg := DefaultPathConfig()
		cfg.Instance, cfg.Cluster, cfg.Warm = "gw", "us", 2
		key := Key{Cluster: federation.ClusterName(fmt.Sprintf("peer-%d", i)), Instance: fmt.Sprint(j)}
		var p *Path
		p = NewPath(key, cfg, PathDeps{Dial: w.dial(oneWay, loss), Now: w.now,
			OnChange: func(k Key, s routing.PathState, cause string) {
				w.mu.Lock()
				defer w.mu.Unlock()
				pair.down[p] = s == routing.PathDown
				if s != routing.PathDown {
					return
				}
				w.downs = append(w.downs, fmt.Sprintf("%s,%s/%s,%s", time.Since(w.begin), k.Cluster, k.Instance, cause))
				all := 0
				for _, d := range pair.down {
					if d {
						all++
					}
				}
				if all == len(pair.paths) {
					w.verdicts++
				}
			}})
		if j < 2 { // in use for ever: it beats fast, and the others slowly
			p.inUse.Store(1)
		}
		pair.paths = append(pair.paths, p)
	}
	return pair
}

// Links of which segments are lost, and which stall for that, are no dead links. With
// -lossy-hours it is the bench that prints how often a path is called dead all the same.
func TestLossIsNotDeath(t *testing.T) {
	length := 10 * time.Minute
	if *lossyHours > 0 {
		length = time.Duration(*lossyHours * float64(time.Hour))
	}
	synctest.Test(t, func(t *testing.T) {
		w := &lossyWorld{begin: time.Now(), rng: rand.New(rand.NewPCG(1, 2))} //nolint:gosec // a simulation
		ctx, cancel := context.WithCancel(context.Background())
		var runs sync.WaitGroup
		for i := range *lossyPairs {
			for _, p := range w.pair(i, []time.Duration{33, 32, 73}[i%3]*time.Millisecond, *lossyLoss).paths {
				runs.Go(func() { _ = p.Run(ctx) })
			}
		}
		time.Sleep(length)
		cancel()
		runs.Wait()
		time.Sleep(time.Minute) // the far ends learn of it
		w.work.Wait()
		hours := float64(4**lossyPairs) * length.Hours()
		if *lossyHours > 0 {
			fmt.Printf("path_hours %.0f h\npath_false_downs %d count\nfalse_link_verdicts %d count\n", hours, len(w.downs), w.verdicts)
			if err := os.MkdirAll(*lossyOut, 0o755); err != nil {
				t.Error(err)
			}
			text := "at,path,cause\n" + strings.Join(w.downs, "\n") + "\n"
			if err := os.WriteFile(filepath.Join(*lossyOut, "path-false-downs.csv"), []byte(text), 0o644); err != nil { //nolint:gosec // samples
				t.Error(err)
			}
			return
		}
		if w.verdicts > 0 || len(w.downs) > 1 {
			t.Errorf("in %.1f path-hours paths were called dead %d times, clusters %d times: %v", hours, len(w.downs), w.verdicts, w.downs)
		}
	})
}
