package link

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var epoch = time.Unix(0, 0)

const ms = time.Millisecond

// arrival is what came out of a line: which packet, and how long after epoch.
type arrival struct {
	Packet int
	At     time.Duration
}

func newLine(s Settings) *Line[int] {
	return New[int](s, rand.New(rand.NewPCG(1, 2)), 1<<30)
}

// drain takes everything out of the line, each packet when it is due.
func drain(l *Line[int]) (out []arrival) {
	for {
		due, ok := l.Next()
		if !ok {
			return out
		}
		p, ok := l.Pop(due)
		if !ok {
			panic("what is due does not come")
		}
		for i := range p.Count {
			out = append(out, arrival{p.Frame + p.First + i, due.Sub(epoch)})
		}
	}
}

func TestPacketsArriveWhenTheSettingsSay(t *testing.T) {
	second := Settings{Rate: 8e6} // a byte in a microsecond
	for name, c := range map[string]struct {
		set  Settings
		push func(*Line[int])
		want []arrival
	}{
		"at once without settings": {
			push: func(l *Line[int]) { l.Push(epoch, 1, Single(100)) },
			want: []arrival{{1, 0}},
		},
		"after the delay": {
			set:  Settings{Delay: 40 * ms},
			push: func(l *Line[int]) { l.Push(epoch, 1, Single(100)); l.Push(epoch.Add(ms), 2, Single(100)) },
			want: []arrival{{1, 40 * ms}, {2, 41 * ms}},
		},
		"a shortened delay does not reorder": {
			set: Settings{Delay: 40 * ms},
			push: func(l *Line[int]) {
				l.Push(epoch, 1, Single(100))
				l.Set(Settings{}, nil)
				l.Push(epoch.Add(ms), 2, Single(100))
			},
			want: []arrival{{1, 40 * ms}, {2, 40 * ms}},
		},
		"a bucket's worth at once, then at the rate": {
			set: second,
			push: func(l *Line[int]) {
				for i := range 4 {
					l.Push(epoch, i, Single(8<<10))
				}
			},
			want: []arrival{{0, 0}, {1, 0}, {2, 8192 * time.Microsecond}, {3, 16384 * time.Microsecond}},
		},
		"a frame's packets one after another on a slow line": {
			set:  second,
			push: func(l *Line[int]) { l.Push(epoch, 0, Shape{Count: 4, Header: 1 << 12, Each: 1 << 12, Body: 1 << 14}) },
			want: []arrival{{0, 0}, {1, 0}, {2, 8192 * time.Microsecond}, {3, 16384 * time.Microsecond}},
		},
		"a full queue refuses": {
			set: Settings{Rate: 8e6, Queue: 1000},
			push: func(l *Line[int]) {
				l.Push(epoch, 0, Single(BucketBytes))
				for i := 1; i <= 3; i++ {
					l.Push(epoch, i, Single(500))
				}
			},
			want: []arrival{{0, 0}, {1, ms / 2}, {2, ms}},
		},
		"held back packets are overtaken": {
			set: Settings{Reorder: 1, ReorderBy: 10 * ms},
			push: func(l *Line[int]) {
				l.Push(epoch, 1, Single(100))
				l.Set(Settings{}, nil)
				l.Push(epoch.Add(ms), 2, Single(100))
			},
			want: []arrival{{2, ms}, {1, 10 * ms}},
		},
		"held back packets do not wait for a line that has become longer": {
			set: Settings{Reorder: 1, ReorderBy: 10 * ms},
			push: func(l *Line[int]) {
				l.Push(epoch, 1, Single(100))
				l.Set(Settings{Delay: 40 * ms}, nil)
				l.Push(epoch, 2, Single(100))
			},
			want: []arrival{{1, 10 * ms}, {2, 40 * ms}},
		},
		"every packet of a frame twice, the copy right behind": {
			set:  Settings{Duplicate: 1, Delay: ms},
			push: func(l *Line[int]) { l.Push(epoch, 0, Shape{Count: 2, Each: 10, Body: 15}) },
			want: []arrival{{0, ms}, {0, ms}, {1, ms}, {1, ms}},
		},
		"nothing of what is lost": {
			set:  Settings{Loss: 1, Duplicate: 1, Reorder: 1, ReorderBy: ms},
			push: func(l *Line[int]) { l.Push(epoch, 0, Shape{Count: 40, Each: 10, Body: 400}) },
		},
		"nothing through a black hole, nor of what was under way": {
			set: Settings{Delay: ms},
			push: func(l *Line[int]) {
				l.Push(epoch, 1, Single(100))
				l.Set(Settings{Down: true}, func(int) {})
				l.Push(epoch, 2, Single(100))
			},
		},
		"again after the black hole": {
			set: Settings{Down: true},
			push: func(l *Line[int]) {
				l.Push(epoch, 1, Single(100))
				l.Set(Settings{Delay: ms}, nil)
				l.Push(epoch, 2, Single(100))
			},
			want: []arrival{{2, ms}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLine(c.set)
			c.push(l)
			if diff := cmp.Diff(c.want, drain(l)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNothingComesBeforeItsTime(t *testing.T) {
	l := newLine(Settings{Delay: 10 * ms, Reorder: 0.5, ReorderBy: ms})
	for i := range 100 {
		l.Push(epoch, i, Single(10))
	}
	if p, ok := l.Pop(epoch.Add(10*ms - 1)); ok {
		t.Errorf("%+v came early", p)
	}
}

func TestWhatIsUnderWayIsBounded(t *testing.T) {
	l := New[int](Settings{Delay: time.Second}, nil, 100)
	for i, bytes := range []int{60, 60, 40} {
		if got, want := l.Push(epoch, i, Single(bytes)), []int{1, 0, 1}[i]; got != want {
			t.Errorf("frame %d of %d bytes: %d pieces, want %d", i, bytes, got, want)
		}
	}
	if c := l.Counters(); c.Refused != 1 || l.UnderWay() != 100 {
		t.Errorf("%d bytes under way, %+v", l.UnderWay(), c)
	}
}

func TestABlackHoleFreesEveryPieceOnce(t *testing.T) {
	l := newLine(Settings{Delay: ms, Duplicate: 0.5, Reorder: 0.3, ReorderBy: ms})
	pieces := map[int]int{}
	for i := range 50 {
		pieces[i] += l.Push(epoch, i, Shape{Count: 5, Each: 10, Body: 50})
	}
	l.Set(Settings{Down: true}, func(i int) { pieces[i]-- })
	for i, n := range pieces {
		if n != 0 {
			t.Errorf("frame %d: %d pieces were not freed", i, n)
		}
	}
	if !l.Empty() || l.UnderWay() != 0 {
		t.Errorf("%d bytes are still under way", l.UnderWay())
	}
}

func TestTheRateIsKeptOverTime(t *testing.T) {
	l := newLine(Settings{Rate: 100e6, Queue: 1 << 20})
	for at := time.Duration(0); at < time.Second; at += 100 * time.Microsecond {
		l.Push(epoch.Add(at), 0, Single(1500)) // 120 Mbit/s
		l.Pop(epoch.Add(at))
	}
	out := drain(l)
	c, took := l.Counters(), out[len(out)-1].At
	if rate := float64(c.Bytes-BucketBytes) * 8 / took.Seconds(); rate < 99e6 || rate > 101e6 {
		t.Errorf("%.1f Mbit/s", rate/1e6)
	}
	if c.Refused == 0 {
		t.Error("the queue grows without bound")
	}
}

func TestValidateRefusesWhatCannotBe(t *testing.T) {
	for name, s := range map[string]Settings{
		"negative delay": {Delay: -1}, "delay in the wrong unit": {Delay: time.Hour}, "jitter": {Jitter: -1},
		"loss above all": {Loss: 1.1}, "negative duplication": {Duplicate: -0.1}, "reorder without a time": {Reorder: 0.1},
		"burst below one": {Loss: 0.1, Burst: 0.5}, "burst too short for the loss": {Loss: 0.9, Burst: 2},
		"rate too low": {Rate: 1}, "rate too high": {Rate: MaxRate + 1}, "negative queue": {Queue: -1},
	} {
		if s.Validate() == nil {
			t.Errorf("%s: %+v is valid", name, s)
		}
	}
	good := Settings{Delay: ms, Jitter: ms, Loss: 0.5, Burst: 4, Duplicate: 1, Reorder: 1, ReorderBy: ms, Rate: 1e6, Queue: 1500}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}
