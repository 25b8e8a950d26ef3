//go:build !race

package sim

import (
	"testing"
	"testing/synctest"
	"time"
)

// watched runs a quiet world and returns its false verdicts.
func watched(t *testing.T, q Quiet) (all []FalseVerdict) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if err := q.Run(t, func(f FalseVerdict) { all = append(all, f) }); err != nil {
			t.Error(err)
		}
	})
	return all
}

// The figure false_verdicts in small: make bench-false-verdicts is the long one.
func TestWhoIsUpIsReachableUnderLoss(t *testing.T) {
	for _, f := range watched(t, Quiet{Seed: 1, Clusters: 5, Loss: 0.05, Length: 2 * time.Minute}) {
		t.Error(f)
	}
}

// The count can fail: a network that hardly carries anything is more than gossip bears.
func TestFalseVerdictsAreCounted(t *testing.T) {
	all := watched(t, Quiet{Seed: 1, Clusters: 3, Loss: 0.45, Length: 5 * time.Minute})
	if len(all) == 0 {
		t.Fatal("nothing was called anything but Reachable at 45 % loss")
	}
	t.Logf("%d, the first: %s", len(all), all[0])
}
