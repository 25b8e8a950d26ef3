package gossip

import (
	"bytes"
	"crypto/tls"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
	"github.com/causeway-mesh/causeway/federation/routefeed/wiretest"
)

// liar is a real member, with its own key, that says what it likes.
type liar struct {
	cert *tls.Certificate
	conf *tls.Config
}

func newLiar(t *testing.T, ca *identitytest.CA, c, to federation.ClusterName) liar {
	t.Helper()
	s := ca.Source(testID(c, identity.RoleOperator))
	cert, err := certificate(s)()
	if err != nil {
		t.Fatal(err)
	}
	return liar{cert, clientTLS(s, to)}
}

func hello() []byte { return appendFrame(nil, frameHello, 0, encodeHello(holding{})) }

func (l liar) key() []byte { return appendFrame(nil, frameKey, 0, encodeChain(l.cert.Certificate)) }

func (l liar) seal(t *testing.T, b batch) []byte {
	t.Helper()
	sealed, err := seal(l.cert, b.payload())
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func batchFrame(sealed []byte) []byte {
	return appendFrame(nil, frameBatch, 0, encodeBatch(0, sealed))
}

func down(epoch, sequence uint64) batch {
	return batch{Version: federation.Version{Epoch: epoch, Sequence: sequence}, Snapshot: true,
		Items: []item{{Port: wirePort, Health: federation.Health{Total: 2}}}}
}

// heldBatch is the newest batch of an owner as a seat holds it.
func (s *seat) heldBatch(c federation.ClusterName) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.archive.volumes[c].last().sealed
}

// FAULTS rows 20 and 22, and the rogue cluster of the threats: nothing that a member
// says of another one changes anything, and every refusal is counted for what it is.
func TestWhatAMemberSaysOfAnotherChangesNothing(t *testing.T) {
	ca := identitytest.NewCA(t, testDomain)
	east, west := newSeat(t, ca, "us-east"), newSeat(t, ca, "us-west")
	federate(t, east, west)
	peers := map[federation.ClusterName][]string{"us-east": {east.address}, "eu-west": nil}
	west.SetPeers(peers)
	east.say(2, 2)
	west.hears(t, "us-east", 2)
	old := west.heldBatch("us-east")
	east.say(1, 2)
	west.hears(t, "us-east", 1)

	mallory := newLiar(t, ca, "eu-west", "us-west")
	forged := mallory.seal(t, down(9, 1))
	copy(forged[1:9], old[1:9]) // under us-east's key
	changed := bytes.Clone(west.heldBatch("us-east"))
	changed[len(changed)-2]++ // another count
	changed[sealHead+2] += 4  // of a change that is yet to come
	later := bytes.Clone(old)
	later[0] = 9
	stranger9 := mallory.seal(t, down(1, 1))
	stranger9[1] ^= 0xff
	foreign := identitytest.NewCA(t, testDomain)
	fake := newLiar(t, foreign, "us-east", "us-west")
	gateway, err := certificate(ca.Source(testID("us-east", identity.RoleGateway)))()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		reason string
		frames [][]byte
	}{
		"signed with its own key":        {refuseSignature, [][]byte{batchFrame(forged)}},
		"changed on the way":             {refuseSignature, [][]byte{batchFrame(changed)}},
		"replayed":                       {refuseReplayed, [][]byte{batchFrame(old)}},
		"unsigned, relayed":              {refuseUnsigned, [][]byte{appendFrame(nil, frameRelay, 0, encode(statement{Owner: "us-east", Floor: 9}))}},
		"unsigned, in a batch's place":   {refuseUnsigned, [][]byte{batchFrame(encode(statement{Owner: "us-east", Floor: 9}))}},
		"unsigned, by who can sign":      {refuseUnsigned, [][]byte{appendFrame(nil, frameOwn, 0, encode(statement{Owner: "us-east", Floor: 9}))}},
		"of a later version":             {refuseVersion, [][]byte{batchFrame(later)}},
		"by a key that nobody knows":     {refuseUnknownKey, [][]byte{batchFrame(stranger9)}},
		"by a key of another authority":  {refuseKey, [][]byte{fake.key()}},
		"by a gateway's key":             {refuseKey, [][]byte{appendFrame(nil, frameKey, 0, encodeChain(gateway.Certificate))}},
		"with a beat that is made up":    {refuseSignature, [][]byte{appendFrame(nil, frameBeat, 0, encodeBeacon(beacon{Owner: "us-east", Version: federation.Version{Epoch: 1, Sequence: 2}, Ticks: 2000}))}},
		"of a cluster that is not known": {refuseCluster, [][]byte{appendFrame(nil, frameBeat, 0, encodeBeacon(beacon{Owner: "nobody", Version: federation.Version{Epoch: 1, Sequence: 1}}))}},
		"cut short":                      {refuseMalformed, [][]byte{batchFrame(old[:40])}},
		"in a digest that is none":       {refuseMalformed, [][]byte{appendFrame(nil, frameDigest, 0, []byte{9, 'x'})}},
	} {
		before := west.refusals(t, c.reason)
		stranger(t, west.address, mallory.conf, append([][]byte{hello(), mallory.key()}, c.frames...)...)
		await(t, name+" to be refused as "+c.reason, func() bool { return west.refusals(t, c.reason) > before })
	}
	if r := west.Records()["us-east"][wirePort]; r.Ready != 1 || r.Version.Epoch != 1 {
		t.Fatalf("another member has changed the record to %+v", r)
	}
	east.say(0, 2) // and the owner is still heard
	west.hears(t, "us-east", 0)
}

func TestOwnerWithTooManyServicesIsRefused(t *testing.T) {
	ca := identitytest.NewCA(t, testDomain)
	west := newSeat(t, ca, "us-west")
	west.limit.services = 1
	federate(t, west)
	west.SetPeers(map[federation.ClusterName][]string{"eu-west": nil})
	owner := newLiar(t, ca, "eu-west", "us-west")
	b := down(1, 1)
	for p := range 3 {
		b.Items = append(b.Items, item{Port: federation.ServicePort{Service: wirePort.Service, Port: uint16(1000 + p)}})
	}
	stranger(t, west.address, owner.conf, hello(), owner.key(), batchFrame(owner.seal(t, b)))
	await(t, "the refusal", func() bool { return west.refusals(t, refuseServices) == 1 })
}

// Decision 2: a leader that was replaced learns it from its successor's signed word.
func TestSupersededLeaderIsShownItsSuccessorsSignedWord(t *testing.T) {
	ca := identitytest.NewCA(t, testDomain)
	east, west := newSeat(t, ca, "us-east"), newSeat(t, ca, "us-west")
	epochs := make(chan uint64, 1)
	east.deps.Superseded = func(e uint64) { epochs <- e }
	federate(t, east, west)
	east.say(2, 2)
	west.hears(t, "us-east", 2)
	successor := newLiar(t, ca, "us-east", "us-west")
	stranger(t, west.address, successor.conf, hello(), successor.key(), batchFrame(successor.seal(t, down(2, 1))))
	west.hears(t, "us-east", 0)
	east.say(1, 2)
	select {
	case e := <-epochs:
		if e != 2 {
			t.Errorf("epoch %d", e)
		}
	case <-time.After(time.Minute):
		t.Fatal("the old leader was not told")
	}
	if r := west.Records()["us-east"][wirePort]; r.Ready != 0 || r.Version.Epoch != 2 {
		t.Errorf("the old leader's word counts: %+v", r)
	}
}

// One who still speaks under an older epoch is answered, on the same connection, with
// the key and the batch that prove the newer one.
func TestStaleEpochIsAnsweredWithTheNewersProof(t *testing.T) {
	ca := identitytest.NewCA(t, testDomain)
	west := newSeat(t, ca, "us-west")
	federate(t, west)
	west.SetPeers(map[federation.ClusterName][]string{"us-east": nil})
	owner := newLiar(t, ca, "us-east", "us-west")
	newer := owner.seal(t, down(2, 1))
	conn, err := tls.Dial("tcp", west.address, owner.conf)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write(preamble(kindLink))
	for _, f := range [][]byte{hello(), owner.key(), batchFrame(newer), batchFrame(owner.seal(t, down(1, 7)))} {
		_, _ = conn.Write(f)
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	for _, want := range []byte{frameHello, frameKey, frameBatch} {
		f, err := readFrame(conn, 1<<20)
		if err != nil || f.kind != want {
			t.Fatalf("frame of type %d, want %d: %v", f.kind, want, err)
		}
		if _, sealed, _ := splitBatch(f.body); want == frameBatch && !bytes.Equal(sealed, newer) {
			t.Error("the proof is not the newer leader's own batch, unchanged")
		}
	}
}

// The seat is lost and taken again in one reign: what is said anew goes past what was said.
func TestSeatTakenAgainUnderTheSameEpochIsHeard(t *testing.T) {
	ca := identitytest.NewCA(t, testDomain)
	east, west := newSeat(t, ca, "us-east"), newSeat(t, ca, "us-west")
	federate(t, east, west)
	for i := range uint32(5) {
		east.say(i, 9)
		west.hears(t, "us-east", i)
	}
	east.stop()
	<-east.done
	again := newSeat(t, ca, "us-east")
	again.start = east.start
	federate(t, again)
	west.SetPeers(map[federation.ClusterName][]string{"us-east": {again.address}})
	again.SetPeers(map[federation.ClusterName][]string{"us-west": {west.address}})
	again.say(9, 9)
	west.hears(t, "us-east", 9)
}

func TestKeyRotationIsFollowed(t *testing.T) {
	ca := identitytest.NewCA(t, testDomain)
	east, west := newSeat(t, ca, "us-east"), newSeat(t, ca, "us-west")
	federate(t, east, west)
	east.say(2, 2)
	west.hears(t, "us-east", 2)
	if err := east.source.SetKeyPair(ca.Issue(testID("us-east", identity.RoleOperator))); err != nil {
		t.Fatal(err)
	}
	cert, err := certificate(east.source)()
	if err != nil {
		t.Fatal(err)
	}
	id := keyOf(cert.Certificate[0])
	await(t, "a statement under the new key", func() bool { return bytes.Equal(west.heldBatch("us-east")[1:9], id[:]) })
	east.say(1, 2)
	west.hears(t, "us-east", 1)
}

// A key that its authority no longer vouches for signs nothing that counts.
func TestKeyIsVerifiedAgain(t *testing.T) {
	ca, other := identitytest.NewCA(t, testDomain), identitytest.NewCA(t, testDomain)
	source := ca.Source(testID("us-west", identity.RoleOperator))
	east := newLiar(t, ca, "us-east", "us-west")
	ring := newKeyring(verifyChain(source), 5*time.Second)
	if _, err := ring.learn(encodeChain(east.cert.Certificate), 0); err != nil {
		t.Fatal(err)
	}
	sealed := east.seal(t, down(1, 1))
	if err := source.SetBundle(testDomain, other.Bundle()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ring.open(sealed, 6*time.Second); err == nil || reasonOf(err) != refuseKey {
		t.Errorf("after the bundle was replaced: %v", err)
	}
}

func TestKeysOfOneOwnerAreBounded(t *testing.T) {
	ca := identitytest.NewCA(t, testDomain)
	ring := newKeyring(verifyChain(ca.Source(testID("us-west", identity.RoleOperator))), time.Hour)
	var last keyID
	for i := range 2 * maxKeysPerOwner {
		ca.Now = ca.Now.Add(time.Duration(i) * time.Second)
		l := newLiar(t, ca, "us-east", "us-west")
		last = keyOf(l.cert.Certificate[0])
		if _, err := ring.learn(encodeChain(l.cert.Certificate), 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(ring.keys); n != maxKeysPerOwner || ring.keys[last] == nil {
		t.Errorf("%d keys are kept, the newest: %t", n, ring.keys[last] != nil)
	}
}

// oldPeer is a cluster of version 1: it skips frames beyond that, answers pings, and
// hands out the statements that it is told.
func oldPeer(t *testing.T, ca *identitytest.CA, c federation.ClusterName) (address string, heard <-chan statement) {
	t.Helper()
	config := ca.Source(testID(c, identity.RoleOperator)).ServerConfig(operators(func(federation.ClusterName) bool { return true }), federation.ALPNGossip)
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	out, done := make(chan statement, 64), make(chan struct{})
	serve := func(conn net.Conn) {
		defer conn.Close()
		if kind, err := readPreamble(conn); err != nil || kind != kindLink {
			return
		}
		for {
			f, err := readFrame(conn, 1<<20)
			if err != nil {
				return
			}
			switch f.kind {
			case framePing:
				_, _ = conn.Write(appendFrame(nil, framePong, 0, nil))
			case frameOwn:
				all, err := decode(f.body, testBounds)
				if err != nil {
					return
				}
				out <- all[0]
			}
		}
	}
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String(), out
}

// Decision: N and N-1 in one federation, in both directions.
func TestPeerOfVersion1IsToldAndHeard(t *testing.T) {
	ca := identitytest.NewCA(t, testDomain)
	east := newSeat(t, ca, "us-east")
	address, heard := oldPeer(t, ca, "eu-west")
	federate(t, east)
	east.say(2, 2)
	east.SetPeers(map[federation.ClusterName][]string{"eu-west": {address}})
	var got statement
	for len(got.Records) == 0 {
		got = next(t, heard)
	}
	if !got.Complete || got.Records[0].Count != (Count{2, 2}) {
		t.Errorf("it is told %+v", got)
	}
	east.say(1, 2)
	for got.Records == nil || got.Records[0].Count.Ready != 1 {
		got = next(t, heard)
	}
	for range 2 {
		if got = next(t, heard); got.Beat.Version.Sequence == 0 {
			t.Errorf("no beat: %+v", got)
		}
	}
	v := federation.Version{Epoch: 1, Sequence: 1}
	truth := statement{Owner: "eu-west", Floor: 1, Complete: true, Records: []record{{Port: wirePort, Version: v, Renewed: 1, Count: Count{3, 3}}}}
	stranger(t, east.address, newLiar(t, ca, "eu-west", "us-east").conf, appendFrame(nil, frameOwn, 0, encode(truth)))
	east.hears(t, "eu-west", 3)
}

func next(t *testing.T, heard <-chan statement) statement {
	t.Helper()
	select {
	case s := <-heard:
		return s
	case <-time.After(time.Minute):
		t.Fatal("nothing more is said")
		return statement{}
	}
}

// Once a cluster has signed, only a newer reign may speak unsigned again: a downgrade.
func TestUnsignedWordCountsOnlyUnderANewerEpoch(t *testing.T) {
	ca := identitytest.NewCA(t, testDomain)
	west := newSeat(t, ca, "us-west")
	federate(t, west)
	west.SetPeers(map[federation.ClusterName][]string{"eu-west": nil})
	owner := newLiar(t, ca, "eu-west", "us-west")
	stranger(t, west.address, owner.conf, hello(), owner.key(), batchFrame(owner.seal(t, down(5, 1))))
	west.hears(t, "eu-west", 0)
	unsigned := func(epoch uint64) []byte {
		v := federation.Version{Epoch: epoch, Sequence: 9}
		return appendFrame(nil, frameOwn, 0, encode(statement{Owner: "eu-west", Floor: epoch, Records: []record{{Port: wirePort, Version: v, Renewed: 9, Count: Count{2, 2}}}}))
	}
	stranger(t, west.address, owner.conf, unsigned(5))
	await(t, "the refusal", func() bool { return west.refusals(t, refuseUnsigned) == 1 })
	stranger(t, west.address, owner.conf, unsigned(6))
	west.hears(t, "eu-west", 2)
	stranger(t, west.address, owner.conf, hello(), owner.key(), batchFrame(owner.seal(t, down(7, 1))))
	west.hears(t, "eu-west", 0)
}

func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// FAULTS row 20: a member that sends as fast as it can, on as many connections as it
// likes, is read at its budget's pace, and the others are heard meanwhile.
func TestFloodIsReadAtItsSendersBudget(t *testing.T) {
	ca := identitytest.NewCA(t, testDomain)
	east, west := newSeat(t, ca, "us-east"), newSeat(t, ca, "us-west")
	federate(t, east, west)
	west.SetPeers(map[federation.ClusterName][]string{"us-east": {east.address}, "eu-west": nil})
	mallory := newLiar(t, ca, "eu-west", "us-west")
	wrong := mallory.seal(t, down(1, 1))
	wrong[20]++
	began := time.Now() // its budget begins later
	for range 4 {
		mallory.floods(t, west.address, bytes.Repeat(batchFrame(wrong), 64))
	}
	burst := float64(west.cfg.FrameBurst)
	await(t, "the burst to be used up", func() bool { return west.refusals(t, refuseSignature) >= burst+1000 })
	used, from := cpu(t), time.Now()
	for i := range uint32(10) {
		east.say(i%3, 2)
		west.hears(t, "us-east", i%3)
		<-time.After(100 * time.Millisecond)
	}
	read, took := west.refusals(t, refuseSignature), time.Since(began)
	t.Logf("%.0f forged batches were looked at in %s; flooder, victim and test together took %.0f %% of a core",
		read, took, 100*float64(cpu(t)-used)/float64(time.Since(from)))
	// What a machine that stood still has not read in time it may read at once, later.
	if limit := burst + float64(west.cfg.FrameRate)*took.Seconds() + 1; read > limit {
		t.Errorf("%.0f in %s, at most %.0f are due", read, took, limit)
	}
}

// floods opens a link and writes the same frames on it again and again, until the test ends.
func (l liar) floods(t *testing.T, address string, frames []byte) {
	t.Helper()
	conn, err := tls.Dial("tcp", address, l.conf)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = conn.Write(preamble(kindLink))
		_, err := conn.Write(append(hello(), l.key()...))
		for err == nil {
			_, err = conn.Write(frames)
		}
	}()
	t.Cleanup(func() { _ = conn.NetConn().Close(); <-done })
}

func TestBucketGivesItsRate(t *testing.T) {
	for size, want := range map[int]int{0: 1000, tokenBytes - 1: 1000, tokenBytes: 500, 9 * tokenBytes: 100} {
		b := bucket{rate: 100, burst: 10, level: 10}
		now, n := time.Duration(0), 0
		for ; now < 10*time.Second; n++ {
			now += b.take(size, now)
		}
		if n < want || n > want+20 {
			t.Errorf("%d of %d bytes in 10 s, want %d", n, size, want)
		}
	}
}

// Who is no peer any more leaves no budget behind, and who comes again has the old one.
func TestBudgetOutlivesConnectionsAndGoesWithThePeer(t *testing.T) {
	g, _ := alone(t)
	b := g.budget("b")
	if g.budget("b") != b || g.budget("c") == b {
		t.Error("a budget is not its peer's alone, or another one each time")
	}
	g.SetPeers(map[federation.ClusterName][]string{"c": nil})
	if g.budget("b") == b {
		t.Error("a former peer's budget is kept")
	}
}

func TestFramesOfSignedGossipAreThoseOfTheFixtures(t *testing.T) {
	v := federation.Version{Epoch: 3, Sequence: 40}
	h := []holding{{Owner: "us-east", Epoch: 3, Base: 12, Upto: 40, Ticks: 7}, {Owner: "eu-west"}}
	b := beacon{Owner: "us-east", Version: v, Ticks: 300, Knot: knot{1, 2, 3}, Age: 1500 * time.Millisecond}
	if got, err := decodeHoldings(wiretest.Same(t, "signed-digest", encodeHoldings(h)), testBounds); err != nil || cmp.Diff(h, got) != "" {
		t.Errorf("digest %+v, %v", got, err)
	}
	if got, err := decodeBeacon(wiretest.Same(t, "signed-beat", encodeBeacon(b))); err != nil || got != b {
		t.Errorf("beat %+v, %v", got, err)
	}
	if got, err := decodeHello(wiretest.Same(t, "signed-hello", encodeHello(h[0])), "us-east"); err != nil || got != h[0] {
		t.Errorf("hello %+v, %v", got, err)
	}
	for name, want := range signedPayloads() {
		got, err := decodeItems(wiretest.Same(t, name, want.payload()), testBounds.services)
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", name, err, d)
		}
	}
	if k := (knot{1, 2, 3}).next(); !bytes.Equal(k[:], wiretest.Same(t, "signed-knot", k[:])) {
		t.Errorf("the knot after it is %x now", k)
	}
}

func signedPayloads() map[string]batch {
	return map[string]batch{
		"signed-flip": {Version: federation.Version{Epoch: 3, Sequence: 41}, Stamp: 90 * time.Second, End: knot{9},
			Items: []item{{Port: wirePort, Health: federation.Health{Ready: 2, Total: 3}}}},
		"signed-snapshot": {Version: federation.Version{Epoch: 3, Sequence: 40}, Stamp: time.Hour, End: knot{8}, Snapshot: true, Items: []item{
			{Port: wirePort, Health: federation.Health{Ready: 1, Total: 2, Capacity: 100, Load: federation.Measure{Known: true, PerMille: 250},
				Errors: federation.Measure{Known: true}, Zones: []federation.ZoneCount{{Zone: "us-east-1a", Ready: 1, Total: 2}}}},
			{Port: federation.ServicePort{Service: wirePort.Service, Port: 443}, Withdrawn: true}}},
	}
}
