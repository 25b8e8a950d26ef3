package egress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
	"github.com/causeway-mesh/causeway/gateway/telemetry"
	"github.com/causeway-mesh/causeway/gateway/tunnel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var checkout = federation.ServicePort{Service: federation.ServiceName{Namespace: "shop", Name: "checkout"}, Port: 80}

// scene is one client's life: candidates in order, and what the client sends.
type scene struct {
	early   bool
	peers   []*scripted
	request []byte
	chunk   int // the client writes this much at once
	// patience is that of one attempt on a living path; 0 is enough for any machine.
	patience time.Duration
	drain    time.Duration // 0 is the default
}

func anyScene(t *rapid.T) scene {
	s := scene{early: rapid.Bool().Draw(t, "early"), chunk: rapid.SampledFrom([]int{1 << 10, 5000, 64 << 10}).Draw(t, "chunk")}
	size := rapid.SampledFrom([]int{0, 1, 300, 16<<10 - 1, 16 << 10, 16<<10 + 1, 40 << 10}).Draw(t, "request")
	s.request = make([]byte, size)
	rng := rand.New(rand.NewPCG(1, uint64(size))) //nolint:gosec // no secret
	for i := range s.request {
		s.request[i] = byte(rng.Uint32())
	}
	silent := false
	for i := range rapid.IntRange(1, 4).Draw(t, "peers") {
		p := &scripted{name: federation.ClusterName(fmt.Sprintf("c%d", i))}
		p.deed = rapid.SampledFrom([]deed{accepts, breaks, nacks, nacks, hangsUp, isSilent, isNotThat}).Draw(t, "deed")
		if p.deed == isSilent && silent { // each costs real time
			p.deed = nacks
		}
		silent = silent || p.deed == isSilent
		p.after = rapid.IntRange(0, min(size, 16<<10)).Draw(t, "after")
		s.peers = append(s.peers, p)
	}
	return s
}

// model says who answers the client: the first that accepts (breaking later or not);
// -1 is nobody. What was refused, silent or cut off before is tried elsewhere, always:
// without early data no byte was sent, and with it the export allows the repetition.
func (s scene) model() int {
	for i, p := range s.peers {
		if p.deed == accepts || p.deed == breaks {
			return i
		}
	}
	return -1
}

// fatal is what a test and a property have in common.
type fatal interface{ Fatal(args ...any) }

// egressOf runs an egress over the scene's peers, and returns its port and its end.
func egressOf(t fatal, s scene) (string, func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).AddrPort()
	_ = l.Close()
	table := routing.Table{Self: "self", Peers: map[federation.ClusterName]routing.Peer{}, Routes: map[federation.ServicePort]routing.Route{}}
	route := routing.Route{Port: checkout, EgressPort: port.Port(), EarlyData: s.early}
	byName := map[federation.ClusterName]*scripted{}
	var keys []tunnel.Key
	for _, p := range s.peers {
		byName[p.name] = p
		g := federation.GatewayAddress{Instance: "gw", Address: string(p.name)}
		table.Peers[p.name] = routing.Peer{Cluster: p.name, Gateways: []federation.GatewayAddress{g}}
		route.Tiers = append(route.Tiers, routing.Tier{Targets: []routing.Target{{Cluster: p.name, Weight: 1}}})
		keys = append(keys, tunnel.Key{Cluster: p.name, Instance: g.Instance, Address: g.Address})
	}
	table.Routes[checkout] = route
	var peers sync.WaitGroup
	paths := tunnel.DefaultPathConfig()
	paths.Instance, paths.Cluster, paths.Warm = "gw", "self", 0
	paths.Beat, paths.IdleBeat, paths.Silence = time.Minute, time.Minute, time.Hour // one beat proves a path, and no verdict follows
	start := time.Now()
	up := make(chan struct{}, len(s.peers)) // each path goes up once
	set, err := tunnel.NewSet(paths, tunnel.PathDeps{
		Dial:   func(_ context.Context, k tunnel.Key) (net.Conn, error) { return byName[k.Cluster].dial(&peers) },
		OnOpen: func(in *tunnel.Incoming) { _ = in.Nack(tunnel.Refused) },
		OnChange: func(_ tunnel.Key, state routing.PathState, _ string) {
			if state == routing.PathUp {
				up <- struct{}{}
			}
		},
		Now: func() time.Duration { return time.Since(start) },
	})
	if err != nil {
		t.Fatal(err)
	}
	set.Sync(keys)
	cfg := DefaultConfig()
	cfg.Local = netip.MustParseAddr("127.0.0.1")
	// A path whose round trip is known waits long enough for any machine; the silent
	// peer's is unknown.
	cfg.AttemptMin, cfg.ConnectBudget, cfg.FirstContact = 20*time.Second, time.Minute, 100*time.Millisecond
	if s.patience != 0 {
		cfg.AttemptMin, cfg.AttemptSlack = s.patience, 0
	}
	if s.drain != 0 {
		cfg.Drain = s.drain
	}
	log := slog.New(slog.DiscardHandler)
	e, err := New(cfg, Deps{Table: func() *routing.Table { return &table }, Paths: set, Recorder: telemetry.New(prometheus.NewRegistry(), log), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	background, end := context.WithCancel(context.Background()) // paths outlive the drain
	ctx, cancel := context.WithCancel(background)
	var run, live sync.WaitGroup
	live.Go(func() { _ = set.Run(background) })
	run.Go(func() { _ = e.Run(ctx) })
	for _, p := range s.peers {
		if p.deed != isSilent && p.deed != isNotThat {
			<-up // its round trip is known
		}
	}
	return port.String(), func() { cancel(); run.Wait(); end(); live.Wait(); peers.Wait() }
}

// client sends the request in chunks, ends it, and reads the answer to its end.
func (s scene) client(t fatal, address string) (string, error) {
	c, err := net.Dial("tcp", address)
	for errors.Is(err, syscall.ECONNREFUSED) { // the port opens a moment after Run
		c, err = net.Dial("tcp", address)
	}
	if err != nil {
		return "", err // reset before Dial had looked at it
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	for rest := s.request; len(rest) > 0; {
		n := min(s.chunk, len(rest))
		if _, err := c.Write(rest[:n]); err != nil {
			return "", err
		}
		rest = rest[n:]
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(c)
	return string(answer), err
}

// Decision 9, against peers that do all that a peer can do before and after it
// has accepted.
func TestPropertyReplay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anyScene(t)
		address, end := egressOf(t, s)
		answer, err := s.client(t, address)
		end()
		winner := s.model()
		switch {
		case winner >= 0 && s.peers[winner].deed == accepts:
			if want := reply(s.peers[winner].name, s.request); err != nil || answer != want {
				t.Fatalf("the client got %q, %v, want %q", answer, err, want)
			}
		case err == nil: // nobody accepted, or the one who did broke
			t.Fatalf("the client got %q and an end, want a reset", answer)
		}
		for i, p := range s.peers {
			s.check(t, i, winner, p)
		}
	})
}

func (s scene) check(t *rapid.T, i, winner int, p *scripted) {
	tried := (winner < 0 || i <= winner) && p.deed != isNotThat
	if p.deed == isSilent && p.opens == 0 {
		return // a slow machine has not dialled it within FirstContact
	}
	if want := map[bool]int{true: 1}[tried]; p.opens != want {
		t.Fatalf("peer %d (%s) was sent %d OPENs, want %d; %d has accepted", i, p.deed, p.opens, want, winner)
	}
	if !tried {
		return
	}
	if p.early != s.early {
		t.Fatalf("peer %d was told early data %t, the export says %t", i, p.early, s.early)
	}
	switch {
	case !s.early && len(p.before) > 0:
		t.Fatalf("peer %d (%s) got %d bytes before it had accepted", i, p.deed, len(p.before))
	case len(p.before) > 16<<10:
		t.Fatalf("peer %d (%s) got %d bytes before it had accepted, more than are kept", i, p.deed, len(p.before))
	case !bytes.HasPrefix(s.request, p.all):
		t.Fatalf("peer %d (%s) got %d bytes that are no beginning of the request", i, p.deed, len(p.all))
	case s.early && p.deed != isSilent && len(p.before) < p.after: // FirstContact may end sooner than a slow client's bytes come
		t.Fatalf("peer %d (%s) got %d early bytes, and waited for %d", i, p.deed, len(p.before), p.after)
	}
}

func TestLatenessOfALivingPathIsTriedAgainWithMorePatience(t *testing.T) {
	late := &scripted{name: "c0", deed: isLate}
	s := scene{peers: []*scripted{late}, request: []byte("hello"), chunk: 64, patience: 200 * time.Millisecond}
	address, end := egressOf(t, s)
	defer end()
	answer, err := s.client(t, address)
	if want := reply("c0", s.request); err != nil || answer != want {
		t.Fatalf("the client got %q, %v, want %q", answer, err, want)
	}
	if late.opens < 3 { // more on a slow machine
		t.Errorf("%d OPENs were sent, want 3", late.opens)
	}
}

func TestAnAnswerThatIsThereWhenPatienceEndsCounts(t *testing.T) {
	var work sync.WaitGroup
	peer := &scripted{name: "c0", deed: accepts}
	conn, err := peer.dial(&work)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	tun := tunnel.New(conn, tunnel.Config{Dialer: true, Instance: "gw", Cluster: "self", Peer: "c0"}, tunnel.Hooks{}, func() time.Duration { return time.Since(start) })
	work.Go(func() { _ = tun.Run(t.Context()) })
	s, err := tun.Open(tunnel.Open{Port: checkout, Budget: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	<-s.Opened()
	for range 64 { // Go selects at random
		if _, err := (&Egress{}).await(t.Context(), s, 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	s.Abort()
	work.Wait()
}
