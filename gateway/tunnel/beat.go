package tunnel

import (
	"context"
	"errors"
)

// upAfter is how many PONGs on a fresh connection prove a path.
const upAfter = 2

// beat keeps one beat connection: dials it, pings on it, and reports what it shows.
func (p *Path) beat(ctx context.Context, i int) {
	failures := 0
	for ctx.Err() == nil {
		pongs := p.beatOnce(ctx, i)
		switch {
		case ctx.Err() != nil:
			return
		case pongs > upAfter:
			failures = 0 // it lived: find out at once whether the peer does
		default:
			if !wait(ctx, p.backoff(failures)) {
				return
			}
			failures++
		}
	}
}

// beatOnce is the life of one beat connection, which is read here; it returns how many
// PONGs came.
func (p *Path) beatOnce(ctx context.Context, i int) (pongs int) {
	w := &watch{path: p, i: i}
	t, err := p.connect(ctx, ForBeats, Hooks{
		OnOpen:  func(in *Incoming) { _ = in.Nack(Refused) },
		OnPong:  w.answered,
		OnDrain: func(*Tunnel) { p.noteDraining() },
	})
	if err != nil {
		p.note(i, witness{beatFailed, "dialing: " + err.Error()}, err)
		return 0
	}
	w.begin(t)
	_ = t.Run(ctx)
	w.end()
	p.forget(t, ForBeats)
	pongs = int(w.pongs.Load())
	if ctx.Err() == nil && !errors.Is(t.Err(), errSilent) {
		p.noteEnd(i, t, pongs)
	}
	return pongs
}

// maxAsked bounds how many data tunnels are asked when beats are silent.
const maxAsked = 8

// askAll asks the data tunnels too: each is a connection of its own, and may get
// through while the beats wait for a lost segment to be sent again.
func (p *Path) askAll() {
	asked := 0
	for _, t := range p.tunnels() {
		if t.cfg.Purpose == ForData && asked < maxAsked {
			t.Ping()
			asked++
		}
	}
}

// noteEnd records that a beat connection has ended by itself. One that never
// answered is a failed dial: in TLS 1.3 the peer's refusal comes only after ours.
func (p *Path) noteEnd(i int, t *Tunnel, pongs int) {
	err := t.Err()
	if errors.Is(err, ErrPathDown) {
		return // the verdict is already out
	}
	w := witness{beatLost, "connection lost: " + err.Error()}
	if pongs == 0 {
		w = witness{beatFailed, "dialing: " + err.Error()}
	}
	p.note(i, w, err)
}

func (p *Path) noteDraining() {
	p.mu.Lock()
	changed := !p.draining
	p.draining = true
	state, cause := p.state, p.cause
	p.mu.Unlock()
	if changed && p.deps.OnChange != nil {
		p.deps.OnChange(p.key, state, cause)
	}
}
