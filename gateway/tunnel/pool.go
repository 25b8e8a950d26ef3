package tunnel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/causeway-mesh/causeway/federation/routing"
)

// maxDialing bounds how many tunnels are dialled ahead of demand at once.
const maxDialing = 4

// Open takes a warm tunnel, or dials one, and sends OPEN on it. warm says which.
func (p *Path) Open(ctx context.Context, o Open) (s *Stream, warm bool, err error) {
	p.use()
	for {
		t := p.take()
		if t == nil {
			break
		}
		if s, err := p.openOn(t, o); err == nil {
			return s, true, nil
		}
		// It has ended, or the peer opened first: the next one.
	}
	p.raise()
	t, err := p.dialData(ctx)
	if err != nil {
		return nil, false, err
	}
	s, err = p.openOn(t, o)
	return s, false, err
}

// openOn counts the stream while it lasts.
func (p *Path) openOn(t *Tunnel, o Open) (*Stream, error) {
	p.inUse.Add(1)
	done := func() { p.inUse.Add(-1) }
	s, err := t.open(o, done)
	if err != nil {
		done()
	}
	return s, err
}

// take gives the idle tunnel that was used last, so that the others can age out.
// What the peer dialled comes first while we cannot dial ourselves.
func (p *Path) take() *Tunnel {
	p.mu.Lock()
	defer p.mu.Unlock()
	lists := [...]*[]*Tunnel{&p.idle, &p.adopted}
	for _, l := range lists {
		if l == &p.adopted && p.state == routing.PathUp {
			continue
		}
		if n := len(*l); n > 0 {
			t := (*l)[n-1]
			*l = (*l)[:n-1]
			if len(p.idle) < p.target {
				p.ask()
			}
			return t
		}
	}
	return nil
}

// raise makes room for more warm tunnels: somebody has had to wait for a dial.
func (p *Path) raise() {
	p.mu.Lock()
	p.target = min(p.cfg.MaxIdle, max(1, p.target*2))
	p.mu.Unlock()
	p.ask()
}

// dialData dials a data tunnel that is not put among the idle ones: the caller has it.
func (p *Path) dialData(ctx context.Context) (*Tunnel, error) {
	p.mu.Lock()
	switch {
	case p.ctx == nil:
		p.mu.Unlock()
		return nil, ErrClosed
	case p.dialled >= p.cfg.MaxTunnels:
		p.mu.Unlock()
		return nil, ErrFull
	}
	p.dialled++
	up := p.up
	if p.state == routing.PathDown {
		up = context.Background() // fail static: when all else is exhausted it is tried
	}
	p.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(up, func() { cancel(ErrPathDown) })
	defer stop()
	t, err := p.dial(ctx, ForData, Hooks{OnOpen: p.deps.OnOpen, OnIdle: p.putBack, OnDrain: p.onDrain,
		OnPong: func(t *Tunnel, _ time.Duration) { p.sign(t.LastPong()) }})
	if err != nil {
		p.mu.Lock()
		p.dialled--
		p.mu.Unlock()
	}
	return t, err
}

// dial connects, and runs the tunnel until it ends.
func (p *Path) dial(ctx context.Context, purpose Purpose, hooks Hooks) (*Tunnel, error) {
	t, err := p.connect(ctx, purpose, hooks)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	run := p.ctx
	if run == nil {
		delete(p.all, t)
		t.Close(ErrClosed)
		return nil, ErrClosed
	}
	p.work.Go(func() {
		_ = t.Run(run)
		p.forget(t, purpose)
	})
	return t, nil
}

// connect dials a tunnel that the caller runs, and then forgets.
func (p *Path) connect(ctx context.Context, purpose Purpose, hooks Hooks) (*Tunnel, error) {
	dctx, cancel := context.WithTimeoutCause(ctx, p.cfg.DialTimeout,
		fmt.Errorf("no answer within %s", p.cfg.DialTimeout))
	defer cancel()
	began := p.deps.Now()
	conn, err := p.deps.Dial(dctx, p.key)
	p.deps.Metrics.dialled(p.key, purpose, p.deps.Now()-began, err)
	p.noteDial(ctx, err)
	if err != nil {
		if cause := context.Cause(dctx); cause != nil && errors.Is(err, dctx.Err()) {
			if errors.Is(err, ErrHung) {
				cause = fmt.Errorf("%w: %w", ErrHung, cause)
			}
			err = cause
		}
		return nil, err
	}
	p.sign(p.deps.Now()) // the handshake is the gateway's own, not its host's
	hooks.OnUnknown = p.deps.Metrics.UnknownFrame
	t := New(conn, Config{Dialer: true, Instance: p.cfg.Instance, Cluster: p.cfg.Cluster,
		Purpose: purpose, Peer: p.key.Cluster}, hooks, p.deps.Now)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx == nil {
		_ = rawConn(conn).Close()
		return nil, ErrClosed
	}
	p.all[t] = struct{}{}
	return t, nil
}

// noDialAfter is how many dials in a row must fail before nothing new is expected.
const noDialAfter = 2

// noteDial counts dials that fail one after another; one that was called off says
// nothing.
func (p *Path) noteDial(ctx context.Context, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil:
		p.failed = 0
	case ctx.Err() == nil:
		p.failed++
	}
}

func (p *Path) forget(t *Tunnel, purpose Purpose) {
	p.mu.Lock()
	delete(p.all, t)
	p.idle = without(p.idle, t)
	if purpose == ForData {
		p.dialled--
	}
	p.mu.Unlock()
	p.ask()
}

func without(ts []*Tunnel, t *Tunnel) []*Tunnel {
	if i := slices.Index(ts, t); i >= 0 {
		return slices.Delete(ts, i, i+1)
	}
	return ts
}

// putBack takes a tunnel whose stream has ended cleanly.
func (p *Path) putBack(t *Tunnel) {
	p.mu.Lock()
	_, known := p.all[t]
	keep := known && p.ctx != nil && !p.isRetired() && len(p.idle) < p.cfg.MaxIdle && t.Idle()
	if keep && !slices.Contains(p.idle, t) {
		p.idle = append(p.idle, t)
	}
	p.mu.Unlock()
	if known && !keep {
		t.closeFree(ErrClosed)
	}
}

// onDrain takes a tunnel out whose peer wants no more streams on it.
func (p *Path) onDrain(t *Tunnel) {
	p.mu.Lock()
	p.idle = without(p.idle, t)
	p.mu.Unlock()
	p.noteDraining()
}

// Adopt offers a tunnel that the peer dialled, for streams of ours while we cannot
// dial it ourselves. OnIdle of that tunnel offers it again.
func (p *Path) Adopt(t *Tunnel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx == nil || len(p.adopted) >= p.cfg.MaxIdle || slices.Contains(p.adopted, t) {
		return
	}
	p.adopted = append(p.adopted, t)
}

// Release takes an adopted tunnel out that has ended.
func (p *Path) Release(t *Tunnel) {
	p.mu.Lock()
	p.adopted = without(p.adopted, t)
	p.mu.Unlock()
}

// fill keeps enough idle tunnels until ctx ends.
func (p *Path) fill(ctx context.Context) {
	keepalive := time.NewTicker(p.cfg.Keepalive)
	defer keepalive.Stop()
	decay := time.NewTicker(p.cfg.IdleDecay)
	defer decay.Stop()
	p.ask()
	for {
		probe, sink := keepalive.C, decay.C
		if p.quiet() {
			probe, sink = nil, nil // hundreds of cold paths do not wake up for nothing
		}
		select {
		case <-ctx.Done():
			return
		case <-p.retired:
			p.finish(ctx, keepalive.C)
			return
		case <-probe:
			p.probeAll()
		case <-sink:
			p.decay()
		case <-p.need:
			p.topUp(ctx)
		}
	}
}

// topUp dials what is missing, a few at a time.
func (p *Path) topUp(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == routing.PathDown || p.draining {
		return
	}
	p.target = max(p.target, p.warm(p.deps.Now()))
	for len(p.idle)+p.dialing < p.target && p.dialing < maxDialing && p.dialled < p.cfg.MaxTunnels {
		p.dialing++
		p.work.Go(func() { p.dialWarm(ctx) })
	}
}

func (p *Path) dialWarm(ctx context.Context) {
	t, err := p.dialData(ctx)
	if err != nil {
		wait(ctx, p.backoff(1)) // the beats say when the path is back
	}
	p.mu.Lock()
	p.dialing--
	p.mu.Unlock()
	if err == nil {
		p.putBack(t)
	}
	p.ask()
}

// decay forgets old demand, and that a path was wanted, and closes the idle tunnel that
// was used least lately.
func (p *Path) decay() {
	p.mu.Lock()
	if p.target > p.warm(p.deps.Now()) {
		p.target--
	}
	var extra *Tunnel
	if len(p.idle) > p.target {
		extra = p.idle[0]
		p.idle = p.idle[1:]
	}
	p.mu.Unlock()
	if extra != nil {
		extra.closeFree(ErrClosed)
	}
}

// probeAll finds tunnels that are dead by themselves, while the path lives.
func (p *Path) probeAll() {
	for _, t := range p.tunnels() {
		t.Probe(p.timeout())
	}
}

// tunnels lists all that were dialled here and stand, beats included.
func (p *Path) tunnels() []*Tunnel {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.all))
}
