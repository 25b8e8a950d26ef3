//go:build !race

package gossip

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
)

// slow is a connection on which reading takes a while.
type slow struct {
	net.Conn
	by func() time.Duration
}

func (s slow) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	time.Sleep(s.by())
	return n, err
}

// standby follows a node of a world over a connection as slow as by says, until stop.
func standby(t *testing.T, f *fleet, of *node, by func() time.Duration) (s *Follower, stop func()) {
	t.Helper()
	source := identitytest.NewCA(t, testDomain).Source(testID(of.cfg.Cluster, identity.RoleOperator))
	s, err := NewFollower(of.cfg, FollowerDeps{
		Addresses: func() []string { return nil }, Dial: (&plug{}).dial, TLS: clientTLS(source, of.cfg.Cluster),
		VerifyChain: of.deps.VerifyChain, Start: time.Now().Add(-time.Hour), // its own clock is none of the leader's
	})
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	go func() { _ = newAcceptor(of.Gossip).serve(far, of.cfg.Cluster, kindFollow); done <- struct{}{} }()
	go func() { _ = s.follow(ctx, slow{near, by}); done <- struct{}{} }()
	return s, func() {
		cancel()
		_, _ = near.Close(), far.Close()
		<-done
		<-done
	}
}

// takesOver makes a seat of a dead leader's cluster that has followed it.
func (f *fleet) takesOver(t *testing.T, dead *node, s *Follower) *node {
	t.Helper()
	cfg := dead.cfg
	cfg.Epoch++
	deps := dead.deps
	deps.Start, deps.Follower = s.deps.Start, s
	g, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	return &node{Gossip: g, name: dead.name}
}

func (f *fleet) peers() map[federation.ClusterName][]string {
	out := map[federation.ClusterName][]string{}
	for _, x := range f.nodes {
		out[x.cfg.Cluster] = nil
	}
	return out
}

// A standby that takes over has every record at once, none younger than its leader knew
// it, and so none younger than true; and none much older.
func TestStandbyTakesOverWithEveryRecordAndItsTrueAge(t *testing.T) {
	for name, by := range map[string]func() time.Duration{
		"nearby": func() time.Duration { return time.Millisecond },
		"starved": func() func() time.Duration {
			n := 0
			return func() time.Duration { n++; return time.Duration(n%3) * 5 * time.Millisecond }
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, newWorld(0, 5), 12)
				defer f.stop()
				f.settled(t, time.Minute)
				leader, silent := f.nodes[0], f.nodes[7]
				s, stop := standby(t, f, leader, by)
				f.flip(t, f.nodes[3], 33)
				time.Sleep(10 * time.Second)
				f.kill(silent.name) // an owner that says nothing more: nobody makes it young again
				died := time.Now()
				time.Sleep(7 * time.Second)
				f.tells(leader, f.nodes[4], 44)
				time.Sleep(3 * leader.cfg.HeartbeatInterval)
				f.kill(leader.name)
				knew := leader.Records()
				stop()
				next := f.takesOver(t, leader, s)
				next.SetPeers(f.peers())
				got := next.Records()
				for c, records := range knew {
					for p, want := range records {
						r, held := got[c][p]
						if c == leader.cfg.Cluster {
							continue // its own word it will say itself
						}
						late := r.Age - want.Age
						if !held || late < 0 || late > leader.cfg.HeartbeatInterval+500*time.Millisecond {
							t.Errorf("%s: held %t, %s old, the leader knew it %s old", c, held, r.Age, want.Age)
						}
						if d := cmp.Diff(want.HealthRecord, r.HealthRecord); d != "" {
							t.Errorf("%s:\n%s", c, d)
						}
					}
				}
				if r := got[silent.cfg.Cluster][wirePort]; r.Age < time.Since(died) {
					t.Errorf("the silent owner's word is %s old, and it has been silent for %s", r.Age, time.Since(died))
				}
			})
		})
	}
}

// tells changes a node's word and waits until one other node holds it.
func (f *fleet) tells(at, of *node, ready uint32) {
	of.say(ready)
	for at.shows(of.cfg.Cluster) != ready {
		time.Sleep(time.Millisecond)
	}
}

func TestNothingIsTakenOverOfWhoIsNoMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, newWorld(0, 6), 4)
		defer f.stop()
		f.settled(t, time.Minute)
		s, stop := standby(t, f, f.nodes[0], func() time.Duration { return time.Millisecond })
		time.Sleep(3 * time.Second)
		stop()
		next := f.takesOver(t, f.nodes[0], s)
		if got := next.Records(); len(got) > 0 {
			t.Errorf("before anybody is known: %d clusters", len(got))
		}
		peers := f.peers()
		delete(peers, "c2")
		next.SetPeers(peers)
		if got := next.Records(); len(got) != 2 || got["c2"] != nil {
			t.Errorf("c2 has left: %d clusters, %v", len(got), got["c2"])
		}
		next.SetPeers(f.peers()) // it joins again
		if got := next.Records(); len(got) != 3 || got["c2"] == nil {
			t.Errorf("c2 is back: %d clusters", len(got))
		}
	})
}

// Followed is quiet: what it costs a leader of twelve clusters that say nothing new.
func TestFollowingAnIdleBookCostsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, newWorld(0, 7), 12)
		defer f.stop()
		f.settled(t, time.Minute)
		s, stop := standby(t, f, f.nodes[0], func() time.Duration { return time.Millisecond })
		defer stop()
		time.Sleep(5 * time.Second)
		sent := func() float64 {
			var in, out dto.Metric
			if err := errors.Join(s.metrics.bytes.WithLabelValues("in").Write(&in), s.metrics.bytes.WithLabelValues("out").Write(&out)); err != nil {
				t.Fatal(err)
			}
			return in.GetCounter().GetValue() + out.GetCounter().GetValue()
		}
		before := sent()
		time.Sleep(time.Minute)
		if got := (sent() - before) / 60; got > 1500 {
			t.Errorf("%.0f bytes a second", got)
		} else {
			t.Logf("%.0f bytes a second", got)
		}
	})
}
