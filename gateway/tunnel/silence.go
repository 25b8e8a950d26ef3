package tunnel

import (
	"errors"
	"time"
)

// ErrSilent ends a tunnel that has said nothing for too long, though its path lives.
var ErrSilent = errors.New("tunnel is silent: its path lives, this connection does not")

// probe is the PING of Probe that is under way, and what happened since.
type probe struct {
	sent    time.Duration // our clock, whole microseconds as on the wire; 0 is none
	clogged bool          // DATA went out before it that no PONG has covered
	data    bool          // DATA went out since
}

// signs is what a tunnel shows at one moment.
type signs struct {
	now, sent, heard time.Duration // heard is when the last byte came
	// delivering says that our own reader waits for our local end: what the peer says
	// is there to be read, and is not.
	delivering bool
	// clogged says that the peer's reader may be waiting for its local end in the same
	// way, so that it does not come to our PING.
	clogged bool
	// unacknowledged says for how long the peer's kernel has left bytes of ours without
	// an acknowledgement; 0 is none, or not known.
	unacknowledged time.Duration
}

// dead says whether the connection no longer carries anything. A slow reader at
// either end is not silence.
func (s signs) dead(timeout time.Duration) bool {
	if s.sent == 0 || s.now-s.sent < timeout {
		return false
	}
	if s.unacknowledged >= timeout {
		return true
	}
	return !s.delivering && !s.clogged && s.now-s.heard >= timeout
}

// idleProbe is how long a tunnel that carries nothing may say nothing before it is
// asked: nobody waits for it, and beats watch the path.
const idleProbe = 15 * time.Second

// Probe asks for a sign of life, and closes the tunnel with ErrSilent if the last
// such question is older than timeout and nothing has come since. Called at an
// interval longer than timeout, it finds a dead connection within two of them.
func (t *Tunnel) Probe(timeout time.Duration) {
	now := t.now().Truncate(time.Microsecond)
	t.mu.Lock()
	if t.probe.sent == 0 && t.stream == nil && now-time.Duration(t.heard.Load()) < idleProbe {
		t.mu.Unlock()
		return
	}
	if t.probe.sent == 0 {
		t.probe = probe{sent: max(now, time.Microsecond), clogged: t.probe.data}
		sent := t.probe.sent
		t.mu.Unlock()
		t.queue(AppendFrame(nil, TypePing, 0, appendClock(nil, sent)))
		return
	}
	s := signs{now: now, sent: t.probe.sent, heard: time.Duration(t.heard.Load()),
		delivering: t.delivering.Load(), clogged: t.probe.clogged}
	t.mu.Unlock()
	s.unacknowledged = unacknowledged(rawConn(t.conn))
	if s.dead(timeout) {
		t.Close(ErrSilent)
	}
}

// answered notes the PONG to the PING that was sent at echo.
func (t *Tunnel) answered(echo time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.probe.sent != 0 && echo >= t.probe.sent {
		t.probe = probe{data: t.probe.data}
	}
}

// deliver runs f, which may wait for our local end, outside the peer's silence.
func (t *Tunnel) deliver(f func()) {
	t.delivering.Store(true)
	f()
	t.heard.Store(int64(t.now()))
	t.delivering.Store(false)
}

// listening is the reading side of a tunnel's connection: every byte is a sign.
type listening struct{ t *Tunnel }

func (l listening) Read(p []byte) (int, error) {
	n, err := l.t.conn.Read(p)
	if n > 0 {
		l.t.heard.Store(int64(l.t.now()))
	}
	return n, err
}
