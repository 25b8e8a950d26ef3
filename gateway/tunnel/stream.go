package tunnel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// resetPatience bounds how long saying RESET may take; the close that follows says
// the same less politely.
const resetPatience = 50 * time.Millisecond

// NackError is the peer's refusal of a stream. The tunnel can be used again, and
// the stream may always be tried elsewhere.
type NackError struct{ Reason Reason }

func (e *NackError) Error() string { return "refused by the peer gateway: " + e.Reason.String() }

// Local is the near end of a stream: a client's connection or an endpoint's.
type Local interface {
	io.Reader
	io.Writer
	CloseWrite() error
	Close() error
}

// Stream is one client connection on a tunnel.
type Stream struct {
	t    *Tunnel
	id   uint32
	once sync.Once
	err  error // set before done is closed
	// onEnd is called once, when the stream has ended; nil is nobody's.
	onEnd func()

	opened   chan struct{} // closed by the tunnel's reader at OPENED, or by Accept
	attached chan struct{} // closed when local is set
	done     chan struct{} // closed once, when the stream has ended

	lmu      sync.Mutex
	local    Local
	received atomic.Int64
	sent     atomic.Int64
	broke    atomic.Bool // the local end has failed, and before the stream had ended
}

func newStream(t *Tunnel) *Stream {
	return &Stream{t: t, opened: make(chan struct{}), attached: make(chan struct{}), done: make(chan struct{})}
}

// Opened is closed when the peer has accepted.
func (s *Stream) Opened() <-chan struct{} { return s.opened }

// Done is closed when the stream has ended; Err says how.
func (s *Stream) Done() <-chan struct{} { return s.done }

// Err is nil after a clean end. It may be called once Done is closed.
func (s *Stream) Err() error { return s.err }

// Refusal is why a stream has ended without the peer's acceptance: never nil then. It
// is nil where the peer had accepted before the end, however soon that came: such a
// stream must not be tried elsewhere. It may be called once Done is closed.
func (s *Stream) Refusal() error {
	select {
	case <-s.opened:
		return nil
	default:
		return s.failure()
	}
}

// Await waits for the answer to OPEN: nil is OPENED, a *NackError a refusal,
// anything else silence or the end of the tunnel.
func (s *Stream) Await(ctx context.Context) error {
	select {
	case <-s.opened:
		return nil
	case <-s.done:
		return s.Refusal()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Early sends client bytes before OPENED. frame has HeaderLen bytes of room in
// front of the payload.
func (s *Stream) Early(payload []byte) error {
	frame := make([]byte, HeaderLen+len(payload))
	copy(frame[HeaderLen:], payload)
	return s.sendData(frame)
}

// sendData sends a frame whose first HeaderLen bytes are still to be filled.
func (s *Stream) sendData(frame []byte) error {
	n := len(frame) - HeaderLen
	putHeader(frame, TypeData, s.id, n)
	err := s.t.send(frame, func() error {
		if !s.t.slot.canSend(s.id) {
			return ErrClosed
		}
		s.t.probe.data = true
		return nil
	})
	if err == nil {
		s.sent.Add(int64(n))
	}
	return err
}

func (s *Stream) sendFin() error {
	done := false
	err := s.t.send(AppendFrame(nil, TypeFin, s.id, nil), func() error {
		if err := s.t.slot.finish(s.id); err != nil {
			return err
		}
		if done = s.t.slot.phase == idle; done {
			s.t.stream = nil
		}
		return nil
	})
	if done { // the slot is free, written or not: nobody else ends the stream now
		s.end(err)
	}
	if done && err == nil {
		s.t.settled()
	}
	return err
}

// Abort resets the stream, and closes the tunnel: what the peer has already got is
// not known, so neither can be used again. The peer cannot serve it later.
func (s *Stream) Abort() {
	t := s.t
	t.mu.Lock()
	holds := t.stream == s && t.err == nil
	if holds {
		t.slot.phase = broken
	}
	t.mu.Unlock()
	if !holds {
		return
	}
	_ = rawConn(t.conn).SetWriteDeadline(time.Now().Add(resetPatience))
	if t.wmu.TryLock() {
		_, _ = t.conn.Write(AppendFrame(nil, TypeReset, s.id, nil))
		t.wmu.Unlock()
	}
	t.Close(ErrAborted)
}

// end is called once with the outcome; anything but a clean end resets the local
// connection, so that its client learns of it within a beat.
func (s *Stream) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.done)
		if s.onEnd != nil {
			s.onEnd()
		}
		s.lmu.Lock()
		defer s.lmu.Unlock()
		if err != nil && s.local != nil {
			Reset(s.local)
		}
	})
}

// Reset closes a connection so that its peer sees a reset, not an end.
func Reset(c io.Closer) {
	if l, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = l.SetLinger(0)
	}
	_ = c.Close()
}

func (s *Stream) attach(local Local) error {
	s.lmu.Lock()
	defer s.lmu.Unlock()
	select {
	case <-s.done:
		return s.failure()
	default:
	}
	s.local = local
	close(s.attached)
	return nil
}

func (s *Stream) failure() error {
	if s.err == nil {
		return ErrClosed
	}
	return s.err
}

// waitLocal waits for the local end; nil means that the stream has ended.
func (s *Stream) waitLocal() Local {
	select {
	case <-s.attached:
		return s.local
	case <-s.done:
		return nil
	}
}

// Result is what a stream has carried.
type Result struct {
	Sent, Received int64 // payload bytes towards the peer gateway and from it
	// LocalFailed is set when the local end failed first: it has reset the connection.
	LocalFailed bool
}

// Relay carries bytes between local and the peer until both ends have finished or
// one has failed. It closes local, with a reset unless the end was clean.
func (s *Stream) Relay(local Local) (Result, error) {
	if err := s.attach(local); err != nil {
		Reset(local)
		return s.result(), err
	}
	err := s.copyOut(local)
	if err == nil {
		err = s.sendFin()
	}
	if err != nil {
		s.Abort()
	}
	<-s.done
	if s.err == nil {
		_ = local.Close()
		return s.result(), nil
	}
	Reset(local)
	if err != nil && errors.Is(s.err, ErrAborted) {
		return s.result(), fmt.Errorf("%w: %w", ErrAborted, err)
	}
	return s.result(), s.err
}

func (s *Stream) result() Result {
	return Result{Sent: s.sent.Load(), Received: s.received.Load(), LocalFailed: s.broke.Load()}
}

// localFailed notes a failure of the local end. After the end of the stream it is our
// own reset that is seen there.
func (s *Stream) localFailed() {
	select {
	case <-s.done:
	default:
		s.broke.Store(true)
	}
}

// copyOut sends what local gives until its end of input.
func (s *Stream) copyOut(local Local) error {
	read := plainReader(local)
	if tcp, ok := local.(*net.TCPConn); ok {
		r, err := lazyReader(tcp)
		if err != nil {
			return err
		}
		read = r
	}
	for {
		buf, n, err := read()
		if n > 0 {
			if serr := s.sendData(buf[:HeaderLen+n]); serr != nil {
				putBuffer(buf)
				return serr
			}
		}
		if buf != nil {
			putBuffer(buf)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			s.localFailed()
			return fmt.Errorf("reading the local end: %w", err)
		}
	}
}

// Incoming is a stream that the peer has opened and that waits for our answer.
type Incoming struct {
	*Stream
	Request Open
	// Lateness is how much longer OPEN took than the fastest frame lately.
	Lateness time.Duration
	received time.Duration
}

// Tunnel is the tunnel that the stream came on.
func (in *Incoming) Tunnel() *Tunnel { return in.t }

// Expired says whether the opener has given up by now, as far as can be told
// without comparing clocks.
func (in *Incoming) Expired() bool {
	return in.Lateness+in.t.now()-in.received > in.Request.Budget
}

// Accept tells the opener that an endpoint has taken the connection.
func (in *Incoming) Accept() error {
	return in.t.send(AppendFrame(nil, TypeOpened, in.id, nil), func() error {
		if err := in.t.slot.answer(in.id, true); err != nil {
			return err
		}
		close(in.opened)
		return nil
	})
}

// Nack refuses the stream; the tunnel stays usable.
func (in *Incoming) Nack(r Reason) error {
	done := false
	err := in.t.send(nackFrame(in.id, r), func() error {
		if err := in.t.slot.answer(in.id, false); err != nil {
			return err
		}
		in.t.stream, done = nil, true
		return nil
	})
	if done { // as in sendFin
		in.end(cmp.Or(err, error(&NackError{Reason: r})))
	}
	if done && err == nil {
		in.t.settled()
	}
	return err
}
