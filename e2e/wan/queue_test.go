package wan

import (
	"testing"
	"testing/synctest"
	"time"
)

func packetOf(n int) *buffer { return &buffer{data: make([]byte, n)} }

func TestQueueDeliversInOrderWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(10*time.Millisecond, 1<<20)
		var sent []*buffer
		for range 200 { // more than the ring begins with
			b := packetOf(100)
			sent = append(sent, b)
			q.push(time.Now(), b)
			time.Sleep(time.Microsecond) // the bubble's clock, not the world's
		}
		if _, ok := q.pop(time.Now()); ok {
			t.Fatal("a packet came before its time")
		}
		time.Sleep(10 * time.Millisecond)
		for i, want := range sent {
			if got, ok := q.pop(time.Now()); !ok || got != want {
				t.Fatalf("packet %d: out of order or missing", i)
			}
		}
	})
}

func TestQueueDoesNotReorderWhenTheDelayShrinks(t *testing.T) {
	q, now := newQueue(time.Second, 1<<20), time.Now()
	first, second := packetOf(1), packetOf(1)
	q.push(now, first)
	q.delay = 0
	q.push(now, second)
	if _, ok := q.pop(now); ok {
		t.Fatal("the later packet overtook")
	}
	for _, want := range []*buffer{first, second} {
		if got, _ := q.pop(now.Add(time.Second)); got != want {
			t.Fatal("out of order")
		}
	}
}

func TestQueueDropLosesWhatIsUnderWay(t *testing.T) {
	q, now, freed := newQueue(time.Second, 1<<20), time.Now(), 0
	q.push(now, packetOf(10))
	q.setDrop(true, func(*buffer) { freed++ })
	if q.push(now, packetOf(10)) {
		t.Error("a black hole took a packet")
	}
	if _, ok := q.pop(now.Add(time.Hour)); ok || freed != 1 || q.counters.Dropped != 2 || q.bytes != 0 {
		t.Errorf("freed %d, counters %+v, %d bytes under way", freed, q.counters, q.bytes)
	}
	q.setDrop(false, func(*buffer) { t.Error("opening the way freed a packet") })
	if !q.push(now, packetOf(10)) {
		t.Error("an open way refused a packet")
	}
}

func TestQueueIsBounded(t *testing.T) {
	q, now := newQueue(time.Second, 100), time.Now()
	if !q.push(now, packetOf(60)) || q.push(now, packetOf(60)) || !q.push(now, packetOf(40)) {
		t.Errorf("the bound of 100 bytes does not hold: %d bytes under way", q.bytes)
	}
	if q.counters.Dropped != 1 {
		t.Errorf("counters %+v", q.counters)
	}
}
