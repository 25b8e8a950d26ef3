package policystore

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/connectivity"
)

// line is a connection that the test breaks and mends.
type line struct {
	mu        sync.Mutex
	state     connectivity.State
	changed   chan struct{} // closed when state becomes another one
	connected int
}

func newLine(s connectivity.State) *line { return &line{state: s, changed: make(chan struct{})} }

func (l *line) become(s connectivity.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = s
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *line) GetState() connectivity.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

func (l *line) Connect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connected++
}

func (l *line) WaitForStateChange(ctx context.Context, from connectivity.State) bool {
	l.mu.Lock()
	state, changed := l.state, l.changed
	l.mu.Unlock()
	if state != from {
		return true
	}
	select {
	case <-changed:
		return true
	case <-ctx.Done():
		return false
	}
}

// step is what becomes of the line, and when.
type step struct {
	after time.Duration
	state connectivity.State
}

const (
	ready      = connectivity.Ready
	failing    = connectivity.TransientFailure
	connecting = connectivity.Connecting
	idle       = connectivity.Idle
)

func TestWaitingForTheConnection(t *testing.T) {
	const least, most = 200 * time.Millisecond, 5 * time.Second
	for name, c := range map[string]struct {
		wait  func(context.Context, connection, time.Duration, time.Duration)
		from  connectivity.State
		steps []step
		want  time.Duration
	}{
		"rest ends when the store is back":             {rest, failing, []step{{time.Second, connecting}, {time.Second, ready}}, 2 * time.Second},
		"rest lasts while it is away":                  {rest, failing, []step{{time.Second, connecting}, {time.Second, failing}}, most},
		"rest is never shorter than the least":         {rest, failing, []step{{time.Millisecond, ready}}, least},
		"rest lasts if the connection is not at fault": {rest, ready, nil, most},
		"rest ends when it breaks and is back":         {rest, ready, []step{{time.Second, failing}, {time.Second, ready}}, 2 * time.Second},
		"a proof waits while the connection stands":    {untilBroken, ready, nil, most},
		"a proof comes when the connection breaks":     {untilBroken, ready, []step{{time.Second, idle}}, time.Second},
		"proofs of what is broken are spread":          {untilBroken, failing, nil, least},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLine(c.from)
				go func() {
					for _, s := range c.steps {
						time.Sleep(s.after)
						l.become(s.state)
					}
				}()
				began := time.Now()
				c.wait(t.Context(), l, least, most)
				if got := time.Since(began); got != c.want {
					t.Errorf("waited %s, want %s", got, c.want)
				}
			})
		})
	}
}

func TestRestWakesAConnectionThatIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(idle)
		rest(t.Context(), l, time.Second, 3*time.Second)
		if l.connected == 0 {
			t.Error("nobody connects")
		}
	})
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		rest(ctx, newLine(failing), time.Second, time.Minute)
		untilBroken(ctx, newLine(ready), time.Second, time.Minute)
		if d := time.Since(began); d != 0 {
			t.Errorf("waited %s", d)
		}
	})
}
