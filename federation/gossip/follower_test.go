package gossip

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
)

// follows starts a standby of leader's cluster; verify may change what it trusts.
func follows(t *testing.T, ca *identitytest.CA, leader *seat, verify func([]*x509.Certificate) (federation.ClusterName, error)) (*Follower, context.CancelFunc) {
	t.Helper()
	source := ca.Source(testID(leader.cluster, identity.RoleOperator))
	if verify == nil {
		verify = verifyChain(source)
	}
	f, err := NewFollower(leader.cfg, FollowerDeps{
		Addresses: func() []string { return []string{"127.0.0.1:1", leader.address} }, // the first gateway has just gone
		Dial:      (&plug{}).dial, TLS: clientTLS(source, leader.cluster), VerifyChain: verify,
		Start: time.Now(), Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = f.Run(ctx); close(done) }()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	return f, stop
}

// shows says what a follower holds of another cluster's only service.
func (f *Follower) shows(c federation.ClusterName) uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if v := f.archive.volumes[c]; v != nil {
		return v.listed[wirePort].health.Ready
	}
	return 0
}

func TestStandbyFollowsItsLeaderAndTakesItsBookOver(t *testing.T) {
	ca := identitytest.NewCA(t, testDomain)
	east, west := newSeat(t, ca, "us-east"), newSeat(t, ca, "us-west")
	federate(t, east, west)
	west.say(2, 3)
	east.hears(t, "us-west", 2)
	f, stop := follows(t, ca, east, nil)
	await(t, "the standby to hold us-west's count", func() bool { return f.shows("us-west") == 2 })
	west.say(3, 3)
	await(t, "the standby to hold the change", func() bool { return f.shows("us-west") == 3 })
	if n := east.Members(); len(n) != 1 {
		t.Errorf("the standby counts as a member: %v", n)
	}
	stop()
	next := newSeat(t, ca, "us-east")
	next.deps.Follower = f
	next.start = f.deps.Start
	next.SetPeers(map[federation.ClusterName][]string{"us-west": {west.address}})
	if r, held := next.Records()["us-west"][wirePort]; !held || r.Ready != 3 || r.Age <= 0 {
		t.Errorf("taken over: %t, %+v", held, r)
	}
	if id, _, err := unseal(next.heldBatch("us-west")); err != nil || next.keys.chainOf(id) == nil {
		t.Errorf("it cannot be passed on: its key is not known (%v)", err)
	}
}

func TestStandbyVerifiesWhatItsLeaderTells(t *testing.T) {
	ca := identitytest.NewCA(t, testDomain)
	east, west := newSeat(t, ca, "us-east"), newSeat(t, ca, "us-west")
	federate(t, east, west)
	west.say(2, 3)
	east.say(1, 1)
	east.hears(t, "us-west", 2)
	trusted := verifyChain(ca.Source(testID("us-east", identity.RoleOperator)))
	f, _ := follows(t, ca, east, func(chain []*x509.Certificate) (federation.ClusterName, error) {
		c, err := trusted(chain)
		if c == "us-west" {
			err = errors.New("its bundle has been withdrawn")
		}
		return c, err
	})
	await(t, "the trusted one's count", func() bool { return f.shows("us-east") == 1 })
	await(t, "another connection, with the key again", func() bool { return f.refusals(t, refuseKey) > 1 })
	if f.Held() != 1 {
		t.Errorf("something is held of %d clusters", f.Held())
	}
}

func (f *Follower) refusals(t *testing.T, reason string) float64 {
	t.Helper()
	s := seat{metrics: f.deps.Metrics.(*prometheus.Registry)}
	return s.refusals(t, reason)
}

// Only our own standbys may follow, and they may do nothing else.
func TestFollowingIsForTheOwnCluster(t *testing.T) {
	ca := identitytest.NewCA(t, testDomain)
	east, west := newSeat(t, ca, "us-east"), newSeat(t, ca, "us-west")
	federate(t, east, west)
	west.say(2, 3)
	east.hears(t, "us-west", 2)
	for name, c := range map[string]struct {
		who    federation.ClusterName
		kind   byte
		frame  []byte
		reason string
	}{
		"another cluster follows":       {"us-west", kindFollow, nil, refuseCluster},
		"a standby takes a link":        {"us-east", kindLink, nil, refuseCluster},
		"a standby takes a stream":      {"us-east", kindStream, nil, refuseCluster},
		"a standby speaks of others":    {"us-east", kindFollow, appendFrame(nil, frameLack, 0, nil), refuseMalformed},
		"a standby's digest is none":    {"us-east", kindFollow, appendFrame(nil, frameDigest, 0, []byte{9, 'x'}), refuseMalformed},
		"a standby of a later version":  {"us-east", kindFollow, appendFrame(nil, 77, 0, nil), refuseUnknown},
		"a standby that says who it is": {"us-east", kindFollow, hello(), refuseMalformed},
	} {
		before := east.refusals(t, c.reason)
		conn, err := tls.Dial("tcp", east.address, newLiar(t, ca, c.who, "us-east").conf)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := conn.Write(append(preamble(c.kind), c.frame...)); err != nil {
			t.Fatal(err)
		}
		await(t, name+" to be refused as "+c.reason, func() bool { return east.refusals(t, c.reason) > before })
	}
}

func TestBookOfAnotherClockIsNotTakenOver(t *testing.T) {
	ca := identitytest.NewCA(t, testDomain)
	east := newSeat(t, ca, "us-east")
	federate(t, east)
	f, _ := follows(t, ca, east, nil)
	deps := east.deps
	deps.Metrics, deps.Follower, deps.Start = nil, f, f.deps.Start
	if _, err := New(east.cfg, deps); err != nil {
		t.Fatal(err)
	}
	deps.Start = deps.Start.Add(time.Second)
	if _, err := New(east.cfg, deps); err == nil {
		t.Error("its ages would be wrong by a second")
	}
}

func TestTimeOnTheWayToAStandbyIsAge(t *testing.T) {
	ca := identitytest.NewCA(t, testDomain)
	east := newSeat(t, ca, "us-east")
	federate(t, east)
	f, stop := follows(t, ca, east, nil)
	stop()
	owner := newLiar(t, ca, "us-west", "us-east")
	if err := f.take(frame{kind: frameKey, body: encodeChain(owner.cert.Certificate)}, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.take(frame{kind: frameBatch, body: encodeBatch(2*time.Second, owner.seal(t, down(1, 1)))}, 3*time.Second); err != nil {
		t.Fatal(err)
	}
	if r := f.archive.records(f.now())["us-west"][wirePort]; r.Age < 5*time.Second {
		t.Errorf("told 2 s old, 3 s on the way: %s", r.Age)
	}
}

func TestLagIsNeverLessThanTheTruth(t *testing.T) {
	const theirs = time.Hour // ahead of ours
	var l lag
	l.answered(0, theirs+3*time.Millisecond, 4*time.Millisecond) // there in 3 ms, back in 1
	for _, took := range []time.Duration{0, time.Millisecond, time.Second} {
		sent := 10 * time.Second
		if got := l.held(theirs+sent, sent+took); got < took || got > took+10*time.Millisecond {
			t.Errorf("%s on the way is read as %s", took, got)
		}
	}
	l.answered(20*time.Second, theirs+20*time.Second+time.Millisecond, 21*time.Second) // there in 1 ms
	if got := l.held(theirs+22*time.Second, 22*time.Second); got < 0 || got > 2*time.Millisecond {
		t.Errorf("after a quicker answer: %s", got)
	}
	l.answered(30*time.Second, theirs+32*time.Second, 33*time.Second) // there in 2 s: tells less
	if got := l.held(theirs+34*time.Second, 34*time.Second); got < 0 || got > 5*time.Millisecond {
		t.Errorf("after a slow one: %s", got)
	}
}
