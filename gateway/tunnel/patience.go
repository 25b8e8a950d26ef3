package tunnel

import "time"

// punctual is how late a timer may fire on a machine that is not short of CPU.
const punctual = 25 * time.Millisecond

// patience says when a connection that is listened to counts as silent. Time in
// which this process itself was not scheduled is not the peer's silence: answers
// may lie unread meanwhile. (Local health awareness: Dadgar, Phillips and Currey,
// "Lifeguard", arXiv:1707.00788.) The zero value has nothing to forgive.
type patience struct {
	since    time.Duration // the sign of life that silence is counted from
	forgiven time.Duration // our own lateness since then
}

// woke notes that a timer set for due has fired at now, and the latest sign of life.
func (p *patience) woke(now, due, sign time.Duration) {
	if sign > p.since {
		p.since, p.forgiven = sign, 0
	}
	if late := now - due; late > punctual {
		p.forgiven += late
	}
}

// ends is the moment from which on the connection is silent.
func (p *patience) ends(timeout time.Duration) time.Duration { return p.since + p.forgiven + timeout }
