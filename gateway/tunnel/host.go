package tunnel

import (
	"errors"
	"syscall"
	"time"
)

// ErrHung is wrapped by a dial that got a connection from the peer's host and no
// handshake from its gateway: the process hangs.
var ErrHung = errors.New("its host takes the connection, its gateway says nothing")

// noteHost remembers what the latest sign says of the peer's host, as apart from its
// gateway; silence alone says nothing of it. The caller holds the lock.
func (p *Path) noteHost(w witness, err error) {
	if w.state == beatSilent {
		return
	}
	p.refused, p.hung = errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, ErrHung)
}

// unheardMargin is how long after an answer was due the peer's beats must have gone on
// coming for us to say that it does not hear us: more than what is on its way when a
// link breaks both ways at once.
const unheardMargin = 100 * time.Millisecond

// heardSince says whether the peer's own beats have come later than the answer to ours
// was due. The caller holds the lock.
func (p *Path) heardSince() bool {
	last := p.lastSign.Load()
	if last == 0 {
		return false
	}
	due := time.Duration(last) + p.beatEvery() + 2*p.RTT() + unheardMargin
	heard := p.peerHeard
	for t := range p.peerBeats {
		heard = max(heard, time.Duration(t.heard.Load()))
	}
	return heard > due
}

// PeerBeats tells of a beat connection that the peer dialled; PeerBeatsEnd that it has
// ended. They witness whether the peer still speaks, and nothing else.
func (p *Path) PeerBeats(t *Tunnel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.peerBeats) < maxPeerBeats {
		p.peerBeats[t] = struct{}{}
	}
}

// maxPeerBeats bounds how many are remembered: the peer keeps two, and dials the next
// ones while the former are still ending.
const maxPeerBeats = 4 * beatsPerPath

// PeerBeatsEnd forgets a connection, but not when it last heard something: a peer that
// no longer hears us ends its beats about when we notice.
func (p *Path) PeerBeatsEnd(t *Tunnel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, known := p.peerBeats[t]
	delete(p.peerBeats, t)
	p.peerHeard = max(p.peerHeard, time.Duration(t.heard.Load()))
	if known && len(p.peerBeats) == 0 {
		p.watchSole()
	}
}
