package gossip

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/causeway-mesh/causeway/federation"
)

var testBounds = bounds{clusters: 4, services: 8, bytes: 1 << 16}

func anyStatement(t *rapid.T) statement {
	version := func() federation.Version {
		return federation.Version{Epoch: rapid.Uint64Range(1, 3).Draw(t, "epoch"), Sequence: rapid.Uint64Range(1, 5).Draw(t, "sequence")}
	}
	s := statement{
		Owner: federation.ClusterName(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "owner")),
		Floor: rapid.Uint64Range(0, 2).Draw(t, "floor"),
		Beat:  beat{Version: version(), Digest: rapid.Uint64Range(0, 3).Draw(t, "digest"), Age: time.Duration(rapid.IntRange(0, 5000).Draw(t, "age")) * time.Millisecond},
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "records") {
		v := version()
		s.Records = append(s.Records, record{
			Port:    federation.ServicePort{Service: federation.ServiceName{Namespace: "n", Name: "s"}, Port: uint16(i + 1)},
			Version: v, Renewed: v.Sequence + rapid.Uint64Range(0, 3).Draw(t, "renewed"),
			Age: time.Duration(rapid.IntRange(0, 5000).Draw(t, "record age")) * time.Millisecond,
			// One version is one content: an owner never says two things under one number.
			Count: Count{Ready: uint32(v.Epoch*10 + v.Sequence), Total: 99},
		})
	}
	return s
}

func TestPropertyCodecRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := []statement{anyStatement(t), anyStatement(t)}
		out, err := decode(encode(in...), testBounds)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(in, out); d != "" {
			t.Fatal(d)
		}
	})
}

func TestOversizedTruncatedAndTrailingMessagesAreRefused(t *testing.T) {
	one := statement{Owner: "a", Beat: beat{Version: federation.Version{Epoch: 1, Sequence: 1}}, Records: []record{{
		Port: federation.ServicePort{Service: federation.ServiceName{Namespace: "n", Name: "s"}, Port: 1}, Version: federation.Version{Epoch: 1, Sequence: 1}, Renewed: 1,
	}}}
	good := encode(one)
	bad := map[string][]byte{
		"empty": {}, "other version": append([]byte{9}, good[1:]...), "trailing": append(bytes.Clone(good), 0),
		"oversized": make([]byte, testBounds.bytes+1), "too many clusters": encode(one, one, one, one, one),
	}
	for i := 1; i < len(good); i++ {
		bad["truncated"] = good[:i]
		if _, err := decode(good[:i], testBounds); !errors.Is(err, errMalformed) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	for name, data := range bad {
		if _, err := decode(data, testBounds); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(statement{Owner: "a", Beat: beat{Version: federation.Version{Epoch: 1, Sequence: 1}}}))
	f.Add(encode(statement{Owner: "b", Complete: true, Records: []record{{Port: federation.ServicePort{Service: federation.ServiceName{Namespace: "n", Name: "s"}, Port: 80}, Version: federation.Version{Epoch: 2, Sequence: 7}, Renewed: 9, Count: Count{Ready: 1, Total: 2}}}}))
	f.Add([]byte{})
	f.Add([]byte{1, 255, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := decode(data, testBounds)
		if err != nil {
			return
		}
		again, err := decode(encode(out...), testBounds)
		if err != nil {
			t.Fatalf("what was decoded does not encode: %v", err)
		}
		if d := cmp.Diff(out, again); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzReadFrame(f *testing.F) {
	f.Add(appendFrame(nil, 1, time.Second, []byte("body")))
	f.Add([]byte{255, 255, 255, 255, 255})
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = readFrame(bytes.NewReader(data), 1<<12)
		_, _ = readPreamble(bytes.NewReader(data))
	})
}

// shown is what readers of a book see, ages aside.
func shown(b *book, now time.Duration) map[federation.ClusterName]map[federation.ServicePort]federation.HealthRecord {
	out := map[federation.ClusterName]map[federation.ServicePort]federation.HealthRecord{}
	for c, records := range b.records(now) {
		out[c] = map[federation.ServicePort]federation.HealthRecord{}
		for p, r := range records {
			out[c][p] = r.HealthRecord
		}
	}
	return out
}

// Relayed statements may come in any order, and more than once.
func TestPropertyMergeCommutesAndIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var statements []statement
		for range rapid.IntRange(1, 6).Draw(t, "n") {
			statements = append(statements, anyStatement(t))
		}
		now := time.Hour
		first := newBook(testBounds, time.Hour)
		for _, s := range statements {
			first.merge(s, false, now)
		}
		seed := rapid.Uint64().Draw(t, "shuffle")
		rng := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test's order
		rng.Shuffle(len(statements), func(i, j int) { statements[i], statements[j] = statements[j], statements[i] })
		second := newBook(testBounds, time.Hour)
		for _, s := range append(statements, statements...) {
			second.merge(s, false, now)
		}
		if d := cmp.Diff(shown(first, now), shown(second, now)); d != "" {
			t.Fatalf("another order, another book:\n%s", d)
		}
	})
}

// A record that is passed on does not become young again.
func TestRelayedRecordKeepsItsAge(t *testing.T) {
	port := federation.ServicePort{Service: federation.ServiceName{Namespace: "n", Name: "s"}, Port: 80}
	v := federation.Version{Epoch: 1, Sequence: 1}
	s := statement{Owner: "a", Beat: beat{Version: v}, Records: []record{{Port: port, Version: v, Renewed: 1, Age: 3 * time.Second, Count: Count{1, 1}}}}
	b := newBook(testBounds, time.Hour)
	b.merge(s, false, 10*time.Second)
	younger := s
	younger.Records = []record{{Port: port, Version: v, Renewed: 1, Age: 0, Count: Count{1, 1}}}
	b.merge(younger, false, 11*time.Second)
	if age := b.records(12 * time.Second)["a"][port].Age; age < 5*time.Second {
		t.Fatalf("age is %s, at least 5 s have passed since its owner spoke", age)
	}
}
