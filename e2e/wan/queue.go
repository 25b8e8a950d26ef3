package wan

import "time"

// Counters of one direction since the start. Bytes are IP bytes.
type Counters struct {
	Packets, Bytes uint64 // delivered
	Dropped        uint64 // by SetDrop or a full queue, in packets
}

// frame is one packet under way. A frame of a segmentation-offloading device may
// hold up to 64 KiB: the wire would see several packets, the emulator moves one.
type frame struct {
	due time.Time
	buf *buffer
}

// queue is one direction's pure core: packets go in with the time of now and come
// out in order once they are due. It starts nothing and reads no clock.
type queue struct {
	ring        []frame // power of two, grows
	head, count int
	delay       time.Duration
	last        time.Time // due of the newest frame: nobody overtakes
	bytes, max  int
	drop        bool
	counters    Counters
}

func newQueue(delay time.Duration, maxBytes int) *queue {
	return &queue{ring: make([]frame, 64), delay: delay, max: maxBytes}
}

// push takes the frame, or counts it as dropped and returns false; then the buffer
// stays the caller's.
func (q *queue) push(now time.Time, b *buffer) bool {
	if q.drop || q.bytes+b.ipLen() > q.max {
		q.counters.Dropped++
		return false
	}
	due := now.Add(q.delay)
	if due.Before(q.last) {
		due = q.last // a shortened delay does not reorder
	}
	q.last = due
	if q.count == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.count)&(len(q.ring)-1)] = frame{due, b}
	q.count++
	q.bytes += b.ipLen()
	return true
}

// pop returns the oldest frame once it is due.
func (q *queue) pop(now time.Time) (*buffer, bool) {
	if q.count == 0 || q.ring[q.head].due.After(now) {
		return nil, false
	}
	b := q.take()
	q.counters.Packets++
	q.counters.Bytes += uint64(b.ipLen())
	return b, true
}

func (q *queue) take() *buffer {
	b := q.ring[q.head].buf
	q.ring[q.head] = frame{}
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.count--
	q.bytes -= b.ipLen()
	return b
}

// next is when the oldest frame is due.
func (q *queue) next() (time.Time, bool) {
	if q.count == 0 {
		return time.Time{}, false
	}
	return q.ring[q.head].due, true
}

// setDrop turns the direction into a black hole. What is under way is lost too: a
// packet that left before the cut must not tell the other side that all is well.
func (q *queue) setDrop(drop bool, free func(*buffer)) {
	q.drop = drop
	for drop && q.count > 0 {
		free(q.take())
		q.counters.Dropped++
	}
}

func (q *queue) grow() {
	bigger := make([]frame, 2*len(q.ring))
	for i := range q.count {
		bigger[i] = q.ring[(q.head+i)&(len(q.ring)-1)]
	}
	q.ring, q.head = bigger, 0
}
