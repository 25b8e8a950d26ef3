package memnet

import (
	"container/heap"
	"sync"
	"time"
)

// post delivers events at their virtual time, one after the other, from one goroutine
// and one timer. Events of one moment keep the order in which they were handed in.
type post struct {
	mu    sync.Mutex
	queue arrivals
	count uint64
	wake  chan struct{} // senders poke, run receives; one pending is enough
	done  chan struct{} // closed by stop
	ended chan struct{} // closed by run
}

type arrival struct {
	at      time.Time
	order   uint64
	deliver func()
}

type arrivals []arrival

func (a arrivals) Len() int      { return len(a) }
func (a arrivals) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a arrivals) Less(i, j int) bool {
	if a[i].at.Equal(a[j].at) {
		return a[i].order < a[j].order
	}
	return a[i].at.Before(a[j].at)
}
func (a *arrivals) Push(x any) { *a = append(*a, x.(arrival)) }
func (a *arrivals) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

func newPost() *post {
	p := &post{wake: make(chan struct{}, 1), done: make(chan struct{}), ended: make(chan struct{})}
	go p.run()
	return p
}

// after delivers in so long; deliver must not block.
func (p *post) after(d time.Duration, deliver func()) {
	p.mu.Lock()
	p.count++
	heap.Push(&p.queue, arrival{time.Now().Add(d), p.count, deliver})
	first := p.queue[0].order == p.count
	p.mu.Unlock()
	if first {
		poke(p.wake)
	}
}

func (p *post) run() {
	defer close(p.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(p.deliverDue())
		select {
		case <-p.done:
			return
		case <-p.wake:
		case <-timer.C:
		}
	}
}

// deliverDue delivers what is due and tells how long the next one has.
func (p *post) deliverDue() time.Duration {
	for {
		p.mu.Lock()
		if len(p.queue) == 0 {
			p.mu.Unlock()
			return time.Hour
		}
		if wait := time.Until(p.queue[0].at); wait > 0 {
			p.mu.Unlock()
			return wait
		}
		next := heap.Pop(&p.queue).(arrival)
		p.mu.Unlock()
		next.deliver()
	}
}

func (p *post) stop() {
	close(p.done)
	<-p.ended
}

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
