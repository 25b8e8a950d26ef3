package sim

import (
	"fmt"
	"sync"
	"time"

	"github.com/causeway-mesh/causeway/federation/routing"
)

// gatewayState is what a cluster's one gateway does.
type gatewayState int

const (
	gatewayUp gatewayState = iota
	gatewayGone
	gatewayHung
	gatewayDark
)

const (
	// detectAfter is how long after the last answer a gateway gives a path up; with it
	// the round trip.
	detectAfter = 600 * time.Millisecond
	// redialAfter is how long after a path is mended the first answer comes.
	redialAfter = time.Second
)

// tunnels is the model of what gateways see: the one part of the world that is no
// production code. A path is given up only if it is broken for longer than detectAfter:
// how gateways tell a stall from a break is gateway/tunnel's to test.
type tunnels struct {
	n int

	mu       sync.Mutex
	cut      map[[2]int]int // how many faults cut the way from one cluster to another
	gateways []gatewayState
	paths    map[[2]int]*path // as of the last update
}

// path is from one cluster's gateway to another's and back.
type path struct {
	good    bool
	since   time.Duration // when good last changed
	state   routing.PathState
	heard   time.Duration // the last answer
	refused bool
	hung    bool
	unheard bool
}

func newTunnels(n int) *tunnels {
	t := &tunnels{n: n, cut: map[[2]int]int{}, gateways: make([]gatewayState, n), paths: map[[2]int]*path{}}
	for a := range n {
		for b := range n {
			if a != b {
				t.paths[[2]int{a, b}] = &path{state: routing.PathUnknown}
			}
		}
	}
	return t
}

// addCut cuts a way once more, or with -1 mends what one fault has cut.
func (t *tunnels) addCut(from, to, by int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cut[[2]int{from, to}] += by
}

func (t *tunnels) setGateway(c int, s gatewayState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gateways[c] = s
}

func (t *tunnels) gateway(c int) gatewayState {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.gateways[c]
}

func (t *tunnels) carries(from, to int) bool {
	return t.cut[[2]int{from, to}] == 0 && t.gateways[from] != gatewayDark && t.gateways[to] != gatewayDark
}

// update brings all paths to the moment now.
func (t *tunnels) update(now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ab, p := range t.paths {
		t.follow(p, ab[0], ab[1], now)
	}
}

func (t *tunnels) follow(p *path, a, b int, now time.Duration) {
	network := t.carries(a, b) && t.carries(b, a)
	good := network && t.gateways[a] == gatewayUp && t.gateways[b] == gatewayUp
	if good != p.good {
		p.good, p.since = good, now
	}
	switch stood := now - p.since; {
	case good && stood >= redialAfter:
		*p = path{good: true, since: p.since, state: routing.PathUp, heard: now - roundTrip(a, b)}
	case t.gateways[a] != gatewayUp:
		p.state = routing.PathUnknown // who restarts knows nothing
	case !good && (stood >= detectAfter+roundTrip(a, b) || p.state != routing.PathUp):
		p.state = routing.PathDown
		p.refused, p.hung = network && t.gateways[b] == gatewayGone, network && t.gateways[b] == gatewayHung
		p.unheard = t.gateways[b] == gatewayUp && t.carries(b, a) && !t.carries(a, b)
	}
}

// reports is what a's gateway says of all others, by number: nothing while it does not live.
func (t *tunnels) reports(a int, now time.Duration) map[int]routing.PathReport {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gateways[a] != gatewayUp {
		return nil
	}
	out := make(map[int]routing.PathReport, t.n-1)
	for b := range t.n {
		if p := t.paths[[2]int{a, b}]; p != nil {
			out[b] = p.report(a, b, now)
		}
	}
	return out
}

func (p *path) report(a, b int, now time.Duration) routing.PathReport {
	r := routing.PathReport{
		Cluster: clusterName(b), Address: string(clusterName(b)), State: p.state, Silence: now - p.heard,
		Refused: p.refused, Hung: p.hung, Unheard: p.unheard,
	}
	switch p.state {
	case routing.PathUp:
		r.RTT = roundTrip(a, b)
	case routing.PathDown:
		r.Cause = fmt.Sprintf("silent for %s", r.Silence)
	}
	return r
}

// stands says whether the path from a to b is good, and for how long it has been so.
func (t *tunnels) stands(a, b int, now time.Duration) (good bool, since time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.paths[[2]int{a, b}]
	return p.good, now - p.since
}
