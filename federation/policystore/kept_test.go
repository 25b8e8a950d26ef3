package policystore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/policystore"
)

// shelf is a Memory of one process after another.
type shelf struct {
	mu     sync.Mutex
	data   []byte
	proven time.Time
	proofs int   // kept without data
	silent error // what Recall says
	kept   int
}

func (m *shelf) Recall(context.Context) ([]byte, time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.data, m.proven, m.silent
}

func (m *shelf) Keep(_ context.Context, data []byte, proven time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept++
	if data == nil {
		m.proofs++
	} else {
		m.data = data
	}
	m.proven = proven
	return nil
}

// client is one of cluster "a" with the shelf for its memory.
func (m *shelf) client(t *testing.T, s *store, own *identity.Source) *client {
	t.Helper()
	return s.launch(t, "a", own, func(cfg *policystore.Config, deps *policystore.Deps) { deps.Memory = m })
}

func TestAProcessThatStartsWithoutTheStoreKnowsWhatTheLastOneKnew(t *testing.T) {
	s, m := startStore(t), &shelf{}
	a := m.client(t, s, s.ca.Source(operator("a")))
	await(t, "the first read", func() bool { return a.Status().Synced })
	a.register(t, "a")
	a.publish(t, "a", "x")
	await(t, "all to be kept", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return !m.proven.IsZero() && kept(m) == a.State().ContentRevision
	})
	a.stop()
	s.stop()
	m.proven = m.proven.Add(-time.Hour) // an hour has passed since

	again := m.client(t, s, s.ca.Source(operator("a")))
	await(t, "what was kept", func() bool { return again.has("x") })
	st, state := again.Status(), again.State()
	if st.Synced || !state.Kept || len(state.Members) != 1 {
		t.Errorf("synced %t, kept %t, %d members", st.Synced, state.Kept, len(state.Members))
	}
	if st.Age < time.Hour || st.Age > time.Hour+5*time.Minute {
		t.Errorf("it is %s old", st.Age)
	}
	s.start()
	await(t, "the store", func() bool { return again.Status().Synced })
	if state := again.State(); state.Kept || !again.has("x") {
		t.Errorf("after the store was read: kept %t", state.Kept)
	}
}

// kept is the content revision of what lies on the shelf; the caller holds mu.
func kept(m *shelf) uint64 { return policystore.KeptRevision(m.data) }

func TestWhatWasKeptIsVerifiedAgain(t *testing.T) {
	s, m := startStore(t), &shelf{}
	a := m.client(t, s, s.ca.Source(operator("a")))
	await(t, "the first read", func() bool { return a.Status().Synced })
	a.register(t, "a")
	a.publish(t, "a", "x")
	await(t, "all to be kept", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return kept(m) == a.State().ContentRevision
	})
	a.stop()
	s.stop()
	m.data = policystore.ForgeKept(m.data, "/exports/a/shop/x", `"earlyData":false`, `"earlyData":true`)
	again := m.client(t, s, s.ca.Source(operator("a")))
	await(t, "what was kept", func() bool { return len(again.State().Members) == 1 })
	if again.has("x") {
		t.Error("an export that somebody has changed is believed")
	}
}

func TestAStoreThatWentBackWhileNobodyRanIsRefused(t *testing.T) {
	s, m := startStore(t), &shelf{}
	a := m.client(t, s, s.ca.Source(operator("a")))
	await(t, "the first read", func() bool { return a.Status().Synced })
	a.register(t, "a")
	backup := s.copied(t)
	await(t, "the store again", func() bool { return a.Status().Connected })
	a.publish(t, "a", "x")
	await(t, "all to be kept", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return kept(m) == a.State().ContentRevision
	})
	a.stop()
	s.rollBack(t, backup)
	again := m.client(t, s, s.ca.Source(operator("a")))
	again.awaitReason(t, policystore.Rewound)
	if !again.has("x") {
		t.Error("what was known is gone")
	}
}

func TestAMemoryThatCouldNotBeReadIsNotWrittenOver(t *testing.T) {
	for silent, want := range map[error]bool{errors.New("no answer"): false, policystore.ErrMemoryBroken: true} {
		s, m := startStore(t), &shelf{silent: silent}
		a := m.client(t, s, s.ca.Source(operator("a")))
		await(t, "the first read", func() bool { return a.Status().Synced })
		a.register(t, "a")
		<-time.After(7 * time.Second) // longer than the pause between two looks: there is no condition for what must not come
		m.mu.Lock()
		if (m.kept > 0) != want {
			t.Errorf("%v: written %d times", silent, m.kept)
		}
		m.mu.Unlock()
		a.stop()
	}
}
