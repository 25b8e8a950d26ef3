//go:build !race

package gossip

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/causeway-mesh/causeway/federation"
)

// tapped records what a fleet's first node is sent by its second, from now on: all that one who
// listens on the way, or relays, can replay.
func (f *fleet) tapped() (captured func() []frame) {
	var all []frame
	from, to := f.nodes[1], f.nodes[0]
	carry := from.deps.carry
	from.deps.carry = func(c federation.ClusterName, kind byte, body []byte) {
		if c == to.cfg.Cluster && kind != framePacket {
			all = append(all, frame{kind: kind, body: slices.Clone(body)})
		}
		carry(c, kind, body)
	}
	return func() []frame { return slices.Clone(all) }
}

// seen is all that a node shows, ages aside.
func (x *node) seen() any {
	status := map[federation.ClusterName]MemberStatus{}
	for c, m := range x.Members() {
		status[c] = m.Status
	}
	return []any{x.Records(), status}
}

// replays has a third member, which holds a key of its own, send captured frames to the
// first again, and says what they have changed.
func (f *fleet) replays(t *testing.T, at *node, frames []frame) {
	t.Helper()
	before, filed := at.seen(), at.filed()
	for _, fr := range frames {
		at.arrives(f.nodes[2].name, fr, 0)
	}
	ages := cmpopts.IgnoreFields(federation.HeldRecord{}, "Age")
	if d := cmp.Diff(before, at.seen(), ages); d != "" {
		t.Errorf("%d frames that were replayed have changed what is shown:\n%s", len(frames), d)
	}
	if now := at.filed(); now != filed {
		t.Errorf("what is held of the owner was %+v, and is %+v", filed, now)
	}
}

// filed is what a node holds of the second one, to the last beat.
func (x *node) filed() holding {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.archive.held("c1")
}

// captureOf is a fleet in which the second node has said three things, with the frames.
func captureOf(t *testing.T) (f *fleet, frames []frame) {
	t.Helper()
	f = newFleet(t, newWorld(0, 6), 4)
	f.settled(t, time.Minute)
	captured := f.tapped()
	for ready := range uint32(3) {
		f.flip(t, f.nodes[1], 10+ready)
	}
	time.Sleep(2 * time.Second) // and some beats
	frames = captured()
	kinds := map[byte]int{}
	for _, fr := range frames {
		kinds[fr.kind]++
	}
	if kinds[frameBatch] < 3 || kinds[frameBeat] < 1 {
		t.Fatalf("captured, by type: %v", kinds)
	}
	return f, frames
}

// FAULTS row 22.
func TestReplayedGossipChangesNothing(t *testing.T) {
	for name, after := range map[string]time.Duration{"after 1 s": time.Second, "after 10 min": 10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, frames := captureOf(t)
				defer f.stop()
				f.flip(t, f.nodes[1], 20)
				time.Sleep(after)
				f.replays(t, f.nodes[0], frames)
				f.flip(t, f.nodes[1], 21) // and the owner is heard
			})
		})
	}
	// The owner has restarted, and leads under a newer epoch.
	t.Run("after the owner's restart", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, frames := captureOf(t)
			defer f.stop()
			f.nodes[1].SetEpoch(2)
			f.flip(t, f.nodes[1], 20)
			f.replays(t, f.nodes[0], frames)
			f.flip(t, f.nodes[1], 21)
		})
	})
	// The reader has restarted, and has taken over what its standby held.
	t.Run("after the reader's restart", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, frames := captureOf(t)
			defer f.stop()
			old := f.nodes[0]
			s, stop := standby(t, f, old, func() time.Duration { return time.Millisecond })
			f.flip(t, f.nodes[1], 20)
			time.Sleep(3 * old.cfg.HeartbeatInterval)
			f.kill(old.name)
			stop()
			next := f.takesOver(t, old, s)
			next.ins = map[string]*incoming{}
			next.SetPeers(f.peers())
			next.accepts(f, f.nodes[2])
			if got := next.shows("c1"); got != 20 {
				t.Fatalf("it has taken over %d", got)
			}
			f.replays(t, next, frames)
		})
	})
}
