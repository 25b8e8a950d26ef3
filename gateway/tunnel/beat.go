package tunnel

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// countEvery is how often a beat's segments are counted.
const countEvery = time.Second

// upAfter is how many PONGs on a fresh connection prove a path.
const upAfter = 2

// beat keeps one beat connection: dials it, pings on it, and reports what it shows.
func (p *Path) beat(ctx context.Context, i int) {
	failures := 0
	for ctx.Err() == nil {
		pongs, err := p.beatOnce(ctx, i)
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
		_ = err
	}
}

// beatOnce is the life of one beat connection; it returns how many PONGs came.
func (p *Path) beatOnce(ctx context.Context, i int) (int, error) {
	pong := make(chan struct{}, 1) // from the tunnel's reader; full = already told
	var pongs atomic.Int64
	t, err := p.dial(ctx, ForBeats, Hooks{
		OnOpen: func(in *Incoming) { _ = in.Nack(Refused) },
		OnPong: func(t *Tunnel, rtt time.Duration) {
			p.noteRTT(rtt)
			p.sign(t.LastPong())
			if pongs.Add(1) > upAfter {
				return // proved: the watch has no need to wake up for it
			}
			select {
			case pong <- struct{}{}:
			default:
			}
		},
		OnDrain: func(*Tunnel) { p.noteDraining() },
	})
	if err != nil {
		p.note(i, witness{beatFailed, "dialing: " + err.Error()}, err)
		return 0, err
	}
	defer t.Close(ErrClosed)
	err = p.watch(ctx, i, t, pong, &pongs)
	return int(pongs.Load()), err
}

// watch pings on t until it ends, or until it has been silent and something else
// has shown whether the path lives.
func (p *Path) watch(ctx context.Context, i int, t *Tunnel, pong <-chan struct{}, pongs *atomic.Int64) error {
	born := p.deps.Now()
	patience, proved := patience{since: born}, false
	t.Ping()
	nextPing := p.nextBeat(born)
	due := nextPing
	counted, nextCount := segments{}, born+countEvery
	asked := time.Duration(0) // the silence, by its beginning, in which data tunnels were asked
	timer := time.NewTimer(due - born)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.Done():
			return p.noteEnd(i, t, pongs.Load())
		case <-pong:
			if pongs.Load() < upAfter {
				t.Ping() // prove the path without waiting for the next beat
			} else if !proved {
				proved = true
				p.note(i, witness{state: beatFresh}, nil)
			}
			continue
		case <-p.heated[i]:
			// Slow beats say nothing of the last second: silence counts from here.
			due = p.deps.Now()
			patience.since, nextPing = due, due
		case <-timer.C:
		}
		now := p.deps.Now()
		patience.woke(now, due, t.LastPong())
		if now >= patience.ends(p.timeout()) {
			p.note(i, witness{state: beatSilent}, nil)
			return errors.New("silent")
		}
		if quiet := now - p.silence(); now-quiet >= p.timeout()/2 && asked != quiet {
			asked = quiet
			p.askAll()
		}
		if now >= nextPing {
			t.Ping()
			nextPing = p.nextBeat(now)
		}
		if now >= nextCount {
			counted, nextCount = p.noteSegments(t.conn, counted), now+countEvery
		}
		due = max(now+time.Millisecond, min(nextPing, patience.ends(p.timeout())))
		timer.Reset(due - now)
	}
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
func (p *Path) noteEnd(i int, t *Tunnel, pongs int64) error {
	err := t.Err()
	if errors.Is(err, ErrPathDown) {
		return err // the verdict is already out
	}
	w := witness{beatLost, "connection lost: " + err.Error()}
	if pongs == 0 {
		w = witness{beatFailed, "dialing: " + err.Error()}
	}
	p.note(i, w, err)
	return err
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
