package link

import "time"

// What becomes of a packet that the bandwidth lets through.
type outcome int

const (
	ordinary outcome = iota
	lost
	heldBack
	doubled
)

// fate draws one packet's. A lost packet is neither held back nor doubled.
func (l *Line[T]) fate() outcome {
	switch {
	case l.loses():
		return lost
	case l.hits(l.set.Reorder):
		return heldBack
	case l.hits(l.set.Duplicate):
		return doubled
	}
	return ordinary
}

func (l *Line[T]) hits(share float64) bool { return share > 0 && l.random.Float64() < share }

// loses is Gilbert's model: in its bad state every packet is lost, and it leaves that
// state with the probability 1/Burst. It enters it as often as makes the share Loss.
func (l *Line[T]) loses() bool {
	s := l.set
	if s.Burst == 0 || s.Loss == 0 || s.Loss == 1 {
		return l.hits(s.Loss)
	}
	if l.losing {
		l.losing = !l.hits(1 / s.Burst)
	} else {
		l.losing = l.hits(s.Loss / (1 - s.Loss) / s.Burst)
	}
	return l.losing
}

// jitter draws what a frame waits on top of the delay.
func (l *Line[T]) jitter() time.Duration {
	j := l.set.Jitter
	switch {
	case j == 0:
		return 0
	case l.set.Exponential:
		return min(time.Duration(l.random.ExpFloat64()*float64(j)), 10*j)
	}
	return time.Duration(l.random.Int64N(int64(j) + 1))
}
