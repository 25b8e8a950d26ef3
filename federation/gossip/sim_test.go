//go:build !race

// Without the race detector: that of Go 1.26 crashes (in __tsan::SlotLock) in the timers
// of bubbles this large. `make test` runs this file in a second run of the package.

package gossip

import (
	"context"
	"crypto/x509"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
)

// world is a network in virtual time: three regions 66, 64 and 146 ms apart. What goes
// over a stream is never lost but late, with all that is behind it; datagrams are lost.
type world struct {
	loss float64

	mu    sync.Mutex
	rng   *rand.Rand
	down  map[string]bool
	last  map[lane]time.Time // arrival of the last frame, in order
	start time.Time
}

// lane is one direction of one connection.
type lane struct{ dialler, acceptor, from string }

func newWorld(loss float64, seed uint64) *world {
	return &world{loss: loss, rng: rand.New(rand.NewPCG(seed, 1)), down: map[string]bool{}, last: map[lane]time.Time{}, start: time.Now()}
}

// regionOf spreads nodes, which are named by number, over the regions.
func regionOf(name string) int {
	var n int
	_, _ = fmt.Sscanf(name, "c%d", &n)
	return n % 3
}

// oneWay is half the round trip between two nodes' regions; 1 ms inside one.
func oneWay(a, b string) time.Duration {
	switch r := regionOf(a) + regionOf(b); {
	case regionOf(a) == regionOf(b):
		return time.Millisecond
	case r == 1:
		return 33 * time.Millisecond
	case r == 2:
		return 32 * time.Millisecond
	}
	return 73 * time.Millisecond
}

func (w *world) lost() bool { return w.rng.Float64() < w.loss }

// stream delivers in order; a lost segment waits for its retransmission timer, doubling.
func (w *world) stream(l lane, to string, size int, deliver func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down[l.from] || w.down[to] {
		return
	}
	at := time.Now().Add(oneWay(l.from, to))
	for range 1 + size/1400 {
		for rto := max(200*time.Millisecond, 4*oneWay(l.from, to)); w.lost(); rto *= 2 {
			at = at.Add(rto)
		}
	}
	if prev := w.last[l]; !at.After(prev) {
		at = prev.Add(1)
	}
	w.last[l] = at
	time.AfterFunc(time.Until(at), func() {
		if !w.isDown(to) && !w.isDown(l.from) {
			deliver()
		}
	})
}

// datagram delivers, or does not.
func (w *world) datagram(from, to string, deliver func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down[from] || w.down[to] || w.lost() {
		return
	}
	time.AfterFunc(oneWay(from, to), func() {
		if !w.isDown(to) {
			deliver()
		}
	})
}

func (w *world) isDown(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.down[name]
}

func (w *world) kill(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[name] = true
}

var errDown = fmt.Errorf("the other end is down")

// dial makes one of memberlist's streams.
func (w *world) dial(from, to string, accept chan<- net.Conn) (net.Conn, error) {
	time.Sleep(3 * oneWay(from, to)) // virtual: TCP's handshake and half of TLS's
	if accept == nil || w.isDown(from) || w.isDown(to) {
		return nil, errDown
	}
	a, b := net.Pipe()
	select {
	case accept <- b:
		return a, nil
	case <-time.After(time.Second):
		return nil, errDown
	}
}

// node is a seat in a world.
type node struct {
	*Gossip
	name string
	ins  map[string]*incoming
	done chan struct{}
}

// fleet is a federation in a world.
type fleet struct {
	*world
	nodes  []*node
	byName map[string]*node
	cancel context.CancelFunc
}

func nodeName(i int) string { return fmt.Sprintf("c%d", i) }

// newFleet runs n seats in a bubble, all each other's peers, each with one service.
func newFleet(t testing.TB, w *world, n int) *fleet {
	t.Helper()
	ca := identitytest.NewCA(t, testDomain)
	ctx, cancel := context.WithCancel(context.Background())
	f := &fleet{world: w, byName: map[string]*node{}, cancel: cancel}
	peers := map[federation.ClusterName][]string{}
	verify := cachedVerify(verifyChain(ca.Source(testID("c0", identity.RoleOperator))))
	for i := range n {
		x := f.add(t, ca, nodeName(i), verify)
		peers[x.cfg.Cluster] = nil
	}
	for _, x := range f.nodes {
		for _, o := range f.nodes {
			if o != x {
				x.accepts(f, o)
			}
		}
		x.SetPeers(peers)
		go func() { _ = x.Run(ctx); close(x.done) }()
	}
	synctest.Wait()
	for _, x := range f.nodes {
		x.say(1)
	}
	return f
}

// cachedVerify spares a fleet in one process from verifying the same chain n times.
func cachedVerify(verify func([]*x509.Certificate) (federation.ClusterName, error)) func([]*x509.Certificate) (federation.ClusterName, error) {
	var mu sync.Mutex
	known := map[string]federation.ClusterName{}
	return func(chain []*x509.Certificate) (federation.ClusterName, error) {
		mu.Lock()
		defer mu.Unlock()
		if c, ok := known[string(chain[0].Raw)]; ok {
			return c, nil
		}
		c, err := verify(chain)
		if err == nil {
			known[string(chain[0].Raw)] = c
		}
		return c, err
	}
}

func (f *fleet) add(t testing.TB, ca *identitytest.CA, name string, verify func([]*x509.Certificate) (federation.ClusterName, error)) *node {
	t.Helper()
	x := &node{name: name, ins: map[string]*incoming{}, done: make(chan struct{})}
	cfg := DefaultConfig()
	cfg.Federation, cfg.Cluster, cfg.Epoch, cfg.MaxClusters = testFed, federation.ClusterName(name), 1, 512
	var err error
	x.Gossip, err = New(cfg, Deps{
		Certificate: certificate(ca.Source(testID(cfg.Cluster, identity.RoleOperator))), VerifyChain: verify,
		carry: func(to federation.ClusterName, kind byte, body []byte) {
			o, now := f.byName[string(to)], time.Now()
			f.stream(lane{name, string(to), name}, string(to), len(body), func() {
				o.arrives(name, frame{kind: kind, body: body}, time.Since(now)-oneWay(name, string(to)))
			})
		},
		stream: func(to federation.ClusterName) (net.Conn, error) {
			return f.dial(name, string(to), f.byName[string(to)].streams)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.nodes = append(f.nodes, x)
	f.byName[name] = x
	return x
}

// accepts prepares a node for the link that o dials.
func (x *node) accepts(f *fleet, o *node) {
	in := &incoming{g: x.Gossip, peer: o.cfg.Cluster}
	in.put = func(kind byte, body []byte) error {
		x.metrics.bytes.WithLabelValues("out").Add(float64(frameHeader + len(body)))
		now := time.Now()
		f.stream(lane{o.name, x.name, x.name}, o.name, len(body), func() {
			o.answered(x.name, frame{kind: kind, body: body}, time.Since(now)-oneWay(x.name, o.name))
		})
		return nil
	}
	in.talk = x.newTalk(o.cfg.Cluster, in.put)
	x.ins[o.name] = in
}

func (x *node) arrives(from string, fr frame, held time.Duration) { _ = x.ins[from].take(fr, held) }

// answered is link.read without its connection.
func (x *node) answered(from string, fr frame, held time.Duration) {
	l := x.linkTo(federation.ClusterName(from))
	if l == nil {
		return
	}
	l.answered(x.now())
	if fr.kind != framePong {
		_ = l.talk.take(fr, held)
	}
}

func (x *node) say(ready uint32) {
	x.Publish(map[federation.ServicePort]federation.Health{wirePort: {Ready: ready, Total: 1 << 30}})
}

// shows says what x holds of another one's only service.
func (x *node) shows(c federation.ClusterName) uint32 {
	x.mu.Lock()
	defer x.mu.Unlock()
	if v := x.archive.volumes[c]; v != nil {
		return v.listed[wirePort].health.Ready
	}
	return 0
}

func (x *node) deems(c federation.ClusterName) MemberStatus {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.members[c].status
}

func (x *node) hasMet(c federation.ClusterName) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.members[c].joined
}

// settled waits, in virtual time, until every node has met and heard every other one.
func (f *fleet) settled(t testing.TB, limit time.Duration) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		missing := 0
		for _, x := range f.nodes {
			for _, o := range f.nodes {
				if x != o && (!x.hasMet(o.cfg.Cluster) || x.shows(o.cfg.Cluster) == 0) {
					missing++
				}
			}
		}
		if missing == 0 {
			return
		}
		if time.Since(began) > limit {
			t.Fatalf("%d of %d pairs have not met", missing, len(f.nodes)*(len(f.nodes)-1))
		}
	}
}

func (f *fleet) stop() {
	f.cancel()
	for _, x := range f.nodes {
		<-x.done
	}
	time.Sleep(time.Minute) // what is still on its way arrives nowhere
}

// flip changes a node's word and waits, in virtual time, until every other one holds it.
func (f *fleet) flip(t testing.TB, of *node, ready uint32) time.Duration {
	t.Helper()
	began := time.Now()
	of.say(ready)
	f.reaches(t, of, ready, began)
	return time.Since(began)
}

func (f *fleet) reaches(t testing.TB, of *node, ready uint32, began time.Time) {
	t.Helper()
	for _, x := range f.nodes {
		for x != of && x.shows(of.cfg.Cluster) != ready {
			time.Sleep(time.Millisecond)
			if time.Since(began) > time.Minute {
				t.Fatalf("%s has not heard of %s's flip", x.name, of.name)
			}
		}
	}
}

// deadKnown kills a node and waits until all others know.
func (f *fleet) deadKnown(t testing.TB, dead *node) time.Duration {
	t.Helper()
	began := time.Now()
	f.kill(dead.name)
	for _, x := range f.nodes {
		for x != dead && x.deems(dead.cfg.Cluster) != Dead {
			time.Sleep(time.Millisecond)
			if time.Since(began) > 3*time.Minute {
				t.Fatalf("%s does not know that %s is dead", x.name, dead.name)
			}
		}
	}
	return time.Since(began)
}

// allLive watches, in virtual time, that nobody is taken for dead.
func (f *fleet) allLive(t testing.TB, d time.Duration) {
	t.Helper()
	for began := time.Now(); time.Since(began) < d; time.Sleep(50 * time.Millisecond) {
		for _, x := range f.nodes {
			for _, o := range f.nodes {
				if x != o && x.deems(o.cfg.Cluster) == Dead {
					t.Fatalf("%s takes %s for dead after %s", x.name, o.name, time.Since(began))
				}
			}
		}
	}
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

func TestFlipReachesTheLastClusterInOneWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, newWorld(0, 1), 12)
		defer f.stop()
		f.settled(t, time.Minute)
		for i := range uint32(12) {
			if took := f.flip(t, f.nodes[i], 100+i); took > 75*time.Millisecond {
				t.Errorf("flip %d took %s, the longest way is 73 ms", i, took)
			}
		}
	})
}

// Loss is delay; what a stalled connection holds up comes by way of others.
func TestFlipUnderLossGoesAroundStalledConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, newWorld(0.05, 2), 12)
		defer f.stop()
		f.settled(t, time.Minute)
		var sum time.Duration
		for i := range uint32(120) {
			took := f.flip(t, f.nodes[i%12], 100+i)
			if sum += took; took > 600*time.Millisecond {
				t.Errorf("flip %d took %s", i, took)
			}
			time.Sleep(50 * time.Millisecond)
		}
		if mean := sum / 120; mean > 200*time.Millisecond {
			t.Errorf("%s on average", mean)
		}
		t.Logf("%s on average", sum/120)
	})
}

func TestDeathIsKnownToAllSoonAndOnlyOfTheDead(t *testing.T) {
	for _, loss := range []float64{0, 0.05} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, newWorld(loss, 3), 12)
			defer f.stop()
			f.settled(t, time.Minute)
			f.allLive(t, 5*time.Minute)
			if took := f.deadKnown(t, f.nodes[5]); took > 1700*time.Millisecond {
				t.Errorf("at %.0f %% loss all know after %s", 100*loss, took)
			}
			for _, x := range f.nodes[:5] {
				if r := x.Records()["c5"][wirePort]; r.Ready != 1 || r.Withdrawn {
					t.Errorf("%s has changed the dead one's record to %+v: that is its owner's alone", x.name, r)
				}
			}
		})
	}
}

// A quiet federation costs next to nothing: the figure idle_bytes_per_s.
func TestIdleFederationIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, newWorld(0, 4), 12)
		defer f.stop()
		f.settled(t, time.Minute)
		if got := f.idle(time.Minute); got > 1000 {
			t.Errorf("%.0f bytes a second and operator, at most 1000 are wanted", got)
		}
	})
}

// Nobody measures the way between two other clusters for us: coordinates tell it.
func TestCoordinatesEstimateRoundTripsThatNobodyMeasures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, newWorld(0, 5), 12)
		defer f.stop()
		f.settled(t, time.Minute)
		time.Sleep(5 * time.Minute)
		var wrong []float64
		for _, x := range f.nodes {
			for _, a := range f.nodes {
				for _, b := range f.nodes {
					if regionOf(a.name) == regionOf(b.name) {
						continue
					}
					got, known := x.Estimate(federation.ClusterName(a.name), federation.ClusterName(b.name))
					if !known {
						t.Fatalf("%s cannot place %s or %s", x.name, a.name, b.name)
					}
					really := 2 * oneWay(a.name, b.name)
					wrong = append(wrong, math.Abs(float64(got-really))/float64(really))
				}
			}
		}
		slices.Sort(wrong)
		t.Logf("estimates are %.1f %% off at the median, %.1f %% at p95", 100*wrong[len(wrong)/2], 100*wrong[len(wrong)*95/100])
		if median := wrong[len(wrong)/2]; median > 0.15 {
			t.Errorf("estimates are %.0f %% off at the median", 100*median)
		}
	})
}
