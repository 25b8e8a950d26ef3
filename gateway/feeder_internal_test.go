package gateway

import (
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation/routing"
)

// Decision 3: the leader's table is obeyed, a standby's only after the leader's
// silence, and an older epoch's never.
func TestWhichFeederIsObeyed(t *testing.T) {
	leader := func(sequence uint64) routing.TableVersion {
		return routing.TableVersion{Epoch: 4, Feeder: "op-1", Sequence: sequence}
	}
	standby := func(sequence uint64) routing.TableVersion {
		return routing.TableVersion{Epoch: 4, Feeder: "op-2", Sequence: sequence}
	}
	type word struct {
		at    time.Duration
		says  routing.TableVersion
		obeys bool
	}
	const s = time.Second
	for name, words := range map[string][]word{
		"the first one":                   {{0, standby(1), true}},
		"newer of the same":               {{0, leader(1), true}, {s, leader(2), true}, {2 * s, leader(1), false}},
		"a standby beside a leader":       {{0, leader(1), true}, {9 * s, standby(7), false}},
		"a standby after silence":         {{0, leader(1), true}, {10 * s, standby(7), false}, {11 * s, standby(7), true}},
		"a quiet leader is not silent":    {{0, leader(1), true}, {9 * s, leader(1), false}, {11 * s, standby(7), false}, {20 * s, standby(7), true}},
		"a leader that is back waits":     {{0, leader(1), true}, {11 * s, standby(7), true}, {12 * s, leader(2), false}, {22 * s, leader(2), true}},
		"a standby's word keeps it":       {{0, leader(1), true}, {11 * s, standby(7), true}, {21 * s, standby(7), false}, {22 * s, leader(2), false}},
		"a new epoch at once":             {{0, leader(9), true}, {0, routing.TableVersion{Epoch: 5, Feeder: "op-2", Sequence: 1}, true}},
		"an old epoch after any silence":  {{0, leader(1), true}, {time.Hour, routing.TableVersion{Epoch: 3, Feeder: "op-0", Sequence: 99}, false}},
		"what is refused is no life sign": {{0, leader(1), true}, {9 * s, standby(7), false}, {10*s + 1, standby(7), true}},
	} {
		f := feeder{silence: 10 * s}
		for i, w := range words {
			if got := f.take(w.says, w.at); got != w.obeys {
				t.Errorf("%s: word %d, %+v at %s: obeyed is %t", name, i, w.says, w.at, got)
			}
		}
	}
}
