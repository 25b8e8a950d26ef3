//go:build bench

package policybench

import (
	"sync"
	"testing"
	"time"
)

// observer is one client as the clock sees it: when it was done with which revision.
type observer struct {
	mu    sync.Mutex // guards marks
	marks []mark
	moved chan struct{} // capacity 1: note sends, one waiter receives; full is enough
}

type mark struct {
	revision uint64
	at       time.Time
}

func newObserver() *observer { return &observer{moved: make(chan struct{}, 1)} }

// note says that the client is done with a revision now.
func (o *observer) note(revision uint64) {
	at := time.Now()
	o.mu.Lock()
	o.marks = append(o.marks, mark{revision, at})
	o.mu.Unlock()
	select {
	case o.moved <- struct{}{}:
	default:
	}
}

// first is when the client was done with a revision or a later one; it forgets what was
// before that.
func (o *observer) first(revision uint64) (time.Time, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, m := range o.marks {
		if m.revision >= revision {
			o.marks = o.marks[i:]
			return m.at, true
		}
	}
	return time.Time{}, false
}

// latest is the highest revision that the client is done with.
func (o *observer) latest() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.marks) == 0 {
		return 0
	}
	return o.marks[len(o.marks)-1].revision
}

// lastOf waits for all and is when the last one was done.
func lastOf(t *testing.T, all []*observer, revision uint64) (last time.Time) {
	t.Helper()
	deadline := time.After(patience)
	for _, o := range all {
		at, ok := o.first(revision)
		for !ok {
			select {
			case <-deadline:
				t.Fatalf("a client has not come to revision %d", revision)
			case <-o.moved:
			}
			at, ok = o.first(revision)
		}
		if at.After(last) {
			last = at
		}
	}
	return last
}
