package wan

import (
	"fmt"
	"time"
)

// SetDelay changes one direction's delay. What is under way keeps its time; later
// packets never overtake it.
func (w *WAN) SetDelay(from, to Site, oneWay time.Duration) error {
	if oneWay < 0 || oneWay > maxDelay {
		return fmt.Errorf("delay %s from %s to %s is not within 0 and %s", oneWay, from, to, maxDelay)
	}
	return w.change(from, to, func(q *queue) { q.delay = oneWay })
}

// SetDrop makes one direction a black hole, or opens it again. No RST, no ICMP.
func (w *WAN) SetDrop(from, to Site, drop bool) error {
	return w.change(from, to, func(q *queue) { q.setDrop(drop, w.pool.free) })
}

// Isolate drops every packet of a site, both ways, or lets them through again.
func (w *WAN) Isolate(site Site, drop bool) error {
	if _, ok := w.cfg.Sites[site]; !ok {
		return fmt.Errorf("no site %s", site)
	}
	for other := range w.cfg.Sites {
		if other == site {
			continue
		}
		for _, d := range []Direction{{site, other}, {other, site}} {
			if err := w.SetDrop(d.From, d.To, drop); err != nil {
				return err
			}
		}
	}
	return nil
}

// Counters reads one direction's counters.
func (w *WAN) Counters(from, to Site) (Counters, error) {
	var c Counters
	err := w.change(from, to, func(q *queue) { c = q.counters })
	return c, err
}

// Strange counts what no pipe took: packets that are not IPv4, that go to no site, or
// that a site's device refused.
func (w *WAN) Strange() uint64 { return w.strange.Load() }

// Capture calls fn for every packet that is let through, when it enters its
// direction, in order within the direction but from several goroutines. fn must be
// quick: it holds the direction up. Nil ends it. One capture at a time.
func (w *WAN) Capture(fn func(Packet)) {
	if fn == nil {
		w.tap.Store(nil)
		return
	}
	w.tap.Store(&tap{fn})
}

func (w *WAN) change(from, to Site, f func(*queue)) error {
	p := w.pipes[Direction{from, to}]
	if p == nil {
		return fmt.Errorf("no way from %s to %s", from, to)
	}
	p.mu.Lock()
	f(p.q)
	p.mu.Unlock()
	p.ring()
	return nil
}
