package gossip

import (
	"crypto/tls"
	cli "flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/federation"
)

// schedules is 10^5 in `make sim-orders`: FAULTS row 21's figure.
var schedules = cli.Int("schedules", 5000, "in how many orders one set of signed messages arrives")

// speech has an author say so many things over two reigns, with snapshots between, and
// returns every batch that it has signed.
func speech(t *testing.T, rng *rand.Rand, cert func() (*tls.Certificate, error), changes int) []told {
	t.Helper()
	a := newAuthor("a", 1, newArchive(testBounds, time.Hour), cert)
	seen := map[string]told{}
	now := time.Duration(0)
	for i := range changes {
		now += time.Second
		if i == changes/2 {
			if _, err := a.reign(2, now); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := a.publish(somePorts(rng), true, now); err != nil {
			t.Fatal(err)
		}
		if rng.IntN(4) == 0 {
			one, err := cert()
			if err != nil {
				t.Fatal(err)
			}
			a.compact(one, now)
		}
		for _, f := range a.volume().after(0) {
			_, payload, _ := unseal(f.sealed)
			b, err := decodeBatch(payload, testBounds.services)
			if err != nil {
				t.Fatal(err)
			}
			seen[string(f.sealed)] = told{f.sealed, b}
		}
	}
	out := make([]told, 0, len(seen))
	for _, x := range seen {
		out = append(out, x)
	}
	return out
}

// somePorts is some of four ports: what is left out is withdrawn.
func somePorts(rng *rand.Rand) map[federation.ServicePort]federation.Health {
	out := map[federation.ServicePort]federation.Health{}
	for p := range uint16(4) {
		if rng.IntN(3) > 0 {
			out[federation.ServicePort{Service: wirePort.Service, Port: p + 1}] = federation.Health{Ready: rng.Uint32N(3), Total: 2}
		}
	}
	return out
}

// arrive files every message at least once, in any order, some of them again.
func arrive(rng *rand.Rand, all []told) *archive {
	r := newArchive(testBounds, time.Hour)
	deck := append([]told(nil), all...)
	for range rng.IntN(len(all) + 1) {
		deck = append(deck, all[rng.IntN(len(all))])
	}
	rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	fileAll(r, "a", deck)
	return r
}

// state is all that a reader shows of the author and tells others that it holds: with
// versions and withdrawals, without ages.
func state(a *archive) any {
	records := a.records(time.Hour)["a"]
	for p, r := range records {
		r.Age = 0
		records[p] = r
	}
	return []any{records, a.held("a")}
}

// FAULTS row 21: identical final state for every permutation and duplication.
func TestEveryOrderOfSignedMessagesEndsInOneState(t *testing.T) {
	cert := signedBy(t, "a")
	const each = 250
	for n := range max(1, *schedules/each) {
		rng := rand.New(rand.NewPCG(uint64(n), 21)) //nolint:gosec // a test
		all := speech(t, rng, cert, 4+rng.IntN(10))
		want := state(arrive(rng, all))
		for range each - 1 {
			if d := cmp.Diff(want, state(arrive(rng, all))); d != "" {
				t.Fatalf("history %d, another order, another state:\n%s", n, d)
			}
		}
	}
}
