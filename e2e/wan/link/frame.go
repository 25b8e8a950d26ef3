package link

import "time"

// Shape says what a frame is on the wire. Hosts hand over many packets of one stream
// as one frame; each of them has the headers and at most Each bytes of the body.
type Shape struct {
	Count  int // wire packets, at least 1
	Header int // bytes of IP and TCP headers, of each packet
	Each   int // bytes of body in all packets but the last
	Body   int // bytes of body in all packets together
}

// Single is a frame that is one packet.
func Single(bytes int) Shape { return Shape{Count: 1, Body: bytes, Each: bytes} }

// Span is where the body of some of the frame's packets lies.
func (s Shape) Span(first, count int) (from, to int) {
	return min(first*s.Each, s.Body), min((first+count)*s.Each, s.Body)
}

// Bytes is the size on the wire of some of the frame's packets.
func (s Shape) Bytes(first, count int) int {
	from, to := s.Span(first, count)
	return count*s.Header + to - from
}

// Piece is a run of packets of a frame that arrive together.
type Piece[T any] struct {
	Frame        T
	First, Count int // of the frame's packets
	Bytes        int // on the wire
	due          time.Time
	order        uint64 // of pieces that are due at the same time
}

// ring is a first-in first-out queue that grows; its length is a power of two.
type ring[T any] struct {
	slots       []Piece[T]
	head, count int
}

func (r *ring[T]) push(p Piece[T]) {
	if r.count == len(r.slots) {
		r.grow()
	}
	r.slots[(r.head+r.count)&(len(r.slots)-1)] = p
	r.count++
}

func (r *ring[T]) pop() Piece[T] {
	p := r.slots[r.head]
	r.slots[r.head] = Piece[T]{} // what it held is not kept alive
	r.head = (r.head + 1) & (len(r.slots) - 1)
	r.count--
	return p
}

func (r *ring[T]) grow() {
	bigger := make([]Piece[T], max(64, 2*len(r.slots)))
	for i := range r.count {
		bigger[i] = r.slots[(r.head+i)&(len(r.slots)-1)]
	}
	r.slots, r.head = bigger, 0
}

// late is a heap of the pieces that were held back, the one that is due first on top.
type late[T any] []Piece[T]

func (l late[T]) Len() int { return len(l) }
func (l late[T]) Less(i, j int) bool {
	if l[i].due.Equal(l[j].due) {
		return l[i].order < l[j].order
	}
	return l[i].due.Before(l[j].due)
}
func (l late[T]) Swap(i, j int) { l[i], l[j] = l[j], l[i] }
func (l *late[T]) Push(x any)   { *l = append(*l, x.(Piece[T])) }
func (l *late[T]) Pop() any {
	old := *l
	p := old[len(old)-1]
	old[len(old)-1] = Piece[T]{}
	*l = old[:len(old)-1]
	return p
}
