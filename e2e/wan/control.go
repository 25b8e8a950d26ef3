package wan

import (
	"context"
	"fmt"
	"time"

	"github.com/causeway-mesh/causeway/e2e/wan/link"
	"github.com/causeway-mesh/causeway/e2e/wan/script"
)

// Counters are of one direction since the start.
type Counters = link.Counters

// Set replaces one direction's settings. What is under way keeps its time, but a
// direction that goes down loses it.
func (w *WAN) Set(from, to Site, s link.Settings) error {
	return w.change(from, to, func(old *link.Settings) { *old = s })
}

// Settings are those of one direction that are in force.
func (w *WAN) Settings(from, to Site) (s link.Settings, err error) {
	err = w.look(from, to, func(p *pipe) { s = p.line.Settings() })
	return s, err
}

// SetDelay changes one direction's delay. What is under way keeps its time; later
// packets never overtake it.
func (w *WAN) SetDelay(from, to Site, oneWay time.Duration) error {
	return w.change(from, to, func(s *link.Settings) { s.Delay = oneWay })
}

// SetDrop makes one direction a black hole, or opens it again. No RST, no ICMP.
func (w *WAN) SetDrop(from, to Site, drop bool) error {
	return w.change(from, to, func(s *link.Settings) { s.Down = drop })
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

// Apply makes a change of a script; one that is about no direction is an error.
func (w *WAN) Apply(c script.Change) error {
	matched := false
	for d, p := range w.pipes {
		if !c.Matches(string(d.From), string(d.To)) {
			continue
		}
		matched = true
		if err := w.change(d.From, d.To, func(s *link.Settings) { *s = c.Apply(*s, p.base) }); err != nil {
			return err
		}
	}
	if !matched {
		return fmt.Errorf("%s: no such direction between the sites %v", c, w.Sites())
	}
	return nil
}

// Play makes the changes of a script at their times from now on. It returns when the
// last one is made, or ctx ends, or, before any is made, when one names no direction.
// Each is told to the callback, if there is one.
func (w *WAN) Play(ctx context.Context, s script.Script, told func(script.Event)) error {
	for _, e := range s {
		if !w.concerns(e.Change) {
			return fmt.Errorf("%s: no such direction between the sites %v", e, w.Sites())
		}
	}
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for _, e := range s {
		timer.Reset(time.Until(start.Add(e.At)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		if err := w.Apply(e.Change); err != nil {
			return err
		}
		if told != nil {
			told(e)
		}
	}
	return nil
}

func (w *WAN) concerns(c script.Change) bool {
	for d := range w.pipes {
		if c.Matches(string(d.From), string(d.To)) {
			return true
		}
	}
	return false
}

// Status is a direction as it stands.
type Status struct {
	Direction
	Settings link.Settings
	Counters Counters
	UnderWay int // bytes
}

// Status reads all directions, in the order of their names.
func (w *WAN) Status() []Status {
	var out []Status
	for _, from := range w.Sites() {
		for _, to := range w.Sites() {
			s := Status{Direction: Direction{from, to}}
			if w.look(from, to, func(p *pipe) {
				s.Settings, s.Counters, s.UnderWay = p.line.Settings(), p.line.Counters(), p.line.UnderWay()
			}) == nil {
				out = append(out, s)
			}
		}
	}
	return out
}

// Counters reads one direction's counters.
func (w *WAN) Counters(from, to Site) (c Counters, err error) {
	err = w.look(from, to, func(p *pipe) { c = p.line.Counters() })
	return c, err
}

// Strange counts what no pipe took: packets that are not IPv4, that go to no site, or
// that a site's device refused.
func (w *WAN) Strange() uint64 { return w.strange.Load() }

// Capture calls fn for every frame of which anything is let through, when it enters its
// direction, in order within the direction but from several goroutines. It is seen
// whole: what Loss takes of it later is seen nevertheless. fn must be quick: it holds
// the direction up. Nil ends it. One capture at a time.
func (w *WAN) Capture(fn func(Packet)) {
	if fn == nil {
		w.tap.Store(nil)
		return
	}
	w.tap.Store(&tap{fn})
}

// change makes new settings of one direction's, if they are valid.
func (w *WAN) change(from, to Site, f func(*link.Settings)) error {
	var invalid error
	if err := w.look(from, to, func(p *pipe) {
		s := p.line.Settings()
		f(&s)
		if invalid = s.Validate(); invalid == nil {
			p.line.Set(s, w.pool.release)
		}
	}); err != nil {
		return err
	}
	if invalid != nil {
		return fmt.Errorf("the way from %s to %s: %w", from, to, invalid)
	}
	return nil
}

// look calls f with the direction's lock held.
func (w *WAN) look(from, to Site, f func(*pipe)) error {
	p := w.pipes[Direction{from, to}]
	if p == nil {
		return fmt.Errorf("no way from %s to %s", from, to)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
	return nil
}
