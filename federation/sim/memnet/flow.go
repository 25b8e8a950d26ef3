package memnet

import (
	"math/rand/v2"
	"time"
)

const (
	segmentBytes = 1400
	rtoMin       = 200 * time.Millisecond
	rtoMax       = 2 * time.Minute
)

// flow is one direction of a connection; net.mu guards it.
type flow struct {
	net      *Net
	from, to *Host
	rng      *rand.Rand
	in       *inbox
	queue    []*burst // sent and not delivered, in order
}

// burst is what one write sent.
type burst struct {
	data    []byte
	end     error // what the reader gets after data; nil goes on
	rto     time.Duration
	arrived bool
}

func (n *Net) newFlow(from, to *Host) *flow {
	return &flow{net: n, from: from, to: to, rng: n.source(from.site, to.site), in: newInbox()}
}

// send puts a write on its way; the caller holds net.mu.
func (f *flow) send(data []byte, end error) {
	if f.from.dead {
		return
	}
	b := &burst{data: data, end: end, rto: max(rtoMin, 4*f.net.delay(f.from.site, f.to.site))}
	f.queue = append(f.queue, b)
	f.attempt(b)
}

// attempt sends a burst once; if it does not get through it is sent again after the
// retransmission timer, which doubles.
func (f *flow) attempt(b *burst) {
	n := f.net
	if f.from.dead || f.to.dead {
		return
	}
	lost := n.lost(f.rng, 1+len(b.data)/segmentBytes)
	if lost || !n.open(f.from.site, f.to.site) {
		wait := b.rto
		b.rto = min(2*b.rto, rtoMax)
		n.post.after(wait, func() { n.locked(func() { f.attempt(b) }) })
		return
	}
	n.post.after(n.delay(f.from.site, f.to.site), func() { n.locked(func() { f.arrive(b) }) })
}

func (n *Net) locked(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// arrive hands on what is complete up to the first gap.
func (f *flow) arrive(b *burst) {
	if f.to.dead {
		return
	}
	b.arrived = true
	for len(f.queue) > 0 && f.queue[0].arrived {
		f.in.push(f.queue[0].data, f.queue[0].end)
		f.queue = f.queue[1:]
	}
}
