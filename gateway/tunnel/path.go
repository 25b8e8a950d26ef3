package tunnel

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// Key names one peer gateway; another address is another path.
type Key struct {
	Cluster  federation.ClusterName
	Instance string
	Address  string
}

// KeyOf names a cluster's gateway as the table has it.
func KeyOf(c federation.ClusterName, g federation.GatewayAddress) Key {
	return Key{Cluster: c, Instance: g.Instance, Address: g.Address}
}

// The reasons why a path has no tunnel to give.
var (
	ErrPathDown = errors.New("path to the peer gateway is down")
	ErrFull     = errors.New("too many tunnels to the peer gateway")
)

// PathDeps are what a path needs from outside.
type PathDeps struct {
	// Dial connects and authenticates: the certificate names the cluster of the key.
	Dial func(ctx context.Context, k Key) (net.Conn, error)
	// OnOpen serves streams that the peer opens on tunnels that we dialled.
	OnOpen func(*Incoming)
	// OnChange is told that the state has changed; it must not block.
	OnChange func(Key, routing.PathState, string)
	// Untrusted says whether a dial's error is about identity.
	Untrusted func(error) bool
	Metrics   *Metrics
	// Now is a monotonic clock.
	Now func() time.Duration
}

// beatsPerPath is how many independent connections witness a path.
const beatsPerPath = 2

// Path is one peer gateway as we reach it: warm tunnels, and beats.
type Path struct {
	key  Key
	cfg  PathConfig
	deps PathDeps

	rtt      atomic.Int64 // smoothed, ns; 0 is unmeasured
	jitter   atomic.Int64 // smoothed deviation of rtt, ns
	lastSign atomic.Int64 // our clock at the last PONG or handshake; 0 is never
	inUse    atomic.Int64
	slot     uint32                              // of beatSlots, by the peer's cluster
	heat     atomic.Uint32                       // a Heat
	lastOpen atomic.Int64                        // our clock at the last OPEN of ours; 0 is never
	watches  [beatsPerPath]atomic.Pointer[watch] // over the beats that stand
	need     chan struct{}                       // asks the filler for tunnels; buffer 1, full = already asked
	retired  chan struct{}                       // closed by Retire
	retire   sync.Once

	mu        sync.Mutex
	ctx       context.Context // of Run; nil before it and after
	up        context.Context // ends when the path goes down
	goDown    context.CancelCauseFunc
	state     routing.PathState
	cause     string
	trust     string
	refused   bool // the latest dial was refused by the peer's host
	hung      bool // the latest dial was taken by the peer's host, and answered by nobody
	unheard   bool // the peer's beats went on coming after it had stopped answering ours
	loss      lossMeter
	peerBeats map[*Tunnel]struct{} // beat connections that the peer dialled
	peerHeard time.Duration        // our clock, when one of them that has ended last heard something
	draining  bool
	doubted   bool // somebody will look again whether silence has become death
	witnesses [beatsPerPath]witness
	idle      []*Tunnel // dialled by us, last used last
	adopted   []*Tunnel // dialled by the peer, idle
	all       map[*Tunnel]struct{}
	dialled   int           // data tunnels in all or being dialled
	dialing   int           // by the filler
	target    int           // warm tunnels wanted now
	wanted    time.Duration // our clock, when there last was a reason to be warm; 0 is never
	// unheardSince is our clock when the path came up or, if later, the peer's last beat
	// connection ended.
	unheardSince time.Duration
	failed       int // dials that have failed since the last one that did not
	work         sync.WaitGroup
}

// NewPath returns a path; Run makes it dial.
func NewPath(key Key, cfg PathConfig, deps PathDeps) *Path {
	p := &Path{key: key, cfg: cfg, deps: deps, state: routing.PathUnknown,
		all: map[*Tunnel]struct{}{}, peerBeats: map[*Tunnel]struct{}{}, need: make(chan struct{}, 1), retired: make(chan struct{})}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(key.Cluster))
	p.slot = hash.Sum32() % beatSlots
	p.heat.Store(uint32(Hot)) // until somebody says otherwise
	p.up, p.goDown = context.WithCancelCause(context.Background())
	return p
}

// Run keeps the path warm and probed until ctx ends, or until it is retired and its
// last stream has ended; then it closes all its tunnels.
func (p *Path) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	p.mu.Lock()
	p.ctx = ctx
	p.mu.Unlock()
	for i := range beatsPerPath {
		p.work.Go(func() { p.beat(ctx, i) })
	}
	p.fill(ctx)
	cancel()
	p.mu.Lock()
	p.ctx = nil
	tunnels := p.takeAll()
	p.mu.Unlock()
	closeAll(tunnels, ErrClosed)
	p.work.Wait()
	return nil
}

func closeAll(ts []*Tunnel, cause error) {
	for _, t := range ts {
		t.Close(cause)
	}
}

// takeAll empties the path's lists; the caller holds the lock.
func (p *Path) takeAll() []*Tunnel {
	var ts []*Tunnel
	for t := range p.all {
		ts = append(ts, t)
	}
	p.idle, p.adopted = nil, nil
	return ts
}

// View is a path as the balancer and the admin page see it.
type View struct {
	Key
	State    routing.PathState
	Cause    string
	Trust    string // the last identity error, "" is none
	Refused  bool   // the peer's host answers and refuses: it lives, its gateway does not
	Hung     bool   // the peer's host takes connections, its gateway says nothing on them
	Unheard  bool   // the peer's own beats went on coming when it no longer answered ours
	Draining bool
	// NoDial says that the latest dials have failed: what stands may still live (State
	// says so) and is used, nothing new is to be expected.
	NoDial  bool
	RTT     time.Duration
	Jitter  time.Duration // smoothed deviation of RTT
	Loss    float64       // part of our segments that had to be sent again, 0 to 1
	Silence time.Duration
	InUse   int
	Idle    int
	Tunnels int
}

// View returns a snapshot.
func (p *Path) View() View {
	p.mu.Lock()
	defer p.mu.Unlock()
	return View{Key: p.key, State: p.state, Cause: p.cause, Trust: p.trust, Refused: p.refused, Hung: p.hung, Unheard: p.unheard, Draining: p.draining,
		NoDial: p.failed >= noDialAfter, RTT: time.Duration(p.rtt.Load()), Jitter: time.Duration(p.jitter.Load()), Loss: p.loss.ratio(), Silence: p.silence(), InUse: int(p.inUse.Load()),
		Idle: len(p.idle), Tunnels: len(p.all)}
}

// State is the verdict on the path.
func (p *Path) State() routing.PathState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

func (p *Path) silence() time.Duration {
	if last := p.lastSign.Load(); last != 0 {
		return p.deps.Now() - time.Duration(last)
	}
	return 0
}

// sign notes that the peer gateway has answered, on whatever connection.
func (p *Path) sign(now time.Duration) {
	for {
		last := p.lastSign.Load()
		if int64(now) <= last || p.lastSign.CompareAndSwap(last, int64(now)) {
			return
		}
	}
}

// RTT is the smoothed round-trip time; 0 is unmeasured.
func (p *Path) RTT() time.Duration { return time.Duration(p.rtt.Load()) }

// timeout is how long a beat connection may be silent.
func (p *Path) timeout() time.Duration {
	return max(3*p.beatEvery(), p.cfg.Silence) + p.RTT() + min(4*time.Duration(p.jitter.Load()), p.cfg.JitterMax)
}

// beatSlots is in how many moments of an interval beats go out.
const beatSlots = 8

// nextBeat is when to ping next: all beats to a cluster share a moment of the
// interval, so that a gateway wakes up once for them, and clusters are spread over
// it, so that hundreds do not make a burst.
func (p *Path) nextBeat(now time.Duration) time.Duration {
	every := p.beatEvery()
	phase := time.Duration(p.slot) * every / beatSlots
	return (now - phase).Truncate(every) + every + phase
}

// noteRTT smooths the round-trip time with weight 1/8 and its deviation with 1/4, as
// TCP does (RFC 6298).
func (p *Path) noteRTT(rtt time.Duration) {
	old := p.rtt.Load()
	if old == 0 {
		p.rtt.Store(int64(max(rtt, 1)))
		return
	}
	deviation := int64((rtt - time.Duration(old)).Abs())
	p.jitter.Store(p.jitter.Load() + (deviation-p.jitter.Load())/4)
	p.rtt.Store(old + (int64(rtt)-old)/8)
}

// note records one witness's evidence and acts on the verdict.
func (p *Path) note(i int, w witness, err error) {
	p.mu.Lock()
	p.witnesses[i] = w
	p.noteHost(w, err)
	if err != nil && p.deps.Untrusted != nil && p.deps.Untrusted(err) {
		p.trust = err.Error()
	} else if w.state == beatFresh {
		p.trust = ""
	}
	p.conclude(i)
}

// conclude judges anew and acts on it; i is the witness who spoke last. The caller holds
// the lock, which it gives up.
func (p *Path) conclude(i int) {
	was, wasCause := p.state, p.cause
	silence, timeout := p.silence(), p.timeout()
	p.state, p.cause = judge(was, p.witnesses[:], silence, timeout)
	state, cause := p.state, p.cause
	if state == was {
		if was == routing.PathDown && cause == "" {
			p.cause = wasCause
		}
		inDoubt := state == routing.PathUp && silence < timeout && !fresh(p.witnesses[:])
		p.mu.Unlock()
		if inDoubt {
			p.doubt(i, timeout-silence)
		}
		return
	}
	var dead []*Tunnel
	switch state {
	case routing.PathDown:
		dead = p.takeAll()
		p.goDown(ErrPathDown)
		p.unheard = p.heardSince()
		p.witnesses = [beatsPerPath]witness{}
		p.witnesses[i] = witness{state: beatFailed, cause: cause}
	case routing.PathUp:
		p.up, p.goDown = context.WithCancelCause(context.Background())
		p.draining, p.unheard = false, false
		p.watchSole()
	}
	p.mu.Unlock()
	closeAll(dead, ErrPathDown)
	p.ask()
	if p.deps.OnChange != nil {
		p.deps.OnChange(p.key, state, cause)
	}
}

func fresh(ws []witness) bool {
	return slices.ContainsFunc(ws, func(w witness) bool { return w.state == beatFresh })
}

// doubt asks the data tunnels of a path that no beat vouches for, and looks again once
// silence would be long enough to be death.
func (p *Path) doubt(i int, rest time.Duration) {
	p.askAll()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx == nil || p.doubted {
		return
	}
	p.doubted = true
	time.AfterFunc(max(rest, p.RTT()+punctual), func() {
		p.mu.Lock()
		p.doubted = false
		if p.ctx == nil || p.state != routing.PathUp || fresh(p.witnesses[:]) {
			p.mu.Unlock()
			return
		}
		p.conclude(i)
	})
}

// backoff is the jittered wait before dial number failures+1.
func (p *Path) backoff(failures int) time.Duration {
	d := p.cfg.BackoffMin << min(failures, 16)
	d = min(d, p.cfg.BackoffMax)
	return d/2 + rand.N(d/2+1) //nolint:gosec // jitter
}

// ask wakes the filler.
func (p *Path) ask() {
	select {
	case p.need <- struct{}{}:
	default:
	}
}

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
