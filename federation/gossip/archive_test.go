package gossip

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
)

// signedBy is a certificate that an author can sign with.
func signedBy(t testing.TB, c federation.ClusterName) func() (*tls.Certificate, error) {
	t.Helper()
	return certificate(identitytest.NewCA(t, testDomain).Source(testID(c, identity.RoleOperator)))
}

// told is a batch on its way.
type told struct {
	sealed []byte
	batch  batch
}

// history has an author publish at random, over two reigns, and returns all that it has
// signed, snapshots included.
func history(t *rapid.T, cert func() (*tls.Certificate, error), c federation.ClusterName) (*author, []told) {
	a := newAuthor(c, 1, newArchive(testBounds, time.Hour), cert)
	seen := map[string]told{}
	note := func() {
		for _, f := range a.volume().after(0) {
			_, payload, err := unseal(f.sealed)
			if err != nil {
				t.Fatal(err)
			}
			b, err := decodeBatch(payload, testBounds.services)
			if err != nil {
				t.Fatal(err)
			}
			seen[string(f.sealed)] = told{f.sealed, b}
		}
	}
	now := time.Duration(0)
	for epoch := range uint64(2) {
		if _, err := a.reign(epoch+1, now); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 5).Draw(t, "changes") {
			now += time.Second
			health := map[federation.ServicePort]federation.Health{}
			for p := range rapid.IntRange(0, 3).Draw(t, "ports") {
				ready := rapid.Uint32Range(0, 2).Draw(t, "ready")
				health[federation.ServicePort{Service: wirePort.Service, Port: uint16(p + 1)}] = federation.Health{Ready: ready, Total: 2}
			}
			if _, _, err := a.publish(health, true, now); err != nil {
				t.Fatal(err)
			}
			note()
			if rapid.IntRange(0, 3).Draw(t, "compact") == 0 {
				one, err := cert()
				if err != nil {
					t.Fatal(err)
				}
				a.compact(one, now)
				note()
			}
		}
	}
	var out []told
	for _, x := range seen {
		out = append(out, x)
	}
	return a, out
}

// visible is what readers see, versions and ages aside: a snapshot restates.
func visible(a *archive, now time.Duration) any {
	out := map[string]federation.HealthRecord{}
	for c, records := range a.records(now) {
		for p, r := range records {
			if r.Withdrawn {
				continue
			}
			r.Version = federation.Version{}
			out[fmt.Sprint(c, p)] = r.HealthRecord
		}
	}
	return out
}

func fileAll(a *archive, c federation.ClusterName, all []told) {
	for _, x := range all {
		a.file(c, x.sealed, x.batch, 0, time.Hour)
	}
}

// FAULTS row 21: whatever order, however often, readers end with the same state, which
// is the owner's own; and what they would tell others is the same.
func TestPropertySignedMergeCommutesAssociatesAndIsIdempotent(t *testing.T) {
	cert := signedBy(t, "a")
	rapid.Check(t, func(t *rapid.T) {
		owner, all := history(t, cert, "a")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "shuffle"), 1))
		var readers []*archive
		for range 3 {
			rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			r := newArchive(testBounds, time.Hour)
			cut := rng.IntN(len(all) + 1)
			fileAll(r, "a", all[:cut]) // some come, then all, so that some come twice
			fileAll(r, "a", all)
			readers = append(readers, r)
		}
		for _, r := range readers {
			if d := cmp.Diff(visible(owner.archive, time.Hour), visible(r, time.Hour)); d != "" {
				t.Fatalf("reader differs from the owner:\n%s", d)
			}
			if d := cmp.Diff(readers[0].held("a"), r.held("a")); d != "" {
				t.Fatalf("another order, another digest:\n%s", d)
			}
		}
	})
}

// Loss: after one exchange of digests a reader that missed anything has all.
func TestPropertyDigestsRepairAnyLoss(t *testing.T) {
	cert := signedBy(t, "a")
	rapid.Check(t, func(t *rapid.T) {
		owner, all := history(t, cert, "a")
		r := newArchive(testBounds, time.Hour)
		for _, x := range all {
			if rapid.Bool().Draw(t, "arrives") {
				r.file("a", x.sealed, x.batch, 0, time.Hour)
			}
		}
		missing, _ := owner.archive.lacking(r.held("a"), staleTicks, time.Hour)
		for _, f := range missing {
			_, payload, _ := unseal(f.sealed)
			b, err := decodeBatch(payload, testBounds.services)
			if err != nil {
				t.Fatal(err)
			}
			r.file("a", f.sealed, b, 0, time.Hour)
		}
		if d := cmp.Diff(visible(owner.archive, time.Hour), visible(r, time.Hour)); d != "" {
			t.Fatal(d)
		}
		if again, _ := owner.archive.lacking(r.held("a"), staleTicks, time.Hour); len(again) > 0 {
			t.Fatalf("%d batches are still missing", len(again))
		}
	})
}

// pair is an author and a reader that have met.
func pair(t *testing.T) (*author, *archive, func(*filed, time.Duration, time.Duration) filing) {
	t.Helper()
	a := newAuthor("a", 1, newArchive(testBounds, time.Minute), signedBy(t, "a"))
	r := newArchive(testBounds, time.Minute)
	return a, r, func(f *filed, age, now time.Duration) filing {
		t.Helper()
		_, payload, _ := unseal(f.sealed)
		b, err := decodeBatch(payload, testBounds.services)
		if err != nil {
			t.Fatal(err)
		}
		return r.file("a", f.sealed, b, age, now)
	}
}

func (a *author) must(t *testing.T, ready uint32, now time.Duration) *filed {
	t.Helper()
	f, _, err := a.publish(map[federation.ServicePort]federation.Health{wirePort: {Ready: ready, Total: 2}}, true, now)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func age(a *archive, now time.Duration) time.Duration { return a.records(now)["a"][wirePort].Age }

func TestRelayedBatchCannotBeMadeYoung(t *testing.T) {
	a, r, take := pair(t)
	take(a.must(t, 2, 0), 0, 10*time.Second)
	// Made one second later, passed on after nine more by one who says that it is fresh.
	take(a.must(t, 1, time.Second), 0, 20*time.Second)
	if got := age(r, 20*time.Second); got < 8900*time.Millisecond {
		t.Errorf("age %s: the owner's own stamps say 9 s", got)
	}
}

func TestBeatRenewsOnlyWhoHoldsAll(t *testing.T) {
	a, r, take := pair(t)
	other := federation.ServicePort{Service: wirePort.Service, Port: 443}
	say := func(ready uint32, now time.Duration) *filed {
		f, _, err := a.publish(map[federation.ServicePort]federation.Health{wirePort: {Ready: ready, Total: 2}, other: {Ready: 1, Total: 1}}, true, now)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	age := func(now time.Duration) time.Duration { return r.records(now)["a"][other].Age }
	take(say(2, 0), 0, 0)
	lost := say(1, time.Second)
	take(say(0, 2*time.Second), 0, 2*time.Second) // it is held, the one before is not
	b, ok := a.beat(5 * time.Second)
	if !ok {
		t.Fatal("no beat")
	}
	if out := r.beat(b, 5*time.Second); !out.behind || age(5*time.Second) < 4900*time.Millisecond {
		t.Errorf("%+v, age %s: a change is missing", out, age(5*time.Second))
	}
	take(lost, 4*time.Second, 5*time.Second)
	if age(5*time.Second) > time.Second {
		t.Errorf("age %s: all is held", age(5*time.Second))
	}
	forged := b
	forged.Ticks, forged.Knot[0] = b.Ticks+4, b.Knot[0]^1
	if out := r.beat(forged, 6*time.Second); !out.forged {
		t.Errorf("a made-up knot counts: %+v", out)
	}
	if out := r.beat(b, time.Minute); out.news || age(time.Minute) < 50*time.Second {
		t.Errorf("a replayed beat renews: %+v", out)
	}
}

func TestNewReignReplacesOldWordsWithoutAHole(t *testing.T) {
	a, r, take := pair(t)
	take(a.must(t, 2, 0), 0, 0)
	old := a.must(t, 1, time.Second)
	snapshot, err := a.reign(2, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	change := a.must(t, 0, 3*time.Second)
	take(change, 0, 3*time.Second) // the change overtakes the snapshot
	if out := take(old, 0, 3*time.Second); !out.stale {
		t.Errorf("an older epoch's batch: %+v", out)
	}
	if got := r.records(4 * time.Second)["a"][wirePort]; got.Ready != 0 || got.Version.Epoch != 2 {
		t.Errorf("record %+v", got)
	}
	take(snapshot, time.Second, 4*time.Second)
	if got := r.held("a"); got.Epoch != 2 || got.Upto != 2 {
		t.Errorf("holds %+v", got)
	}
}

func TestEarlierReignIsShownUntilTheNewSnapshot(t *testing.T) {
	a, r, take := pair(t)
	other := federation.ServicePort{Service: wirePort.Service, Port: 443}
	both := map[federation.ServicePort]federation.Health{wirePort: {Ready: 2, Total: 2}, other: {Ready: 1, Total: 1}}
	first, _, _ := a.publish(both, true, 0)
	take(first, 0, 0)
	snapshot, _ := a.reign(2, time.Second)
	both[wirePort] = federation.Health{Ready: 1, Total: 2}
	change, _, _ := a.publish(both, true, 2*time.Second)
	take(change, 0, 2*time.Second)
	shown := r.records(2 * time.Second)["a"]
	if shown[wirePort].Ready != 1 || shown[other].Ready != 1 {
		t.Errorf("shown %+v", shown)
	}
	take(snapshot, 0, 2*time.Second)
	if d := cmp.Diff(visible(a.archive, time.Minute), visible(r, time.Minute), cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
}

func TestWithdrawalsExpire(t *testing.T) {
	a, r, take := pair(t)
	take(a.must(t, 2, 0), 0, 0)
	gone, _, _ := a.publish(nil, true, time.Second)
	take(gone, 0, time.Second)
	if !r.records(2 * time.Second)["a"][wirePort].Withdrawn {
		t.Error("the withdrawal is not shown")
	}
	if n := len(r.records(3 * time.Minute)["a"]); n != 0 {
		t.Errorf("%d records after the withdrawal's time", n)
	}
	if _, err := a.reign(2, 3*time.Minute); err != nil || len(a.said) != 0 {
		t.Errorf("the owner still knows %d, %v", len(a.said), err)
	}
}

func TestChangesAreFoldedIntoASnapshot(t *testing.T) {
	a, r, take := pair(t)
	for i := range 3 * compactAfter {
		take(a.must(t, uint32(i%3), time.Duration(i)*time.Second), 0, time.Duration(i)*time.Second)
	}
	if n := len(a.volume().deltas); n > compactAfter {
		t.Errorf("the owner keeps %d changes", n)
	}
	missing, _ := a.archive.lacking(r.held("a"), staleTicks, time.Hour)
	if len(missing) != 1 || !missing[0].batch.Snapshot {
		t.Fatalf("a reader with %d changes is not given the snapshot", len(r.volumes["a"].deltas))
	}
	take(missing[0], 0, time.Hour)
	if n := len(r.volumes["a"].deltas); n > compactAfter {
		t.Errorf("it keeps %d changes", n)
	}
}

func TestReaderBoundsWhatAnOwnerMaySay(t *testing.T) {
	r := newArchive(bounds{clusters: 1, services: 2, bytes: 1 << 16}, time.Hour)
	full := 0
	for i := range uint64(6) {
		b := batch{Version: federation.Version{Epoch: 1, Sequence: i + 1}, Items: []item{{Port: federation.ServicePort{Service: wirePort.Service, Port: uint16(i + 1)}}}}
		if r.file("a", b.payload(), b, 0, 0).full {
			full++
		}
	}
	if full != 2 {
		t.Errorf("%d of 6 were refused, 4 services and withdrawals fit", full)
	}
	b := batch{Version: federation.Version{Epoch: 1, Sequence: 1}}
	if !r.file("b", b.payload(), b, 0, 0).full {
		t.Error("a cluster too many was taken")
	}
	big := make([]byte, 1<<16)
	many := newArchive(bounds{clusters: 1, services: 1000, bytes: 1 << 16}, time.Hour)
	for i := range uint64(4) {
		b := batch{Version: federation.Version{Epoch: 1, Sequence: i + 1}}
		if out := many.file("a", big, b, 0, 0); out.full != (i > 1) {
			t.Errorf("batch %d: %+v", i, out)
		}
	}
}

func TestLoadAloneWaitsForTheBeat(t *testing.T) {
	a, _, _ := pair(t)
	a.must(t, 2, 0)
	busy := map[federation.ServicePort]federation.Health{wirePort: {Ready: 2, Total: 2, Load: federation.Measure{Known: true, PerMille: 500}}}
	if f, _, err := a.publish(busy, false, time.Second); f != nil || err != nil {
		t.Errorf("told at once: %v %v", f, err)
	}
	if f, _, err := a.publish(busy, true, time.Second); f == nil || err != nil {
		t.Errorf("not told with the beat: %v", err)
	}
}

func TestChainIsRenewedBeforeItEnds(t *testing.T) {
	a, r, take := pair(t)
	take(a.must(t, 2, 0), 0, 0)
	end := anchorAfter + time.Second
	if a.due(anchorAfter-time.Second) || !a.due(end) {
		t.Fatal("due at the wrong time")
	}
	f, err := a.renew(end)
	if err != nil {
		t.Fatal(err)
	}
	take(f, 0, end)
	b, ok := a.beat(end + 2*time.Second)
	if out := r.beat(b, end+2*time.Second); !ok || !out.news {
		t.Errorf("the beat after: %+v", out)
	}
}

// A reader that has only just started is told what was said before that.
func TestWordFromBeforeOurStartIsAsOldAsItIs(t *testing.T) {
	owner := newAuthor("a", 1, newArchive(testBounds, time.Hour), signedBy(t, "a"))
	f, _, err := owner.publish(map[federation.ServicePort]federation.Health{wirePort: {Ready: 1, Total: 1}}, false, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	_, payload, err := unseal(f.sealed)
	if err != nil {
		t.Fatal(err)
	}
	b, err := decodeBatch(payload, testBounds.services)
	if err != nil {
		t.Fatal(err)
	}
	reader := newArchive(testBounds, time.Hour)
	reader.file("a", f.sealed, b, time.Minute, time.Second)
	if got := reader.records(2 * time.Second)["a"][wirePort].Age; got != time.Minute+time.Second {
		t.Errorf("told a minute old, held for a second: %s", got)
	}
}

// A reader that has only just begun is told of what is older than its own clock.
func TestWhatIsOlderThanTheReaderStaysOld(t *testing.T) {
	a, r, take := pair(t)
	take(a.must(t, 2, 0), 20*time.Second, time.Second)
	if got := age(r, 2*time.Second); got != 21*time.Second {
		t.Errorf("age %s, told 20 s and held 1 s", got)
	}
}
