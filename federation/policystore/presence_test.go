package policystore_test

import (
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/policystore"
)

// brief leases, the shortest that etcd grants.
func brief(c *policystore.Config) {
	eager(c)
	c.PresenceTTL, c.ElectionTTL = 2*time.Second, 2*time.Second
}

func (s *store) brief(t *testing.T, cluster federation.ClusterName) *client {
	t.Helper()
	c := s.open(t, cluster, brief)
	await(t, "the first read", func() bool { return c.Status().Synced })
	return c
}

func (c *client) sees(cluster federation.ClusterName) bool {
	_, ok := c.State().Presence[cluster]
	return ok
}

func TestPresenceLastsWhileTheClientRunsAndTellsWhatIsApplied(t *testing.T) {
	s := startStore(t)
	a, b := s.brief(t, "a"), s.brief(t, "b")
	if a.SetPresence(federation.Presence{Applied: 7}); b.sees("a") {
		t.Error("present before it was registered")
	}
	a.register(t, "a")
	b.register(t, "b")
	a.publish(t, "a", "x")
	state := a.State()
	for i := range 200 { // far more often than may be written
		a.SetPresence(federation.Presence{Applied: state.ContentRevision - uint64(199-i)%2})
	}
	await(t, "what a has applied", func() bool { return b.State().Presence["a"].Applied == state.ContentRevision })
	if got := s.head(t) - int64(state.Revision); got > 4 { //nolint:gosec // small
		t.Errorf("200 calls made %d writes", got)
	}
	a.SetPresence(federation.Presence{Applied: state.ContentRevision + 1000})
	<-time.After(3 * time.Second) // more than a lease without renewal has
	if !b.sees("a") || b.State().Presence["a"].Applied != state.ContentRevision {
		t.Errorf("after a while there is %+v", b.State().Presence)
	}
	if got := b.State().ContentRevision; got != state.ContentRevision {
		t.Errorf("content went from %d to %d by presence alone", state.ContentRevision, got)
	}
	began := time.Now()
	a.stop()
	await(t, "a to be gone", func() bool { return !b.sees("a") })
	if took := time.Since(began); took > 1900*time.Millisecond {
		t.Errorf("the lease ran out, after %s, instead of being given back", took)
	}
	if !b.sees("b") || len(b.State().Members) != 2 {
		t.Error("more than the presence of a went")
	}
}

func TestPresenceOfANameThatIsAnothersIsNotWritten(t *testing.T) {
	s := startStore(t)
	first, second := s.brief(t, "a"), s.brief(t, "a")
	if err := first.Register(t.Context(), member("a", "uid-1")); err != nil {
		t.Fatal(err)
	}
	await(t, "presence", func() bool { return second.sees("a") })
	if err := second.Register(t.Context(), member("a", "uid-2")); err == nil {
		t.Fatal("the name was given twice")
	}
	first.stop()
	await(t, "the presence to go with its owner", func() bool { return !second.sees("a") })
	<-time.After(time.Second) // two chances to write it
	if second.sees("a") {
		t.Error("present by a name that is another's")
	}
}

func TestLosingTheStoreForLongerThanTheLeaseTakesNobodyOut(t *testing.T) {
	s := startStore(t)
	p := s.proxy(t)
	a := s.brief(t, "a")
	b := s.open(t, "b", func(c *policystore.Config) { brief(c); p.through(c) })
	await(t, "the first read", func() bool { return b.Status().Synced })
	a.register(t, "a")
	b.register(t, "b")
	p.setCut(true)
	await(t, "b's lease to run out", func() bool { return !a.sees("b") })
	if !b.sees("a") || !b.sees("b") {
		t.Error("the loss of the store took somebody out")
	}
	p.setCut(false)
	await(t, "b to be back", func() bool { return a.sees("b") && b.Status().Connected })
}
