package link

import (
	"container/heap"
	"time"
)

// entry is a frame on its way into a line.
type entry[T any] struct {
	line   *Line[T]
	now    time.Time
	frame  T
	shape  Shape
	jitter time.Duration
	most   int // packets in one piece
	pieces int
}

// send puts the packets from first up to end on their way, in order.
func (e *entry[T]) send(first, end int) {
	for first < end {
		n := min(e.most, end-first)
		if p, ok := e.admit(first, n); ok {
			l := e.line
			if p.due.Before(l.last) {
				p.due = l.last // a shortened delay does not reorder
			}
			l.last = p.due
			l.flowing.push(p)
		}
		first += n
	}
}

// hold puts one packet aside for longer, so that others overtake it.
func (e *entry[T]) hold(i int) {
	p, ok := e.admit(i, 1)
	if !ok {
		return
	}
	l := e.line
	p.due = p.due.Add(l.set.ReorderBy)
	l.order++
	p.order = l.order
	l.counters.Reordered++
	heap.Push(&l.held, p)
}

// admit takes a piece through the bounds and the bandwidth.
func (e *entry[T]) admit(first, n int) (Piece[T], bool) {
	l, bytes := e.line, e.shape.Bytes(first, n)
	leaves, ok := e.now, l.bytes+bytes <= l.max
	if ok && l.set.Rate > 0 {
		leaves, ok = l.bucket.take(e.now, bytes, l.set.Rate, l.set.queue())
	}
	if !ok {
		l.counters.Refused += uint64(n)
		return Piece[T]{}, false
	}
	l.bytes += bytes
	e.pieces++
	return Piece[T]{Frame: e.frame, First: first, Count: n, Bytes: bytes, due: leaves.Add(l.set.Delay + e.jitter)}, true
}

// most bounds a piece to what the bandwidth sends in a millisecond: packets arrive one
// after another on a slow line, not in lumps.
func (l *Line[T]) most(shape Shape) int {
	if l.set.Rate == 0 {
		return shape.Count
	}
	return max(1, int(l.set.Rate/8000)/max(1, shape.Header+shape.Each))
}
