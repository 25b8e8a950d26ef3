package admin_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/causeway-mesh/causeway/federation/policystore/admin"
)

func TestBackupComesBackAsAnotherStoreWithItsUsers(t *testing.T) {
	r := newRig(t).start()
	root, _ := r.open("root")
	must(t, root.Init(t.Context(), admin.Init{}))
	must(t, root.AddCluster(t.Context(), admin.Cluster{Federation: "prod", Name: "a"}))
	_, err := r.raw("a").Put(t.Context(), prod+"members/a", "kept")
	must(t, err)
	before, err := root.Status(t.Context())
	must(t, err)
	file := filepath.Join(t.TempDir(), "store.db")
	b, err := root.Backup(t.Context(), file)
	must(t, err)
	if b.Revision != before.Revision || b.Keys != 1 || len(b.SHA256) != 64 {
		t.Errorf("backup %+v of revision %d", b, before.Revision)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup's mode: %v, %v", info.Mode(), err)
	}
	if _, err := root.Backup(t.Context(), file); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("over an earlier backup: %v", err)
	}
	_, err = r.raw("a").Put(t.Context(), prod+"members/a", "lost")
	must(t, err)
	r.stop()

	if _, err := admin.RestoreBackup(admin.Restore{File: file, DataDir: r.dir}); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("over a store's data: %v", err)
	}
	r.dir, r.address = filepath.Join(t.TempDir(), "new"), freeAddress(t)
	_, err = admin.RestoreBackup(admin.Restore{File: file, DataDir: r.dir})
	must(t, err)
	r.start()
	after, _ := r.open("root")
	s, err := after.Status(t.Context())
	must(t, err)
	if s.StoreID == before.StoreID || s.Revision != before.Revision || !s.Auth {
		t.Errorf("restored store %d at revision %d, authentication %t; it was %d at %d", s.StoreID, s.Revision, s.Auth, before.StoreID, before.Revision)
	}
	if resp, err := r.raw("a").Get(t.Context(), prod+"members/a"); err != nil || string(resp.Kvs[0].Value) != "kept" {
		t.Errorf("a's registration: %v, %v", resp, err)
	}
	accepts(t, r, after, s)
}

func accepts(t *testing.T, r *rig, a *admin.Admin, s admin.Status) {
	t.Helper()
	got, err := a.Accept(t.Context(), "prod")
	must(t, err)
	if got.StoreID != s.StoreID || got.Revision != uint64(s.Revision) {
		t.Errorf("accepted %+v of store %d at %d", got, s.StoreID, s.Revision)
	}
	resp, err := r.raw("a").Get(t.Context(), prod+"accepted")
	must(t, err)
	var v map[string]any
	must(t, json.Unmarshal(resp.Kvs[0].Value, &v))
	if id, ok := v["storeID"].(string); !ok || id == "" || v["schemaVersion"] != 1.0 || v["revision"] != float64(s.Revision) {
		t.Errorf("the key accepted holds %s", resp.Kvs[0].Value)
	}
	if _, err := a.Accept(t.Context(), "prodd"); err == nil || !strings.Contains(err.Error(), "check the federation's name") {
		t.Errorf("a federation that is not there: %v", err)
	}
}

func TestDamagedBackupIsNoBackup(t *testing.T) {
	r := newRig(t).start()
	root, _ := r.open("root")
	dir := t.TempDir()
	_, err := root.Backup(t.Context(), filepath.Join(dir, "good.db"))
	must(t, err)
	good, err := os.ReadFile(filepath.Join(dir, "good.db"))
	must(t, err)
	flipped := append([]byte(nil), good...)
	flipped[len(flipped)/2] ^= 1
	for name, data := range map[string][]byte{"cut.db": good[:len(good)-512], "short.db": good[:len(good)-7], "flipped.db": flipped, "empty.db": nil} {
		file := filepath.Join(dir, name)
		must(t, os.WriteFile(file, data, 0o600))
		if b, err := admin.ReadBackup(file); err == nil {
			t.Errorf("%s is read as %+v", name, b)
		}
		if _, err := admin.RestoreBackup(admin.Restore{File: file, DataDir: filepath.Join(dir, "to-"+name)}); err == nil {
			t.Errorf("%s is restored", name)
		}
	}
	several := admin.Restore{File: filepath.Join(dir, "good.db"), DataDir: filepath.Join(dir, "d"), Name: "x", PeerURL: "https://x:2380", InitialCluster: "x=https://x:2380,y=https://y:2380"}
	if _, err := admin.RestoreBackup(several); err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("several members without a token: %v", err)
	}
}

func TestCompactCheckFindsTheSlowestClusterAndWhereHistoryBegins(t *testing.T) {
	r := newRig(t).start()
	c := r.raw("root")
	var head int64
	for _, kv := range [][2]string{{"members/a", "{}"}, {"members/b", "{}"}, {"members/gone", "{}"}, {"presence/a", `{"schemaVersion":1,"applied":3}`}, {"presence/b", `{"schemaVersion":1,"applied":2}`}} {
		resp, err := c.Put(t.Context(), prod+kv[0], kv[1])
		must(t, err)
		head = resp.Header.Revision
	}
	root, _ := r.open("root")
	got, err := root.CompactCheck(t.Context(), "prod")
	must(t, err)
	want := admin.Compaction{Revision: head, Oldest: 1, Applied: []admin.Applied{{Cluster: "b", Revision: 2}, {Cluster: "a", Revision: 3}}, Away: []string{"gone"}}
	if diff := cmp.Diff(want, got); diff != "" || got.MayCompactTo() != 2 {
		t.Errorf("may compact to %d (-want +got):\n%s", got.MayCompactTo(), diff)
	}
	_, err = c.Compact(t.Context(), head-1, clientv3.WithCompactPhysical())
	must(t, err)
	got, err = root.CompactCheck(t.Context(), "prod")
	must(t, err)
	if got.Oldest != head-1 {
		t.Errorf("history begins at %d, want %d", got.Oldest, head-1)
	}
	if all := text(got.Findings()); !strings.Contains(all, "cluster b has applied revision 2") || !strings.Contains(all, "not present: gone") {
		t.Errorf("findings:\n%s", all)
	}
	if all := text(admin.Compaction{Revision: 200_000, Oldest: 1}.Findings()); !strings.Contains(all, "seems to be off") {
		t.Errorf("200 000 revisions:\n%s", all)
	}
}
