package tunnel

import (
	"errors"
	"fmt"
	"io"
	"time"
)

func (t *Tunnel) readControl(h Header) error {
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(listening{t}, payload); err != nil {
		return fmt.Errorf("reading from the tunnel: %w", err)
	}
	now := t.now()
	switch h.Type {
	case TypeHello:
		return t.onHello(now, payload)
	case TypePing:
		return t.onPing(now, payload)
	case TypePong:
		return t.onPong(now, payload)
	case TypeDrain:
		t.onDrain()
		return nil
	case TypeOpen:
		return t.onOpen(now, h, payload)
	case TypeOpened, TypeNack, TypeFin, TypeReset:
		return t.onStreamFrame(h, payload)
	default:
		if t.hooks.OnUnknown != nil {
			t.hooks.OnUnknown(h.Type)
		}
		return nil
	}
}

func (t *Tunnel) onHello(now time.Duration, payload []byte) error {
	hello, err := DecodeHello(payload)
	if err != nil {
		return err
	}
	if hello.Version != Version || hello.Cluster != t.cfg.Peer {
		return fmt.Errorf("%w: version %d, cluster %q instead of %q", ErrHello, hello.Version, hello.Cluster, t.cfg.Peer)
	}
	t.sample(now, hello.Sent)
	t.peer.Store(&hello)
	if t.hooks.OnHello != nil {
		t.hooks.OnHello(t, hello)
	}
	return nil
}

func (t *Tunnel) sample(now, sent time.Duration) {
	t.mu.Lock()
	t.floor.sample(now, sent)
	t.mu.Unlock()
}

func (t *Tunnel) onPing(now time.Duration, payload []byte) error {
	sent, err := decodePing(payload)
	if err != nil {
		return err
	}
	t.sample(now, sent)
	t.queue(AppendFrame(nil, TypePong, 0, pong{echo: sent, sent: now}.append(nil)))
	return nil
}

func (t *Tunnel) onPong(now time.Duration, payload []byte) error {
	p, err := decodePong(payload)
	if err != nil {
		return err
	}
	t.sample(now, p.sent)
	t.lastPong.Store(int64(max(now, 1)))
	t.answered(p.echo)
	if t.hooks.OnPong != nil {
		t.hooks.OnPong(t, max(0, now-p.echo))
	}
	return nil
}

func (t *Tunnel) onDrain() {
	t.mu.Lock()
	t.slot.draining = true
	t.mu.Unlock()
	if t.hooks.OnDrain != nil {
		t.hooks.OnDrain(t)
	}
}

func (t *Tunnel) onOpen(now time.Duration, h Header, payload []byte) error {
	req, err := DecodeOpen(payload)
	if err != nil {
		return err
	}
	t.mu.Lock()
	act, err := t.slot.receive(TypeOpen, h.Stream)
	late := t.floor.late(now, req.Sent)
	if err != nil || t.err != nil {
		t.mu.Unlock()
		return errors.Join(err, t.err)
	}
	if act == refuse {
		t.mu.Unlock()
		t.queue(nackFrame(h.Stream, Busy))
		return nil
	}
	loser := t.stream
	s := newStream(t)
	s.id, t.stream = h.Stream, s
	t.mu.Unlock()
	if act == takeOver && loser != nil {
		loser.end(&NackError{Reason: Busy})
	}
	in := &Incoming{Stream: s, Request: req, Lateness: late, received: now}
	t.work.Go(func() { t.serve(in) })
	return nil
}

// serve runs the owner's hook and makes sure that the stream does not outlive it.
func (t *Tunnel) serve(in *Incoming) {
	if t.hooks.OnOpen == nil {
		_ = in.Nack(Refused)
		return
	}
	t.hooks.OnOpen(in)
	select {
	case <-in.done:
	default:
		if in.Nack(Refused) != nil {
			in.Abort()
		}
	}
}

func nackFrame(id uint32, r Reason) []byte { return AppendFrame(nil, TypeNack, id, []byte{byte(r)}) }

func (t *Tunnel) onStreamFrame(h Header, payload []byte) error {
	if h.Type == TypeFin {
		return t.onFin(h)
	}
	t.mu.Lock()
	act, err := t.slot.receive(h.Type, h.Stream)
	s := t.stream
	if act == deliver && err == nil && h.Type == TypeNack {
		t.stream = nil
	}
	t.mu.Unlock()
	if err != nil || act != deliver || s == nil {
		return err
	}
	switch h.Type {
	case TypeOpened:
		close(s.opened)
	case TypeNack:
		r := Reason(0)
		if len(payload) > 0 {
			r = Reason(payload[0])
		}
		s.end(&NackError{Reason: r})
		t.settled()
	case TypeReset:
		return ErrReset
	}
	return nil
}

// onFin passes the half-close on before the slot can become free.
func (t *Tunnel) onFin(h Header) error {
	t.mu.Lock()
	s := t.stream
	holds := s != nil && t.slot.holds(h.Stream)
	t.mu.Unlock()
	if holds {
		t.deliver(func() {
			if local := s.waitLocal(); local != nil {
				_ = local.CloseWrite() // a client that is gone is noticed when we read it
			}
		})
	}
	t.mu.Lock()
	act, err := t.slot.receive(TypeFin, h.Stream)
	done := err == nil && act == deliver && t.slot.phase == idle
	if done {
		t.stream = nil
	}
	t.mu.Unlock()
	if done {
		s.end(nil)
		t.settled()
	}
	return err
}

// settled tells the owner that the slot is free.
func (t *Tunnel) settled() {
	t.lastUsed.Store(int64(t.now()))
	if t.hooks.OnIdle != nil {
		t.hooks.OnIdle(t)
	}
}

// readData passes a DATA payload to the stream's local end. It blocks while that
// one does not take more: TCP's own flow control then slows the sender.
func (t *Tunnel) readData(h Header) error {
	t.mu.Lock()
	act, err := t.slot.receive(TypeData, h.Stream)
	s := t.stream
	t.mu.Unlock()
	if err != nil {
		return err
	}
	var local Local
	if act == deliver && s != nil {
		t.deliver(func() { local = s.waitLocal() })
	}
	if h.Length == 0 {
		return nil
	}
	buf := getBuffer()
	defer putBuffer(buf)
	p := buf[:h.Length]
	if _, err := io.ReadFull(listening{t}, p); err != nil {
		return fmt.Errorf("reading from the tunnel: %w", err)
	}
	if local == nil {
		return nil
	}
	var n int
	t.deliver(func() { n, err = local.Write(p) })
	s.received.Add(int64(n))
	if err != nil {
		s.localFailed()
		s.Abort()
		return fmt.Errorf("%w: writing to the local end: %w", ErrAborted, err)
	}
	return nil
}
