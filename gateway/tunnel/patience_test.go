package tunnel

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

func TestOwnLatenessIsNotThePeersSilence(t *testing.T) {
	const ms = time.Millisecond
	p := patience{since: 1000 * ms}
	p.woke(1200*ms, 1200*ms, 0) // punctual
	if got := p.ends(600 * ms); got != 1600*ms {
		t.Fatalf("ends at %s", got)
	}
	p.woke(1900*ms, 1400*ms, 0) // we were not scheduled for half a second
	if got := p.ends(600 * ms); got != 2100*ms {
		t.Fatalf("after a stall of 500 ms it ends at %s", got)
	}
	p.woke(2010*ms, 2000*ms, 0) // a timer's usual lateness is not forgiven
	if got := p.ends(600 * ms); got != 2100*ms {
		t.Fatalf("it ends at %s", got)
	}
	p.woke(2050*ms, 2050*ms, 2040*ms) // a sign of life
	if got := p.ends(600 * ms); got != 2640*ms {
		t.Fatalf("after a sign it ends at %s", got)
	}
}

// A machine that is always late still finds a dead peer: only lateness is forgiven.
func TestPatienceEndsHoweverLateWeAre(t *testing.T) {
	p, now := patience{}, time.Duration(0)
	for rounds := 0; ; rounds++ {
		due := min(now+200*time.Millisecond, p.ends(600*time.Millisecond))
		now = due + 150*time.Millisecond
		p.woke(now, due, 0)
		if now >= p.ends(600*time.Millisecond) {
			return
		}
		if rounds > 20 {
			t.Fatalf("at %s silence ends only at %s", now, p.ends(600*time.Millisecond))
		}
	}
}

func TestColdPathBeatsSlowlyAndIsNotTakenForDeadWhenItWarms(t *testing.T) {
	inBubble(t, func(x *fabric) {
		x.open(newSink()) // somebody uses it
		x.path.Heat(Cold)
		time.Sleep(10 * time.Second)
		before := x.path.View()
		time.Sleep(950 * time.Millisecond) // the last PONG is old by now
		x.path.Heat(Hot)
		synctest.Wait()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if v := x.path.View(); before.State != routing.PathUp || v.State != routing.PathUp || len(x.changes) != 1 {
			t.Fatalf("%s, then %s: %v", before.State, v.State, x.changes)
		}
		x.stallAll()
		x.setRefuse(errRefused)
		time.Sleep(timeOfSilence)
		synctest.Wait()
		if v := x.path.View(); v.State != routing.PathDown {
			t.Fatalf("a warm path that says nothing for %s is %s", timeOfSilence, v.State)
		}
	})
}

func TestColdPathTakesThreeSlowBeatsToBeDead(t *testing.T) {
	inBubble(t, func(x *fabric) {
		x.path.Heat(Cold)
		time.Sleep(3 * time.Second)
		x.stallAll()
		x.setRefuse(errRefused)
		time.Sleep(timeOfSilence)
		synctest.Wait()
		if v := x.path.View(); v.State != routing.PathUp {
			t.Fatalf("after %s it is %s", timeOfSilence, v.State)
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if v := x.path.View(); v.State != routing.PathDown {
			t.Fatalf("after three slow beats it is %s", v.State)
		}
	})
}

func TestBeatsToOneClusterShareAMomentAndClustersAreSpread(t *testing.T) {
	cfg := DefaultPathConfig()
	moments := map[time.Duration]bool{}
	for _, cluster := range []string{"us-east", "us-west", "eu-west", "ap-south", "sa-east", "af-south"} {
		var of time.Duration
		for i, instance := range []string{"gw-0", "gw-1"} {
			p := NewPath(Key{Cluster: federation.ClusterName(cluster), Instance: instance}, cfg, PathDeps{Now: func() time.Duration { return time.Second }})
			p.use()
			for _, now := range []time.Duration{10 * time.Second, 10*time.Second + 130*time.Millisecond} {
				next := p.nextBeat(now)
				if next <= now || next-now > cfg.Beat {
					t.Fatalf("%s after %s comes %s", cluster, now, next)
				}
				moment := next % cfg.Beat
				if i+int(now-10*time.Second) > 0 && moment != of {
					t.Fatalf("%s, %s beats at %s of the interval, not at %s", cluster, instance, moment, of)
				}
				of = moment
			}
		}
		moments[of] = true
	}
	if len(moments) < 3 {
		t.Errorf("six clusters share %d moments", len(moments))
	}
}

func TestJitterLengthensPatienceWithinABound(t *testing.T) {
	p := NewPath(Key{Cluster: "a"}, DefaultPathConfig(), PathDeps{Now: func() time.Duration { return time.Second }})
	p.use()
	for range 20 {
		p.noteRTT(60 * time.Millisecond)
	}
	if got := p.timeout(); got != 660*time.Millisecond {
		t.Fatalf("a steady path is silent after %s", got)
	}
	for range 20 {
		p.noteRTT(50 * time.Millisecond)
		p.noteRTT(90 * time.Millisecond)
	}
	if got := p.timeout(); got < 700*time.Millisecond {
		t.Errorf("a jittery path is silent after %s already", got)
	}
	for range 20 {
		p.noteRTT(10 * time.Millisecond)
		p.noteRTT(2 * time.Second)
	}
	if got, most := p.timeout()-p.RTT(), 900*time.Millisecond; got > most {
		t.Errorf("beyond the round trip a wild path may be silent for %s, want %s at most", got, most)
	}
}

func TestUnusedPathBeatsSlowlyAndTheFirstStreamWarmsIt(t *testing.T) {
	inBubble(t, func(x *fabric) {
		time.Sleep(DefaultPathConfig().ActiveFor + 10*time.Second)
		if got := x.path.beatEvery(); got != DefaultPathConfig().IdleBeat {
			t.Fatalf("nobody uses the path and it beats every %s", got)
		}
		s, _ := x.open(newSink())
		if got := x.path.beatEvery(); got != DefaultPathConfig().Beat {
			t.Fatalf("with a stream on it, it beats every %s", got)
		}
		time.Sleep(time.Minute) // a long stream keeps it warm
		x.stallAll()
		x.setRefuse(errRefused)
		time.Sleep(timeOfSilence)
		synctest.Wait()
		if v := x.path.View(); v.State != routing.PathDown || s.t.Err() == nil {
			t.Fatalf("a path in use that is silent for %s is %s", timeOfSilence, v.State)
		}
	})
}
