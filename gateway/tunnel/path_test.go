package tunnel

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-mesh/causeway/federation/routing"
)

// timeOfSilence is when a stalled connection counts as silent, with its last beat.
const timeOfSilence = time.Second

func TestStuckBeatIsRedialledWhileTheOtherLives(t *testing.T) {
	inBubble(t, func(x *fabric) {
		s, _ := x.open(newSink())
		for range 3 { // whichever it is, and again
			x.live(ForBeats)[0].stall()
			if n := len(x.live(ForBeats)); n != 1 {
				t.Fatalf("%d beats live, want the other one", n)
			}
			time.Sleep(timeOfSilence + 3*oneWay)
			synctest.Wait()
			if n := len(x.live(ForBeats)); n != 2 {
				t.Fatalf("%d beats live, want a fresh one beside the other", n)
			}
		}
		if len(x.changes) != 1 || x.path.View().State != routing.PathUp || s.t.Err() != nil {
			t.Fatalf("the path has changed: %v; the stream: %v", x.changes, s.t.Err())
		}
	})
}

func TestTwoSilentBeatsAreADeadPathAndItsStreamsAreReset(t *testing.T) {
	inBubble(t, func(x *fabric) {
		s, _ := x.open(newSink())
		x.stallAll()
		time.Sleep(timeOfSilence)
		synctest.Wait()
		if v := x.path.View(); v.State != routing.PathDown {
			t.Fatalf("the path is %s", v.State)
		}
		<-s.Done()
		if !errors.Is(s.Err(), ErrPathDown) {
			t.Fatalf("the stream ended with %v", s.Err())
		}
		x.setRefuse(nil)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if v := x.path.View(); v.State != routing.PathUp {
			t.Fatalf("the path does not come back: %s, %s", v.State, v.Cause)
		}
	})
}

// Decision 7's other half: one silent connection and a fresh dial that fails.
func TestOneSilentBeatAndAFailedDialAreADeadPathOnlyWithoutALiveBeat(t *testing.T) {
	inBubble(t, func(x *fabric) {
		s, _ := x.open(newSink())
		beats := x.live(ForBeats)
		x.setRefuse(errRefused)
		beats[0].stall()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		v := x.path.View()
		if v.State != routing.PathUp || s.t.Err() != nil {
			t.Fatalf("a path with a live beat is %s; its stream: %v", v.State, s.t.Err())
		}
		if !v.NoDial {
			t.Fatal("nobody is told that dials fail")
		}
		x.stallAll()
		time.Sleep(timeOfSilence)
		synctest.Wait()
		if v := x.path.View(); v.State != routing.PathDown || !strings.Contains(v.Cause, errRefused.Error()) {
			t.Fatalf("the path is %s, %s", v.State, v.Cause)
		}
	})
}

func TestDialsThatWorkAgainAreExpectedAgain(t *testing.T) {
	inBubble(t, func(x *fabric) {
		x.setRefuse(errRefused)
		x.live(ForBeats)[0].stall()
		time.Sleep(5 * time.Second)
		x.setRefuse(nil)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if v := x.path.View(); v.NoDial || v.State != routing.PathUp {
			t.Fatalf("no dials are expected to work: %+v", v)
		}
	})
}

func TestSilentTunnelIsFoundAndItsStreamReset(t *testing.T) {
	inBubble(t, func(x *fabric) {
		s, c := x.open(newSink())
		warm := x.live(ForData)
		warm = slices.DeleteFunc(warm, func(d *pipe) bool { return d == c })
		c.stall()
		warm[0].stall()
		time.Sleep(2*DefaultPathConfig().Keepalive + time.Second)
		synctest.Wait()
		select {
		case <-s.Done():
		default:
			t.Fatal("the stream on a silent tunnel hangs")
		}
		if !errors.Is(s.Err(), ErrSilent) {
			t.Fatalf("the stream ended with %v", s.Err())
		}
		time.Sleep(idleProbe + DefaultPathConfig().Keepalive) // nobody waits for the idle one
		synctest.Wait()
		if v := x.path.View(); v.State != routing.PathUp || v.Idle != 2 || len(x.live(ForData)) != 2 {
			t.Fatalf("the path is %s with %d warm tunnels, %d of them alive, want two fresh ones", v.State, v.Idle, len(x.live(ForData)))
		}
	})
}

func TestSlowReaderIsNotSilence(t *testing.T) {
	slow := func(shut chan struct{}) *sink {
		s := newSink()
		s.shut = shut
		return s
	}
	for name, far := range map[string]bool{"the peer's local end": true, "our local end": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(x *fabric) {
				shut := make(chan struct{})
				talker := newSink()
				talker.feed = make(chan []byte)
				ours := Local(talker)
				x.local = func() Local { return slow(shut) }
				if !far {
					ours = slow(shut)
					x.local = func() Local { return talker }
				}
				s, _ := x.open(ours)
				time.Sleep(time.Second)
				talker.feed <- []byte("more than the other end wants to read now")
				time.Sleep(time.Minute)
				synctest.Wait()
				if s.t.Err() != nil {
					t.Fatalf("a slow reader was taken for a dead tunnel: %v", s.t.Err())
				}
				close(shut) // it reads again, and is as healthy as before
				time.Sleep(time.Minute)
				synctest.Wait()
				if s.t.Err() != nil {
					t.Fatalf("the tunnel is dead after it was slow: %v", s.t.Err())
				}
			})
		})
	}
}

func TestSignsOfDeath(t *testing.T) {
	const timeout = time.Second
	silent := signs{now: 10 * time.Second, sent: 8 * time.Second, heard: 7 * time.Second}
	for name, c := range map[string]struct {
		change func(*signs)
		dead   bool
	}{
		"silent":                      {func(*signs) {}, true},
		"nothing was asked":           {func(s *signs) { s.sent = 0 }, false},
		"asked just now":              {func(s *signs) { s.sent = s.now - timeout/2 }, false},
		"bytes have come":             {func(s *signs) { s.heard = s.now - timeout/2 }, false},
		"we do not read":              {func(s *signs) { s.delivering = true }, false},
		"the peer may not read":       {func(s *signs) { s.clogged = true }, false},
		"not even its kernel answers": {func(s *signs) { s.clogged, s.unacknowledged = true, timeout }, true},
		"its kernel has just done so": {func(s *signs) { s.clogged, s.unacknowledged = true, timeout/2 }, false},
	} {
		s := silent
		c.change(&s)
		if got := s.dead(timeout); got != c.dead {
			t.Errorf("%s: dead is %t", name, got)
		}
	}
}

// Beats are connections like others: one that waits for a lost segment is silent, and
// says nothing of the path as long as others answer.
func TestBeatsAreNoDeadPathWhileDataTunnelsAnswer(t *testing.T) {
	inBubble(t, func(x *fabric) {
		s, _ := x.open(newSink())
		x.setRefuse(errRefused)
		time.Sleep(3 * oneWay)
		for _, c := range x.live(ForBeats) {
			c.stall()
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if v := x.path.View(); v.State != routing.PathUp || !v.NoDial || s.t.Err() != nil {
			t.Fatalf("the path is %s (%s), new dials are expected: %t; its stream: %v", v.State, v.Cause, !v.NoDial, s.t.Err())
		}
		x.stallAll()
		time.Sleep(timeOfSilence)
		synctest.Wait()
		if v := x.path.View(); v.State != routing.PathDown {
			t.Fatalf("nothing answers any more, and the path is %s", v.State)
		}
	})
}
