package tunnel

import (
	"time"

	"github.com/causeway-mesh/causeway/federation/routing"
)

// Heat says what a path is wanted for.
type Heat uint32

const (
	// Cold paths are in nobody's way: they beat slowly, and keep no warm tunnels unless
	// the peer depends on them.
	Cold Heat = iota
	// Spare paths are where traffic would go next: tunnels are warm, beats are slow.
	Spare
	// Hot paths are where traffic goes: tunnels are warm, and beats fast while it does.
	Hot
)

// soleGrace is how long a peer may be unheard on a path that is up before our tunnels
// count as its only way to us; longer than it waits between dials.
const soleGrace = 3 * time.Second

// Heat says what the path is wanted for from now on. The first reason to be warm fills
// its pool at once; ActiveFor after the last one it has lost them.
func (p *Path) Heat(h Heat) {
	was := Heat(p.heat.Swap(uint32(h)))
	if was == h {
		return
	}
	if h == Hot {
		p.hasten()
	}
	p.mu.Lock()
	p.noteWanted(p.deps.Now(), was != Cold)
	p.mu.Unlock()
	p.ask()
}

// use notes that a stream is opened; the first one for a while makes the path beat
// fast at once.
func (p *Path) use() {
	now := p.deps.Now()
	idle := !p.active(now)
	p.lastOpen.Store(int64(max(now, 1)))
	if idle && Heat(p.heat.Load()) == Hot {
		p.hasten()
	}
}

// active says whether somebody would miss the path within a second: a stream is on
// it, or one was opened lately.
func (p *Path) active(now time.Duration) bool {
	last := time.Duration(p.lastOpen.Load())
	return p.inUse.Load() > 0 || last != 0 && now-last < p.cfg.ActiveFor
}

// beatEvery is the interval of PINGs, by whether the path is in use.
func (p *Path) beatEvery() time.Duration {
	if Heat(p.heat.Load()) == Hot && p.active(p.deps.Now()) {
		return p.cfg.Beat
	}
	return p.cfg.IdleBeat
}

// hasten makes each beat look at its interval anew.
func (p *Path) hasten() {
	for i := range p.watches {
		if w := p.watches[i].Load(); w != nil {
			w.hasten()
		}
	}
}

// warm is how many idle tunnels the path keeps without any demand that has raised
// their number. The caller holds the lock.
func (p *Path) warm(now time.Duration) int {
	p.noteWanted(now, false)
	last := max(p.wanted, time.Duration(p.lastOpen.Load()))
	if last != 0 && now-last < p.cfg.ActiveFor {
		return p.cfg.Warm
	}
	return 0
}

// noteWanted remembers the latest moment at which there was a reason to be warm, or at
// which one has ended. The caller holds the lock.
func (p *Path) noteWanted(now time.Duration, until bool) {
	if until || Heat(p.heat.Load()) != Cold || p.inUse.Load() > 0 || p.sole(now) {
		p.wanted = max(now, 1)
	}
}

// sole says whether our tunnels may be the peer's only way to us: it does not beat
// here, so that it probably cannot dial us. The caller holds the lock.
func (p *Path) sole(now time.Duration) bool {
	return p.state == routing.PathUp && len(p.peerBeats) == 0 && now-p.unheardSince >= soleGrace
}

// watchSole looks, after the grace, whether the path has become the peer's only way.
// The caller holds the lock, and the peer is not heard now.
func (p *Path) watchSole() {
	p.unheardSince = p.deps.Now()
	time.AfterFunc(soleGrace, p.ask)
}

// quiet says whether the filler has nothing to look after until somebody asks.
func (p *Path) quiet() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dialled == 0 && p.warm(p.deps.Now()) == 0
}
