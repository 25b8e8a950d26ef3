package policystore_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.uber.org/zap"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/policystore"
)

// eager looks often, so that tests need not wait for it.
func eager(c *policystore.Config) {
	c.ProofInterval, c.RetryMax, c.RequestTimeout = 100*time.Millisecond, 300*time.Millisecond, 3*time.Second
}

func knowing(k policystore.Known) func(*policystore.Config) {
	return func(c *policystore.Config) { eager(c); c.Known = k }
}

// snapshot is what `etcdctl snapshot save` writes.
func (s *store) snapshot(t *testing.T) []byte {
	t.Helper()
	r, err := s.raw(t).Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data[:len(data)-len(data)%512] // without the checksum behind it
}

// restore puts a stopped store back to a snapshot, as `etcdutl snapshot restore` does:
// under an ID of its own.
func (s *store) restore(t *testing.T, snapshot []byte) {
	t.Helper()
	s.dir = t.TempDir()
	db := filepath.Join(s.dir, "etcd", "member", "snap", "db")
	if err := os.MkdirAll(filepath.Dir(db), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(db, snapshot, 0o600); err != nil {
		t.Fatal(err)
	}
	be := backend.NewDefaultBackend(zap.NewNop(), db)
	members := schema.NewMembershipBackend(zap.NewNop(), be)
	if err := errors.Join(members.TrimMembershipFromBackend(), members.TrimClusterFromBackend()); err != nil {
		t.Fatal(err)
	}
	members.MustCreateBackendBuckets()
	tx := be.BatchTx()
	tx.LockOutsideApply()
	schema.UnsafeUpdateConsistentIndexForce(tx, 0, 0)
	tx.Unlock()
	if err := be.Close(); err != nil {
		t.Fatal(err)
	}
	s.start()
}

// copied stops the store, copies its data and starts it again: a backup that keeps the ID.
func (s *store) copied(t *testing.T) (dir string) {
	t.Helper()
	s.stop()
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	s.start()
	return dir
}

// rollBack replaces the data by a copy of the copy.
func (s *store) rollBack(t *testing.T, backup string) {
	t.Helper()
	s.stop()
	s.dir = t.TempDir()
	if err := os.CopyFS(s.dir, os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	s.start()
}

func (c *client) publish(t *testing.T, cluster federation.ClusterName, name string) {
	t.Helper()
	if _, err := c.PutExport(t.Context(), export(cluster, name)); err != nil {
		t.Fatal(err)
	}
	await(t, "export "+name, func() bool { return c.has(name) })
}

func (c *client) has(name string) bool {
	return len(c.State().Exports[federation.ServiceName{Namespace: "shop", Name: name}]) > 0
}

func (c *client) awaitReason(t *testing.T, r policystore.Reason) policystore.Status {
	t.Helper()
	await(t, "reason "+string(r), func() bool { return c.Status().Reason == r })
	return c.Status()
}

func (c *client) gauge(t *testing.T, name string) float64 {
	t.Helper()
	families, err := c.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func (s *store) accept(t *testing.T) policystore.Acceptance {
	t.Helper()
	a, err := policystore.Accept(t.Context(), s.config("a"))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (s *store) head(t *testing.T) int64 {
	t.Helper()
	resp, err := s.raw(t).Get(t.Context(), "x", clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(err)
	}
	return resp.Header.Revision
}

func TestStoreRestoredFromASnapshotIsRefusedUntilAPersonAccepts(t *testing.T) {
	s := startStore(t)
	c := s.open(t, "a", eager)
	await(t, "the first read", func() bool { return c.Status().Synced })
	c.register(t, "a")
	c.publish(t, "a", "kept")
	c.publish(t, "a", "deleted-later")
	backup := s.snapshot(t)
	c.publish(t, "a", "new")
	if err := c.DeleteExport(t.Context(), federation.ServiceName{Namespace: "shop", Name: "deleted-later"}); err != nil {
		t.Fatal(err)
	}
	await(t, "the deletion", func() bool { return !c.has("deleted-later") })
	was := c.Status().Known
	s.stop()
	s.restore(t, backup)
	head := s.head(t)
	st := c.awaitReason(t, policystore.Rewound)
	if st.Connected || !strings.Contains(st.Message, "causewayctl store accept") || c.gauge(t, "causeway_policystore_rewound_ratio") != 1 {
		t.Errorf("connected %t, rewound %v: %s", st.Connected, c.gauge(t, "causeway_policystore_rewound_ratio"), st.Message)
	}
	c.SetPresence(federation.Presence{Applied: c.State().Revision})
	if _, err := c.PutExport(t.Context(), export("a", "kept")); !errors.Is(err, policystore.ErrRewound) {
		t.Errorf("publishing to a store that went back: %v", err)
	}
	if got := s.head(t); got != head {
		t.Errorf("the store went from %d to %d: something was written", head, got)
	}
	if c.has("deleted-later") || !c.has("new") {
		t.Error("the older policy was applied")
	}
	a := s.accept(t)
	c.awaitReason(t, policystore.Connected)
	if !c.has("deleted-later") || c.has("new") || !c.has("kept") {
		t.Errorf("after the acceptance there is %v", c.State().Exports)
	}
	if k := c.Status().Known; k.StoreID != a.StoreID || k.StoreID == was.StoreID || k.Revision < a.Revision {
		t.Errorf("known is %+v, accepted was %+v", k, a)
	}
	if got := c.gauge(t, "causeway_policystore_rewound_ratio"); got != 0 {
		t.Errorf("rewound is %v still", got)
	}
	c.publish(t, "a", "after")
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := false
	for _, state := range c.states {
		_, has := state.Exports[federation.ServiceName{Namespace: "shop", Name: "kept"}]
		if seen && !has {
			t.Error("what stays was gone for a moment")
		}
		seen = seen || has
	}
}

func TestAcceptanceThatTheBackupBringsBackDoesNotCount(t *testing.T) {
	s := startStore(t)
	c := s.open(t, "a", eager)
	await(t, "the first read", func() bool { return c.Status().Synced })
	c.register(t, "a")
	first := s.copied(t)
	c.awaitReason(t, policystore.Connected)
	c.publish(t, "a", "x")
	s.rollBack(t, first)
	c.awaitReason(t, policystore.Rewound)
	s.accept(t)
	c.awaitReason(t, policystore.Connected)
	if c.has("x") {
		t.Error("the accepted store has no x")
	}
	c.publish(t, "a", "y")
	second := s.copied(t) // holds the acceptance
	c.awaitReason(t, policystore.Connected)
	c.publish(t, "a", "z")
	remembered := c.Status().Known
	s.rollBack(t, second)
	c.awaitReason(t, policystore.Rewound)
	relooked := s.open(t, "b", knowing(remembered))
	relooked.awaitReason(t, policystore.Rewound)
	if c.Status().Reason != policystore.Rewound || !c.has("z") {
		t.Fatalf("an old acceptance counted: %s", c.Status().Message)
	}
	s.accept(t)
	c.awaitReason(t, policystore.Connected)
	relooked.awaitReason(t, policystore.Connected)
	if c.has("z") || !c.has("y") {
		t.Errorf("after the acceptance there is %v", c.State().Exports)
	}
}

func TestRestartedClientRefusesWhatWentBackWhileItWasAway(t *testing.T) {
	s := startStore(t)
	c := s.client(t, "a")
	c.register(t, "a")
	backup := s.copied(t)
	c.awaitReason(t, policystore.Connected)
	c.publish(t, "a", "x")
	c.publish(t, "a", "y")
	known := c.Status().Known
	c.stop()
	s.rollBack(t, backup)
	numbers := policystore.Known{StoreID: known.StoreID, Revision: known.Revision}
	again, bare := s.open(t, "a", knowing(known)), s.open(t, "b", knowing(numbers))
	for _, one := range []*client{again, bare} {
		if st := one.awaitReason(t, policystore.Rewound); st.Synced {
			t.Error("its content was taken over")
		}
	}
	s.accept(t)
	for _, one := range []*client{again, bare} {
		one.awaitReason(t, policystore.Connected)
	}
	// Who comes later knows by its lineage that the acceptance is a new one.
	late := s.open(t, "c", knowing(known))
	late.awaitReason(t, policystore.Connected)
	// Without it, the acceptance may have been in the backup.
	if _, err := s.raw(t).Put(t.Context(), "/other", ""); err != nil {
		t.Fatal(err)
	}
	numbers.Revision = 1000
	lost := s.open(t, "d", knowing(numbers))
	lost.awaitReason(t, policystore.Rewound)
	s.accept(t)
	lost.awaitReason(t, policystore.Connected)
}

func TestStoreThatWentBackAndGrewIsToldByTheLineage(t *testing.T) {
	s := startStore(t)
	c := s.client(t, "a")
	c.register(t, "a")
	backup := s.copied(t)
	c.awaitReason(t, policystore.Connected)
	c.publish(t, "a", "x")
	put := c.Status().Known
	if err := c.DeleteExport(t.Context(), federation.ServiceName{Namespace: "shop", Name: "x"}); err != nil {
		t.Fatal(err)
	}
	await(t, "the deletion", func() bool { return !c.has("x") })
	deleted := c.Status().Known
	c.stop()
	s.rollBack(t, backup)
	raw := s.raw(t)
	for s.head(t) < int64(deleted.Revision)+5 { //nolint:gosec // small
		if _, err := raw.Put(t.Context(), "/causeway/v1/prod/exports/b/shop/x", "{}"); err != nil {
			t.Fatal(err)
		}
	}
	head := s.head(t)
	for what, known := range map[string]policystore.Known{"a change": put, "a deletion": deleted} {
		again := s.open(t, "n", knowing(known))
		// From the first moment on nothing is written, though the numbers look right.
		for again.Status().Reason == policystore.NotSynced {
			if err := again.Register(t.Context(), member("n", "uid-n")); err == nil {
				t.Fatal("a store that was not compared yet was written to")
			}
		}
		if st := again.awaitReason(t, policystore.Rewound); st.Synced {
			t.Errorf("the loss of %s was not told: %s", what, st.Message)
		}
		if err := again.Register(t.Context(), member("n", "uid-n")); !errors.Is(err, policystore.ErrRewound) {
			t.Errorf("writing to it: %v", err)
		}
	}
	if got := s.head(t); got != head {
		t.Errorf("the store went from %d to %d: something was written", head, got)
	}
	// By numbers alone nobody can tell.
	deleted.Lineage = ""
	s.open(t, "a", knowing(deleted)).awaitReason(t, policystore.Connected)
}

func TestSameStoreIsRecognisedAfterRestartAndCompaction(t *testing.T) {
	s := startStore(t)
	c := s.client(t, "a")
	c.register(t, "a")
	c.publish(t, "a", "x")
	known := c.Status().Known
	changed := export("a", "x")
	changed.EarlyData = true
	if _, err := c.PutExport(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	c.stop()
	s.open(t, "b", knowing(known)).awaitReason(t, policystore.Connected)
	raw := s.raw(t)
	if _, err := raw.Compact(t.Context(), s.head(t)); err != nil {
		t.Fatal(err)
	}
	s.open(t, "c", knowing(known)).awaitReason(t, policystore.Connected)
}
