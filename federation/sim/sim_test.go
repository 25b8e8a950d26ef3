//go:build !race

package sim

import (
	"flag"
	"testing"
	"testing/synctest"
	"time"
)

var (
	first = flag.Uint64("seed", 1, "the first seed")
	seeds = flag.Uint64("seeds", 3, "how many seeds")
)

func TestWorlds(t *testing.T) {
	for seed := *first; seed < *first+*seeds; seed++ {
		began := time.Now()
		var found []Violation
		p := Draw(DefaultConfig(seed))
		synctest.Test(t, func(t *testing.T) { found = Run(t, p) })
		t.Logf("seed %d: %d clusters, %s virtual in %s", seed, p.Clusters, p.End(), time.Since(began))
		for _, v := range found {
			t.Error(v)
		}
		if len(found) > 0 {
			t.Log(p.String())
		}
	}
}
