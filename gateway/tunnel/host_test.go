package tunnel

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-mesh/causeway/federation/routing"
)

func TestHostThatTakesConnectionsOnWhichNobodySpeaksIsHung(t *testing.T) {
	inBubble(t, func(x *fabric) {
		x.stallAll()
		x.setRefuse(fmt.Errorf("%w: deadline exceeded", ErrHung))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if v := x.path.View(); v.State != routing.PathDown || !v.Hung || v.Refused {
			t.Fatalf("%+v", v)
		}
		x.setRefuse(nil)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if v := x.path.View(); v.State != routing.PathUp || v.Hung {
			t.Fatalf("after it went on: %+v", v)
		}
	})
}

func TestOnlyAPeerThatGoesOnBeatingDoesNotHearUs(t *testing.T) {
	for name, c := range map[string]struct {
		goesOn time.Duration // after its answers have stopped
		want   bool
	}{
		"both ways are broken":     {2 * oneWay, false},
		"only our way is":          {2 * time.Second, true},
		"it has never beaten here": {-1, false},
	} {
		inBubble(t, func(x *fabric) {
			peer := &Tunnel{}
			if c.goesOn >= 0 {
				x.path.PeerBeats(peer)
			}
			x.stallAll()
			x.setRefuse(errRefused)
			if c.goesOn >= 0 {
				time.Sleep(c.goesOn)
				peer.heard.Store(int64(x.now()))
				x.path.PeerBeatsEnd(peer) // it has given up in its turn
			}
			time.Sleep(4 * time.Second)
			synctest.Wait()
			if v := x.path.View(); v.State != routing.PathDown || v.Unheard != c.want {
				t.Errorf("%s: it is %s, unheard %t, want %t", name, v.State, v.Unheard, c.want)
			}
		})
	}
}

func TestLossIsThePartOfSegmentsThatWasSentAgain(t *testing.T) {
	var m lossMeter
	if m.ratio() != 0 {
		t.Fatal("nothing was sent, something was lost")
	}
	var was segments
	for i := range uint32(1000) {
		is := segments{sent: was.sent + 10, resent: was.resent + i%2}
		m.add(was, is)
		was = is
	}
	if got := m.ratio(); math.Abs(got-0.05) > 0.002 {
		t.Errorf("1 of 20 is lost, the ratio says %f", got)
	}
	for range 300 { // five minutes without loss
		is := segments{sent: was.sent + 10, resent: was.resent}
		m.add(was, is)
		was = is
	}
	if got := m.ratio(); got > 0.005 {
		t.Errorf("what was lost five minutes ago still counts: %f", got)
	}
}
