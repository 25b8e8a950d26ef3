package gossip

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
)

func four(t *testing.T) (*identitytest.CA, []*seat) {
	t.Helper()
	ca := identitytest.NewCA(t, testDomain)
	var seats []*seat
	for _, c := range []federation.ClusterName{"ap-south", "eu-west", "us-east", "us-west"} {
		seats = append(seats, newSeat(t, ca, c))
	}
	return ca, seats
}

func TestFlipReachesEveryMember(t *testing.T) {
	_, seats := four(t)
	federate(t, seats...)
	for _, s := range seats {
		s.say(2, 2)
	}
	for _, s := range seats {
		for _, o := range seats {
			s.hears(t, o.cluster, 2)
		}
	}
	seats[0].say(0, 2)
	for _, s := range seats {
		s.hears(t, seats[0].cluster, 0)
	}
	seats[0].Publish(nil) // the export ends
	for _, s := range seats {
		await(t, "the withdrawal", func() bool { return s.Records()[seats[0].cluster][wirePort].Withdrawn })
	}
}

// Two members have no connection at all: the others pass on what they say, and it
// stays young only by its owner's word.
func TestFlipReachesAMemberThatCannotBeDialled(t *testing.T) {
	_, seats := four(t)
	first, last := seats[0], seats[3]
	first.plug.barred, last.plug.barred = []string{last.address}, []string{first.address}
	federate(t, seats...)
	first.say(2, 2)
	last.hears(t, first.cluster, 2)
	first.say(1, 2)
	last.hears(t, first.cluster, 1)
	await(t, "the suspicion", func() bool { return last.Members()[first.cluster].Status != Alive })
	await(t, "renewal from afar", func() bool {
		r := last.Records()[first.cluster][wirePort]
		last.mu.Lock()
		defer last.mu.Unlock()
		return last.archive.volumes[first.cluster].ticks > 8 && r.Age < 2*time.Second
	})
}

func TestDeathIsNoticedByAllAndChangesNobodyElse(t *testing.T) {
	_, seats := four(t)
	federate(t, seats...)
	for _, s := range seats {
		s.say(2, 2)
	}
	for _, s := range seats {
		for _, o := range seats {
			if s != o {
				await(t, "everybody alive", func() bool { return s.Members()[o.cluster].Status == Alive })
				s.hears(t, o.cluster, 2)
			}
		}
	}
	dead, rest := seats[0], seats[1:]
	dead.plug.pull()
	for _, s := range rest {
		await(t, "the death at "+string(s.cluster), func() bool { return s.Members()[dead.cluster].Status == Dead })
		if r := s.Records()[dead.cluster][wirePort]; r.Ready != 2 || r.Withdrawn {
			t.Errorf("%s has changed the dead one's record to %+v: that is its owner's alone", s.cluster, r)
		}
	}
	for _, s := range rest {
		for _, o := range rest {
			if s != o {
				await(t, "the others alive", func() bool { return s.Members()[o.cluster].Status == Alive })
			}
		}
	}
}

// stranger is a connection of somebody who speaks the protocol, and is not what it says.
func stranger(t *testing.T, address string, config *tls.Config, frames ...[]byte) {
	t.Helper()
	c, err := tls.Dial("tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_, _ = c.Write(preamble(kindLink)) // a refusal shows in the counter
	for _, f := range frames {
		_, _ = c.Write(f)
	}
}

func TestWrongIdentityChangesNothing(t *testing.T) {
	ca := identitytest.NewCA(t, testDomain)
	east, west := newSeat(t, ca, "us-east"), newSeat(t, ca, "us-west")
	federate(t, east, west)
	east.say(2, 2)
	west.hears(t, "us-east", 2)
	foreign := identitytest.NewCA(t, testDomain)
	liar := foreign.Source(testID("us-east", identity.RoleOperator))
	if err := liar.SetBundle(testDomain, ca.Bundle()); err != nil {
		t.Fatal(err)
	}
	// It says that nothing of us-east is ready, in a reign that is yet to come.
	lie := appendFrame(nil, frameOwn, 0, encode(statement{Owner: "us-east", Floor: 9, Complete: true,
		Beat: beat{Version: federation.Version{Epoch: 9, Sequence: 9}}}))
	for name, c := range map[string]struct {
		config *tls.Config
		reason string
	}{
		"a foreign authority":    {clientTLS(liar, "us-west"), refuseHandshake},
		"a gateway":              {clientTLS(ca.Source(testID("us-east", identity.RoleGateway)), "us-west"), refuseHandshake},
		"a cluster that is none": {clientTLS(ca.Source(testID("mallory", identity.RoleOperator)), "us-west"), refuseCluster},
		"its own cluster's name": {clientTLS(ca.Source(testID("us-west", identity.RoleOperator)), "us-west"), refuseCluster},
		"another federation's":   {clientTLS(ca.Source(identity.ID{TrustDomain: testDomain, Federation: "staging", Cluster: "us-east", Role: identity.RoleOperator}), "us-west"), refuseHandshake},
	} {
		before := west.refusals(t, c.reason)
		stranger(t, west.address, c.config, lie)
		await(t, name+" to be refused", func() bool { return west.refusals(t, c.reason) > before })
	}
	if r := west.Records()["us-east"][wirePort]; r.Ready != 2 || r.Version.Epoch != 1 {
		t.Fatalf("a stranger has changed the record to %+v", r)
	}
	east.say(1, 2) // and the owner is still heard
	west.hears(t, "us-east", 1)
}

// A real member speaks for another one.
func TestOnlyTheOwnerSpeaksForItself(t *testing.T) {
	ca := identitytest.NewCA(t, testDomain)
	east, west := newSeat(t, ca, "us-east"), newSeat(t, ca, "us-west")
	federate(t, east, west)
	west.SetPeers(map[federation.ClusterName][]string{"us-east": {east.address}, "eu-west": nil})
	east.say(2, 2)
	west.hears(t, "us-east", 2)
	v := federation.Version{Epoch: 9, Sequence: 1}
	lie := encode(statement{Owner: "us-east", Floor: 9, Records: []record{{Port: wirePort, Version: v, Renewed: 1, Count: Count{0, 2}}}})
	truth := encode(statement{Owner: "eu-west", Floor: 1, Records: []record{{Port: wirePort, Version: federation.Version{Epoch: 1, Sequence: 1}, Renewed: 1, Count: Count{3, 3}}}})
	stranger(t, west.address, clientTLS(ca.Source(testID("eu-west", identity.RoleOperator)), "us-west"),
		appendFrame(nil, frameOwn, 0, lie),
		appendFrame(nil, 77, 0, []byte("a later version's")), // skipped, and the link goes on
		appendFrame(nil, frameOwn, 0, truth))
	west.hears(t, "eu-west", 3)
	if r := west.Records()["us-east"][wirePort]; r.Ready != 2 || r.Version.Epoch != 1 {
		t.Fatalf("another member has changed the record to %+v", r)
	}
	if west.refusals(t, refuseNotOwner) != 1 || west.refusals(t, refuseUnknown) != 1 {
		t.Errorf("%v not its owner's, %v of an unknown type, want one each", west.refusals(t, refuseNotOwner), west.refusals(t, refuseUnknown))
	}
}

// What is shown of a peer goes with it.
func TestFormerPeerIsOffTheMetrics(t *testing.T) {
	_, seats := four(t)
	federate(t, seats...)
	up := func() int {
		n, err := testutil.GatherAndCount(seats[0].metrics, "causeway_gossip_link_up_ratio")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	await(t, "three links", func() bool { return up() == 3 })
	seats[0].SetPeers(map[federation.ClusterName][]string{seats[1].cluster: {seats[1].address}})
	await(t, "one link", func() bool { return up() == 1 })
}

// Who exports nothing is heard all the same.
func TestWhoExportsNothingIsHeardToSpeak(t *testing.T) {
	_, seats := four(t)
	federate(t, seats...)
	quiet, reader := seats[0], seats[1]
	if age, heard := reader.Spoken()[quiet.cluster]; heard {
		t.Errorf("it has said nothing, and spoke %s ago", age)
	}
	quiet.Publish(nil)
	await(t, "its word", func() bool { _, heard := reader.Spoken()[quiet.cluster]; return heard })
	began := time.Now()
	await(t, "its renewal", func() bool { return time.Since(began) > time.Second && reader.Spoken()[quiet.cluster] < time.Second })
	if held := reader.Records()[quiet.cluster]; len(held) > 0 {
		t.Errorf("%v", held)
	}
}
