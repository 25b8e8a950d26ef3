package link

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// Counters of one direction since the start, in wire packets. Bytes are IP bytes.
type Counters struct {
	Entered    uint64 // came, whatever became of them
	Packets    uint64 // delivered
	Bytes      uint64 // delivered
	Lost       uint64 // by Loss
	Swallowed  uint64 // by Down, what was under way included
	Refused    uint64 // by a full queue
	Duplicated uint64 // doubled: one copy each
	Reordered  uint64 // held back
}

// Dropped is everything that did not arrive and will not.
func (c Counters) Dropped() uint64 { return c.Lost + c.Swallowed + c.Refused }

// Line is one direction. T is whatever a frame is to the driver.
type Line[T any] struct {
	set      Settings
	random   *rand.Rand
	max      int // bytes under way
	flowing  ring[T]
	held     late[T]
	last     time.Time // due of the newest piece in flowing: nobody overtakes
	bucket   bucket
	losing   bool // Gilbert's bad state
	bytes    int  // under way
	order    uint64
	counters Counters
}

// New returns a line with at most maxBytes under way.
func New[T any](s Settings, random *rand.Rand, maxBytes int) *Line[T] {
	return &Line[T]{set: s, random: random, max: maxBytes}
}

// Settings are those in force.
func (l *Line[T]) Settings() Settings { return l.set }

// Counters are those until now.
func (l *Line[T]) Counters() Counters { return l.counters }

// UnderWay is how many bytes have entered and not arrived.
func (l *Line[T]) UnderWay() int { return l.bytes }

// Empty says that nothing is under way.
func (l *Line[T]) Empty() bool { return l.flowing.count == 0 && len(l.held) == 0 }

// Set changes the settings. What is under way keeps its time, unless the line goes
// down: then it is lost too, and free is called for each piece. A packet that left
// before the cut must not tell the other side that all is well.
func (l *Line[T]) Set(s Settings, free func(T)) {
	l.set = s
	for s.Down && !l.Empty() {
		p := l.take()
		l.counters.Swallowed += uint64(p.Count)
		free(p.Frame)
	}
}

// Push takes a frame and returns how many pieces of it are on their way; each one
// comes out of Pop, or goes to Set's free, once. With 0 the frame stays the caller's.
func (l *Line[T]) Push(now time.Time, frame T, shape Shape) (pieces int) {
	l.counters.Entered += uint64(shape.Count)
	if l.set.Down {
		l.counters.Swallowed += uint64(shape.Count)
		return 0
	}
	e := entry[T]{line: l, now: now, frame: frame, shape: shape, jitter: l.jitter(), most: l.most(shape)}
	if !l.set.picky() {
		e.send(0, shape.Count)
		return e.pieces
	}
	first := 0
	for i := range shape.Count {
		switch l.fate() {
		case lost:
			e.send(first, i)
			l.counters.Lost++
			first = i + 1
		case heldBack:
			e.send(first, i)
			e.hold(i)
			first = i + 1
		case doubled:
			e.send(first, i+1)
			l.counters.Duplicated++
			e.send(i, i+1)
			first = i + 1
		case ordinary:
		}
	}
	e.send(first, shape.Count)
	return e.pieces
}

// Pop returns the next piece once it is due.
func (l *Line[T]) Pop(now time.Time) (Piece[T], bool) {
	due, ok := l.Next()
	if !ok || due.After(now) {
		return Piece[T]{}, false
	}
	p := l.take()
	l.counters.Packets += uint64(p.Count)
	l.counters.Bytes += uint64(p.Bytes)
	return p, true
}

// Next is when the next piece is due.
func (l *Line[T]) Next() (time.Time, bool) {
	switch {
	case l.Empty():
		return time.Time{}, false
	case l.heldIsNext():
		return l.held[0].due, true
	}
	return l.flowing.slots[l.flowing.head].due, true
}

func (l *Line[T]) heldIsNext() bool {
	if len(l.held) == 0 || l.flowing.count == 0 {
		return len(l.held) > 0
	}
	return l.held[0].due.Before(l.flowing.slots[l.flowing.head].due)
}

func (l *Line[T]) take() Piece[T] {
	var p Piece[T]
	if l.heldIsNext() {
		p = heap.Pop(&l.held).(Piece[T])
	} else {
		p = l.flowing.pop()
	}
	l.bytes -= p.Bytes
	return p
}
