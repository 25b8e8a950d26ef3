package sim

import (
	"cmp"
	"slices"
	"time"

	"github.com/causeway-mesh/causeway/federation/sim/memnet"
)

// event is something that happens to the world at a moment.
type event struct {
	at time.Duration
	do func()
}

// timeline is the plan as events in their order.
func (w *World) timeline() []event {
	var out []event
	for _, f := range w.plan.Faults {
		undo := func() {}
		out = append(out, event{f.At, func() { undo = w.inject(f) }}, event{f.end(), func() { undo() }})
	}
	for _, c := range w.plan.Changes {
		out = append(out, event{c.at, func() { w.change(c) }})
	}
	if g := w.plan.Gone; g >= 0 {
		out = append(out, event{w.plan.faultsEnd() + step, func() { w.lose(g) }})
	}
	slices.SortStableFunc(out, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	return out
}

// inject begins a fault and returns what ends it. A fault that cannot be, such as the
// death of the dead, does nothing.
func (w *World) inject(f Fault) (undo func()) {
	switch f.Kind {
	case Split:
		return w.cut(f.Scope, [2]int{f.A, f.B}, [2]int{f.B, f.A})
	case OneWay:
		return w.cut(f.Scope, [2]int{f.A, f.B})
	case Island:
		return w.cut(f.Scope, w.allWays(f.A)...)
	case Lost:
		return w.lose(f.A)
	case NoOperator, NewLeader, TwoLeaders:
		return w.reign(f)
	case GatewayGone:
		return w.gateway(f.A, gatewayGone)
	case GatewayHung:
		return w.gateway(f.A, gatewayHung)
	case Slow:
		w.net.SetSlow(siteOf(f.A), f.Late)
		return func() { w.net.SetSlow(siteOf(f.A), 0) }
	case Lossy:
		w.net.SetLoss(f.Loss)
		return func() { w.net.SetLoss(0) }
	}
	panic("sim: unknown fault " + f.Kind)
}

func (w *World) allWays(of int) [][2]int {
	var out [][2]int
	for i := range w.plan.Clusters {
		if i != of {
			out = append(out, [2]int{of, i}, [2]int{i, of})
		}
	}
	return out
}

func (w *World) cut(scope Scope, ways ...[2]int) (undo func()) {
	change := func(by int) {
		for _, ab := range ways {
			if scope != GossipOnly {
				w.tunnels.addCut(ab[0], ab[1], by)
			}
			if scope != DataOnly {
				w.cuts[ab] += by
				w.net.SetCut(siteOf(ab[0]), siteOf(ab[1]), w.cuts[ab] > 0)
			}
		}
	}
	change(1)
	return func() { change(-1) }
}

// lose takes a whole site away.
func (w *World) lose(i int) (undo func()) {
	c := w.clusters[i]
	if !w.lives(i) {
		return func() {}
	}
	c.lit = false
	var hosts []*memnet.Host
	for _, s := range append(c.olds, c.seat) {
		s.doomed.Store(true)
		hosts = append(hosts, s.host)
	}
	w.net.Darken(siteOf(i), hosts...)
	w.tunnels.setGateway(i, gatewayDark)
	for _, s := range append(c.olds, c.seat) {
		s.cancel()
	}
	return func() {
		c.lit = true
		w.net.Light(siteOf(i))
		w.tunnels.setGateway(i, gatewayUp)
		w.retire(c)
		w.begin(i)
	}
}

// retire keeps an ended or superseded reign until the end of the world.
func (w *World) retire(c *cluster) {
	if c.seat != nil {
		c.olds = append(c.olds, c.seat)
	}
	c.seat = nil
}

// reign changes who leads a cluster.
func (w *World) reign(f Fault) (undo func()) {
	c := w.clusters[f.A]
	if !w.lives(f.A) {
		return func() {}
	}
	old := c.seat
	w.retire(c)
	switch f.Kind {
	case NoOperator:
		w.net.Serve(siteOf(f.A), nil)
		old.doomed.Store(true)
		old.host.Kill()
		old.cancel()
		return func() {
			if c.lit && c.seat == nil {
				w.begin(f.A)
			}
		}
	case NewLeader:
		old.cancel()
	}
	w.begin(f.A)
	return old.cancel
}

func (w *World) gateway(i int, s gatewayState) (undo func()) {
	if w.tunnels.gateway(i) != gatewayUp {
		return func() {}
	}
	w.tunnels.setGateway(i, s)
	return func() {
		if w.tunnels.gateway(i) == s {
			w.tunnels.setGateway(i, gatewayUp)
		}
	}
}
