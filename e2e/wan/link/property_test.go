package link

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func share(t *rapid.T, name string) float64 { return rapid.Float64Range(0, 1).Draw(t, name) }

func duration(t *rapid.T, name string, least time.Duration) time.Duration {
	return time.Duration(rapid.Int64Range(int64(least), int64(50*ms)).Draw(t, name))
}

func anySettings(t *rapid.T) Settings {
	s := Settings{
		Delay: duration(t, "delay", 0), Jitter: duration(t, "jitter", 0), Exponential: rapid.Bool().Draw(t, "exponential"),
		Loss: share(t, "loss") * 0.6, Burst: rapid.SampledFrom([]float64{0, 2, 8}).Draw(t, "burst"),
		Duplicate: share(t, "duplicate"), Reorder: share(t, "reorder"), ReorderBy: duration(t, "by", 1),
		Rate: rapid.SampledFrom([]int64{0, 1e6, 100e6}).Draw(t, "rate"), Queue: rapid.IntRange(0, 1<<16).Draw(t, "queue"),
		Down: rapid.IntRange(0, 9).Draw(t, "down") == 0,
	}
	if err := s.Validate(); err != nil {
		t.Fatalf("%+v: %v", s, err)
	}
	return s
}

// world drives a line with random frames, pauses and changes of settings. Packets are
// numbered: a frame is the number of its first one.
type world struct {
	line     *Line[int]
	now      time.Time
	next     int
	entered  map[int]time.Time
	arrived  []arrival
	swallows int
}

func newWorld(s Settings, seed uint64) *world {
	return &world{line: New[int](s, rand.New(rand.NewPCG(seed, 0)), 1<<18), now: epoch, entered: map[int]time.Time{}}
}

func (w *world) push(count int) {
	w.line.Push(w.now, w.next, Shape{Count: count, Header: 40, Each: 1460, Body: 1460*count - 7})
	for i := range count {
		w.entered[w.next+i] = w.now
	}
	w.next += count
}

func (w *world) advance(d time.Duration) {
	w.now = w.now.Add(d)
	for {
		p, ok := w.line.Pop(w.now)
		if !ok {
			return
		}
		for i := range p.Count {
			w.arrived = append(w.arrived, arrival{p.Frame + p.First + i, w.now.Sub(epoch)})
		}
	}
}

// run makes random steps; change says how settings may change under way.
func (w *world) run(t *rapid.T, change func(*rapid.T) Settings) {
	for range rapid.IntRange(1, 60).Draw(t, "steps") {
		switch rapid.IntRange(0, 9).Draw(t, "step") {
		case 0:
			w.line.Set(change(t), func(int) { w.swallows++ })
		case 1, 2, 3:
			w.advance(duration(t, "pause", 0))
		default:
			w.push(rapid.IntRange(1, 44).Draw(t, "count"))
		}
	}
}

func TestNoPacketIsInvented(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(anySettings(t), rapid.Uint64().Draw(t, "seed"))
		w.run(t, anySettings)
		w.advance(time.Hour)
		c, seen := w.line.Counters(), map[int]int{}
		for _, a := range w.arrived {
			sent, known := w.entered[a.Packet]
			if seen[a.Packet]++; !known || seen[a.Packet] > 2 {
				t.Fatalf("packet %d arrived %d times, sent: %t", a.Packet, seen[a.Packet], known)
			}
			if a.At < sent.Sub(epoch) {
				t.Fatalf("packet %d arrived before it was sent", a.Packet)
			}
		}
		if uint64(len(w.arrived)) != c.Packets || c.Entered != uint64(w.next) {
			t.Fatalf("%d of %d packets arrived, counted: %+v", len(w.arrived), w.next, c)
		}
		if c.Entered+c.Duplicated != c.Packets+c.Dropped() {
			t.Fatalf("the sum is wrong: %+v", c)
		}
		if !w.line.Empty() || w.line.UnderWay() != 0 {
			t.Fatalf("%d bytes stay under way for ever", w.line.UnderWay())
		}
	})
}

func TestOrderIsKeptWithoutReorder(t *testing.T) {
	ordered := func(t *rapid.T) Settings { s := anySettings(t); s.Reorder = 0; return s }
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(ordered(t), rapid.Uint64().Draw(t, "seed"))
		w.run(t, ordered)
		w.advance(time.Hour)
		for i := 1; i < len(w.arrived); i++ {
			if w.arrived[i].Packet < w.arrived[i-1].Packet {
				t.Fatalf("packet %d arrived before %d", w.arrived[i-1].Packet, w.arrived[i].Packet)
			}
		}
	})
}

func TestTheSameSeedDecidesTheSame(t *testing.T) {
	s := Settings{Jitter: 5 * ms, Loss: 0.1, Burst: 3, Duplicate: 0.1, Reorder: 0.1, ReorderBy: ms}
	play := func(seed uint64) []arrival {
		w := newWorld(s, seed)
		for range 20 {
			w.push(10)
			w.advance(ms)
		}
		w.advance(time.Second)
		return w.arrived
	}
	if diff := cmp.Diff(play(7), play(7)); diff != "" {
		t.Error(diff)
	}
	if cmp.Equal(play(7), play(8)) {
		t.Error("the seed changes nothing")
	}
}

// TestSharesAreWithinBounds counts over 200,000 packets: five standard deviations of
// what independent draws would give, and of runs where losses come in bursts.
func TestSharesAreWithinBounds(t *testing.T) {
	const n = 200_000
	for name, s := range map[string]Settings{
		"rare":      {Loss: 0.001},
		"a tenth":   {Loss: 0.1, Duplicate: 0.02, Reorder: 0.05, ReorderBy: ms},
		"in bursts": {Loss: 0.05, Burst: 8},
		"most":      {Loss: 0.8, Burst: 5},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(s, 1)
			for range n / 40 {
				w.push(40)
				w.advance(ms)
			}
			w.advance(time.Second)
			c := w.line.Counters()
			within(t, "lost", float64(c.Lost), s.Loss, n, max(1, s.Burst))
			within(t, "doubled", float64(c.Duplicated), (1-s.Loss)*(1-s.Reorder)*s.Duplicate, n, 1)
			within(t, "held back", float64(c.Reordered), (1-s.Loss)*s.Reorder, n, 1)
			if s.Burst > 0 {
				if got := meanRun(w.arrived, n); math.Abs(got-s.Burst) > 0.1*s.Burst {
					t.Errorf("losses come %.2f in a row, want %.0f", got, s.Burst)
				}
			}
		})
	}
}

func within(t *testing.T, what string, got, share float64, n int, burst float64) {
	t.Helper()
	want := share * float64(n)
	if slack := 5 * math.Sqrt(want*(1-share)*2*burst); math.Abs(got-want) > slack {
		t.Errorf("%s: %.0f of %d, want %.0f ± %.0f", what, got, n, want, slack)
	}
}

// meanRun is the mean length of gaps in the numbers of what arrived, in order.
func meanRun(arrived []arrival, n int) float64 {
	there := make([]bool, n)
	for _, a := range arrived {
		there[a.Packet] = true
	}
	missing, runs := 0, 0
	for i, ok := range there {
		if ok {
			continue
		}
		missing++
		if i == 0 || there[i-1] {
			runs++
		}
	}
	return float64(missing) / float64(runs)
}

func TestJitterHasItsDistribution(t *testing.T) {
	for name, c := range map[string]struct {
		set       Settings
		mean, top time.Duration
	}{
		"uniform":     {Settings{Jitter: 10 * ms}, 5 * ms, 10 * ms},
		"exponential": {Settings{Jitter: 10 * ms, Exponential: true}, 10 * ms, 100 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			l, sum, top := newLine(c.set), time.Duration(0), time.Duration(0)
			const n = 20_000
			for i := range n {
				now := epoch.Add(time.Duration(i) * time.Second) // nobody is ahead
				l.Push(now, i, Single(100))
				due, _ := l.Next()
				l.Pop(due)
				sum, top = sum+due.Sub(now), max(top, due.Sub(now))
			}
			if mean := sum / n; mean < c.mean*95/100 || mean > c.mean*105/100 || top > c.top || top < c.top/2 {
				t.Errorf("mean %s, largest %s", mean, top)
			}
		})
	}
}
