//go:build !race

// Without the race detector: that of Go 1.26 crashes in the timers of bubbles this
// large. `make test` runs this package a second time without it.

// memberlist draws from math/rand: the same on every run, so that a seed run alone
// differs as little as can be from one run to the next.
//
//go:debug randautoseed=0
package sim

import (
	"flag"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	seed   = flag.Uint64("seed", 0, "run this seed only; 0 runs -seeds of them")
	seeds  = flag.Uint64("seeds", 20, "how many seeds, from 1")
	repeat = flag.Int("repeat", 1, "how often each seed: goroutines of one moment run in any order")
	faults = flag.Int("faults", 0, "how many faults a world has; 0 is the default")
	out    = flag.String("out", "../../out/sim", "where failed seeds are kept")
)

// The invariants hold after every step of every world.
func TestWorlds(t *testing.T) {
	from, to := uint64(1), *seeds
	if *seed > 0 {
		from, to = *seed, *seed
	}
	for s := from; s <= to; s++ {
		for i := range *repeat {
			t.Run(fmt.Sprintf("seed=%d#%d", s, i), func(t *testing.T) {
				t.Parallel()
				cfg := DefaultConfig(s)
				if *faults > 0 {
					cfg.Faults = *faults
				}
				live(t, Draw(cfg))
			})
		}
	}
}

func live(t *testing.T, p Plan) {
	t.Helper()
	began := time.Now()
	var found []Violation
	synctest.Test(t, func(t *testing.T) { found = Run(t, p) })
	t.Logf("%d clusters, %s of virtual time in %s", p.Clusters, p.End(), time.Since(began).Round(time.Millisecond))
	if len(found) == 0 {
		return
	}
	name, err := Keep(*out, p, found)
	if err != nil {
		t.Error(err)
	}
	t.Errorf("kept in %s\n%s", name, Report(p, found))
}

// A seed decides clusters, faults, changes and policies.
func TestASeedDecidesTheWorld(t *testing.T) {
	draw := func(seed uint64) string { p := Draw(DefaultConfig(seed)); return fmt.Sprintf("%+v", p) }
	if d := cmp.Diff(draw(7), draw(7)); d != "" {
		t.Error(d)
	}
	if draw(7) == draw(8) {
		t.Error("two seeds give one world")
	}
}
