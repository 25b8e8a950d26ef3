package tunnel

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// cooled is how long a path takes at most to lose its warm tunnels.
func cooled() time.Duration {
	cfg := DefaultPathConfig()
	return cfg.ActiveFor + time.Duration(cfg.Warm+2)*cfg.IdleDecay
}

func TestColdPathKeepsItsBeatsAloneAndIsWarmAtOnceWhenItIsWanted(t *testing.T) {
	for name, heat := range map[string]Heat{"hot": Hot, "spare": Spare} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(x *fabric) {
				x.path.PeerBeats(&Tunnel{})
				x.path.Heat(Cold)
				time.Sleep(DefaultPathConfig().ActiveFor - time.Second)
				synctest.Wait()
				if n := len(x.live(ForData)); n != 2 {
					t.Fatalf("%d warm tunnels are left before ActiveFor is over", n)
				}
				time.Sleep(cooled())
				synctest.Wait()
				if data, beats := len(x.live(ForData)), len(x.live(ForBeats)); data != 0 || beats != 2 {
					t.Fatalf("a cold path has %d warm tunnels and %d beats, want none and 2", data, beats)
				}
				x.path.Heat(heat)
				time.Sleep(3 * oneWay)
				synctest.Wait()
				if v := x.path.View(); v.Idle != 2 {
					t.Fatalf("a %s path has %d warm tunnels", name, v.Idle)
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if v := x.path.View(); v.Idle != 2 || v.State != routing.PathUp || len(x.changes) != 1 {
					t.Fatalf("an hour later it has %d, is %s: %v", v.Idle, v.State, x.changes)
				}
			})
		})
	}
}

// A table that changes back and forth does not make tunnels come and go.
func TestWarmTunnelsOutliveAShortChill(t *testing.T) {
	inBubble(t, func(x *fabric) {
		x.path.PeerBeats(&Tunnel{})
		time.Sleep(time.Hour)
		dials := x.dials
		for range 10 {
			x.path.Heat(Cold)
			time.Sleep(DefaultPathConfig().ActiveFor - time.Second)
			x.path.Heat(Spare)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if x.dials != dials {
			t.Fatalf("%d tunnels were dialled anew", x.dials-dials)
		}
	})
}

func TestStreamOnAColdPathWarmsItUntilItHasBeenGoneForAWhile(t *testing.T) {
	inBubble(t, func(x *fabric) {
		x.path.PeerBeats(&Tunnel{})
		x.path.Heat(Cold)
		time.Sleep(cooled())
		synctest.Wait()
		if n := len(x.live(ForData)); n != 0 {
			t.Fatalf("%d warm tunnels before the stream", n)
		}
		local := newSink()
		s, _ := x.open(local)
		time.Sleep(time.Hour)
		synctest.Wait()
		if v := x.path.View(); v.Idle != 2 {
			t.Fatalf("beside a stream there are %d warm tunnels", v.Idle)
		}
		s.Abort()
		time.Sleep(DefaultPathConfig().ActiveFor - DefaultPathConfig().IdleDecay - time.Second) // its end is seen once an interval
		synctest.Wait()
		if v := x.path.View(); v.Idle != 2 {
			t.Fatalf("just after a stream there are %d warm tunnels", v.Idle)
		}
		time.Sleep(cooled())
		synctest.Wait()
		if n := len(x.live(ForData)); n != 0 {
			t.Fatalf("%d warm tunnels long after the stream", n)
		}
	})
}

// Decision 8: a cluster that can only dial out is reached over the tunnels that it has
// dialled, whether it wants anything of us or not.
func TestColdPathStaysWarmForAPeerThatDoesNotBeatHere(t *testing.T) {
	inBubble(t, func(x *fabric) {
		x.path.Heat(Cold)
		time.Sleep(time.Hour)
		synctest.Wait()
		if v := x.path.View(); v.Idle != 2 {
			t.Fatalf("a peer that cannot dial us has %d tunnels to reach us", v.Idle)
		}
		beats := &Tunnel{}
		x.path.PeerBeats(beats)
		time.Sleep(cooled())
		synctest.Wait()
		if n := len(x.live(ForData)); n != 0 {
			t.Fatalf("a peer that dials us has %d more tunnels", n)
		}
		x.path.PeerBeatsEnd(beats)
		x.path.ask() // whatever else the filler is woken for
		time.Sleep(soleGrace / 2)
		synctest.Wait()
		if n := len(x.live(ForData)); n != 0 {
			t.Fatalf("a peer that dials anew is given %d tunnels meanwhile", n)
		}
		time.Sleep(soleGrace/2 + 3*oneWay)
		synctest.Wait()
		if v := x.path.View(); v.Idle != 2 {
			t.Fatalf("a peer that can no longer dial us has %d tunnels to reach us", v.Idle)
		}
	})
}

func TestPathsThatComeLaterAreAsWarmAsTheTableSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultPathConfig()
		cfg.Instance, cfg.Cluster = "gw", "us"
		start := time.Now()
		var dials [2]atomic.Int64 // to the cold cluster, and to the spare one
		set, err := NewSet(cfg, PathDeps{
			Now: func() time.Duration { return time.Since(start) + time.Second },
			Dial: func(_ context.Context, k Key) (net.Conn, error) {
				dials[len(k.Cluster)-1].Add(1)
				return nil, errors.New("refused")
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		set.Heat(map[federation.ClusterName]Heat{"22": Spare})
		set.Sync([]Key{{Cluster: "1"}, {Cluster: "22"}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { _ = set.Run(ctx); close(done) }()
		synctest.Wait()
		if cold, spare := dials[0].Load(), dials[1].Load(); cold != 2 || spare != 4 {
			t.Errorf("a cold path is dialled %d times and a spare one %d times, want for beats alone and for tunnels too", cold, spare)
		}
		cancel()
		<-done
	})
}

func TestStatesAreThoseOfEachClustersBestPath(t *testing.T) {
	cfg := DefaultPathConfig()
	cfg.Instance, cfg.Cluster = "gw", "us"
	set, err := NewSet(cfg, PathDeps{Now: func() time.Duration { return time.Second }})
	if err != nil {
		t.Fatal(err)
	}
	const up, down, unknown = routing.PathUp, routing.PathDown, routing.PathUnknown
	want := map[federation.ClusterName]routing.PathState{}
	var keys []Key
	states := map[Key]routing.PathState{}
	for name, c := range map[federation.ClusterName]struct{ a, b, best routing.PathState }{
		"up": {up, down, up}, "up too": {down, up, up}, "fresh": {up, unknown, up}, "fresher": {unknown, up, up},
		"new": {down, unknown, unknown}, "newer": {unknown, down, unknown}, "down": {down, down, down},
	} {
		for i, s := range []routing.PathState{c.a, c.b} {
			k := Key{Cluster: name, Instance: string(rune('a' + i))}
			keys, states[k] = append(keys, k), s
		}
		want[name] = c.best
	}
	set.Sync(keys)
	for k, s := range states {
		set.Path(k).state = s
	}
	for range 10 { // in whatever order
		for name, got := range set.States() {
			if got != want[name] {
				t.Fatalf("%s: %s, want %s", name, got, want[name])
			}
		}
	}
}

// The first stream for a while does not wait for the end of a slow interval until it is
// watched as closely as others.
func TestFirstStreamIsWatchedCloselyFromItsFirstMoment(t *testing.T) {
	inBubble(t, func(x *fabric) {
		time.Sleep(DefaultPathConfig().ActiveFor)
		time.Sleep(x.path.nextBeat(x.now()) - x.now() + 3*oneWay) // a slow interval has just begun
		s, _ := x.open(newSink())
		x.stallAll()
		time.Sleep(800 * time.Millisecond)
		synctest.Wait()
		if v := x.path.View(); v.State != routing.PathDown || s.t.Err() == nil {
			t.Fatalf("0.8 s after the peer fell silent its path is %s", v.State)
		}
	})
}
