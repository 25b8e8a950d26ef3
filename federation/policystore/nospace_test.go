package policystore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/causeway-mesh/causeway/federation/policystore"
)

func TestFullStoreIsToldWhileTheWatchStandsAndWhenItIsOver(t *testing.T) {
	s := startStore(t)
	s.stop()
	s.quota = 1 << 20
	s.start()
	c := s.open(t, "a", eager)
	await(t, "the first read", func() bool { return c.Status().Synced })
	c.register(t, "a")
	raw := s.raw(t)
	filling := strings.Repeat("x", 200<<10)
	var err error
	for i := 0; err == nil && i < 1000; i++ { // the quota counts what etcd has committed, ten times a second
		_, err = raw.Put(t.Context(), fmt.Sprintf("/filling/%d", i), filling)
	}
	if !errors.Is(err, rpctypes.ErrNoSpace) {
		t.Fatalf("the store is not full: %v", err)
	}
	began := time.Now()
	st := c.awaitReason(t, policystore.NoSpace) // without a write of ours
	if took := time.Since(began); took > 10*time.Second || !st.Connected || !strings.Contains(st.Message, "disarm") {
		t.Errorf("told after %s, connected %t: %s", took, st.Connected, st.Message)
	}
	if _, err := c.PutExport(t.Context(), export("a", "x")); !errors.Is(err, policystore.ErrNoSpace) {
		t.Errorf("writing to a full store: %v", err)
	}
	if _, err := raw.Delete(t.Context(), "/filling/", clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Compact(t.Context(), s.head(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Defragment(t.Context(), s.address); err != nil {
		t.Fatal(err)
	}
	if _, err := raw.AlarmDisarm(t.Context(), &clientv3.AlarmMember{}); err != nil {
		t.Fatal(err)
	}
	c.awaitReason(t, policystore.Connected)
	c.publish(t, "a", "x")
}
