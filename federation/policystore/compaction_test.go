package policystore_test

import (
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/causeway-mesh/causeway/federation/policystore"
)

// Row 10 of the fault matrix. Without replica.retain the deletions are missed; with a new
// replica that is published page by page, what stays is gone for a moment.
func TestTenThousandKeysCompactedWhileTheWatcherSleptAreReadWithoutGaps(t *testing.T) {
	const count, deleted, batch = 10_000, 3000, 100
	s := startStore(t)
	raw, p := s.raw(t), s.proxy(t)
	key := func(i int) string { return fmt.Sprintf("/causeway/v1/prod/exports/b/shop/svc-%05d", i) }
	transact := func(n int, op func(i int) clientv3.Op) {
		for from := 0; from < n; from += batch {
			var ops []clientv3.Op
			for i := from; i < from+batch; i++ {
				ops = append(ops, op(i))
			}
			if _, err := raw.Txn(t.Context()).Then(ops...).Commit(); err != nil {
				t.Fatal(err)
			}
		}
	}
	transact(count, func(i int) clientv3.Op {
		return clientv3.OpPut(key(i), fmt.Sprintf(`{"schemaVersion":1,"order":%d,"ports":[]}`, i+1))
	})
	c := s.open(t, "a", func(cfg *policystore.Config) { eager(cfg); p.through(cfg); cfg.Unsealed = true })
	await(t, "all keys", func() bool { return len(c.State().Exports) == count })
	p.setCut(true)
	transact(deleted, func(i int) clientv3.Op { return clientv3.OpDelete(key(i)) })
	if _, err := raw.Compact(t.Context(), s.head(t)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p.setCut(false)
	await(t, "the deletions to be found", func() bool { return len(c.State().Exports) == count-deleted })
	t.Logf("back, and %d keys read, after %s", count-deleted, time.Since(began))
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, state := range c.states {
		if n := len(state.Exports); n < count-deleted {
			t.Errorf("only %d of the %d keys that stay were there for a moment", n, count-deleted)
		}
	}
}
