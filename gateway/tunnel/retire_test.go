package tunnel

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-mesh/causeway/federation/routing"
)

func TestRetiredPathEndsAfterItsLastStream(t *testing.T) {
	inBubble(t, func(x *fabric) {
		local := newSink()
		s, c := x.open(local)
		x.path.Retire()
		synctest.Wait()
		x.mu.Lock()
		dials := x.dials
		x.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.t.Err() != nil {
			t.Fatalf("the stream's tunnel has ended: %v", s.t.Err())
		}
		if data := x.live(ForData); len(data) != 1 || data[0] != c {
			t.Fatalf("%d data tunnels stand, want the stream's alone", len(data))
		}
		if n := len(x.live(ForBeats)); n != 2 {
			t.Fatalf("%d beats watch over the stream, want 2", n)
		}
		if x.dials != dials {
			t.Fatalf("%d tunnels were dialled for a path that is going", x.dials-dials)
		}
		s.Abort()
		synctest.Wait()
		if _, _, err := x.path.Open(t.Context(), Open{Port: sampleOpen.Port, Budget: time.Second}); !errors.Is(err, ErrClosed) {
			t.Fatalf("after the last stream a new one gives %v, want %v", err, ErrClosed)
		}
		if n := len(x.live(ForData)) + len(x.live(ForBeats)); n != 0 {
			t.Fatalf("%d tunnels stand after the last stream", n)
		}
	})
}

func TestRetiredPathWithoutStreamsEndsAtOnce(t *testing.T) {
	inBubble(t, func(x *fabric) {
		x.path.Retire()
		synctest.Wait()
		if n := len(x.live(ForData)) + len(x.live(ForBeats)); n != 0 {
			t.Fatalf("%d tunnels of a retired path stand", n)
		}
	})
}

func TestStreamsOfARetiredPathDieWithTheirPeer(t *testing.T) {
	inBubble(t, func(x *fabric) {
		s, _ := x.open(newSink())
		x.path.Retire()
		x.stallAll()
		time.Sleep(timeOfSilence)
		synctest.Wait()
		<-s.Done()
		if v := x.path.View(); v.State != routing.PathDown || !errors.Is(s.Err(), ErrPathDown) {
			t.Fatalf("the path is %s, its stream ended with %v", v.State, s.Err())
		}
	})
}
