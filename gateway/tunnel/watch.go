package tunnel

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// countEvery is how often a beat's segments are counted.
const countEvery = time.Second

// errSilent ends a beat connection whose silence has been noted.
var errSilent = errors.New("beat connection is silent")

// watch pings on one beat connection until that ends, or has been silent for too long. It
// lives in a timer and in the connection's reader, for hundreds of goroutines that only
// wait would cost megabytes.
type watch struct {
	path  *Path
	i     int // which of the path's beats
	pongs atomic.Int64
	hurry atomic.Bool // the interval may have become shorter

	mu        sync.Mutex // held by begin, end and tick
	over      bool
	t         *Tunnel
	timer     *time.Timer
	patience  patience
	nextPing  time.Duration // this and the following on our clock
	due       time.Duration // the timer's
	nextCount time.Duration
	counted   segments
	asked     time.Duration // the silence, by its beginning, in which data tunnels were asked
}

// begin sends the first PING, on a tunnel that is not read yet.
func (w *watch) begin(t *Tunnel) {
	w.mu.Lock()
	defer w.mu.Unlock()
	born := w.path.deps.Now()
	w.t, w.patience.since = t, born
	w.nextPing, w.nextCount = w.path.nextBeat(born), born+countEvery
	w.due = w.nextPing
	t.Ping()
	w.timer = time.AfterFunc(w.due-born, w.tick)
	w.path.watches[w.i].Store(w)
}

// end returns when nothing will be noted any more.
func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.timer.Stop()
	w.path.watches[w.i].CompareAndSwap(w, nil)
}

// hasten makes the watch look at its interval anew. It never waits.
func (w *watch) hasten() {
	w.hurry.Store(true)
	w.timer.Reset(0)
}

// answered takes a PONG; the connection's reader calls it.
func (w *watch) answered(t *Tunnel, rtt time.Duration) {
	w.path.noteRTT(rtt)
	w.path.sign(t.LastPong())
	switch n := w.pongs.Add(1); {
	case n < upAfter:
		t.Ping() // prove the path without waiting for the next beat
	case n == upAfter:
		w.path.note(w.i, witness{state: beatFresh}, nil)
	}
}

// tick is called by the timer.
func (w *watch) tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	p, now := w.path, w.path.deps.Now()
	if w.hurry.Swap(false) {
		// Slow beats say nothing of the last second: silence counts from here.
		w.due, w.patience.since, w.nextPing = now, now, now
	}
	w.patience.woke(now, w.due, w.t.LastPong())
	if now >= w.patience.ends(p.timeout()) {
		w.over = true
		p.note(w.i, witness{state: beatSilent}, nil)
		w.t.Close(errSilent)
		return
	}
	if quiet := now - p.silence(); now-quiet >= p.timeout()/2 && w.asked != quiet {
		w.asked = quiet
		p.askAll()
	}
	if now >= w.nextPing {
		w.t.Ping()
		w.nextPing = p.nextBeat(now)
	}
	if now >= w.nextCount {
		w.counted, w.nextCount = p.noteSegments(w.t.conn, w.counted), now+countEvery
	}
	w.due = max(now+time.Millisecond, min(w.nextPing, w.patience.ends(p.timeout())))
	w.timer.Reset(w.due - now)
	if w.hurry.Load() { // or hasten's own Reset comes after ours
		w.timer.Reset(0)
	}
}
