//go:build bench

package policybench

import (
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/causeway-mesh/causeway/federation/policystore"
)

// resyncKeys of 1 KiB are read anew, 1 % of them changed.
const resyncKeys, resyncs = 10_000, 5

// TestBenchResync lets a reader sleep until the store has forgotten what it missed. The
// time runs from its first connection until its State stands for the newest revision.
func TestBenchResync(t *testing.T) {
	e := startEtcd(t, 1)
	c := load(t, e, resyncKeys)
	if c.size < resyncKeys*1000 {
		t.Fatalf("the store holds %d bytes, too few for a figure", c.size)
	}
	cut, err := NewCut(e.Members[0].Address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cut.Close() }()
	o := newObserver()
	reader, reg := runStore(t, storeConfig(ownFederation, "reader", cut.Address()), func(s policystore.State) { o.note(s.Revision) })
	await(t, "the reader's first read", func() bool { return reader.Status().Synced })
	var took, lists []time.Duration
	var bytes, listed int64
	for range resyncs {
		cut.Set(true)
		await(t, "the reader to be lost", func() bool { return !reader.Status().Connected })
		c.put(t, ownFederation, 0, batch/2)
		revision := c.put(t, ownFederation, batch/2, batch)                    // the last revision is never forgotten
		if _, err := c.raw.Compact(t.Context(), int64(revision)); err != nil { //nolint:gosec // etcd's own
			t.Fatal(err)
		}
		before := cut.Received()
		cut.Set(false)
		at := lastOf(t, []*observer{o}, revision)
		took, bytes = append(took, at.Sub(cut.First())), bytes+cut.Received()-before
		d, n := list(t, e.Members[0].Address)
		lists, listed = append(lists, d), listed+n
	}
	if got := fullReads(reg, "compacted"); got != resyncs {
		t.Fatalf("the reader read everything %v times, not %d", got, resyncs)
	}
	keep(t, "resync_10k", took)
	figure("resync_10k_ms", ms(quantile(took, 0.5)), "ms")
	figure("resync_10k_max_ms", ms(quantile(took, 1)), "ms")
	figure("raw_list_10k_ms", ms(quantile(lists, 0.5)), "ms")
	figure("resync_10k_bytes_ratio", hundredths(float64(bytes)/float64(listed)), "ratio")
}

// list reads everything in one request: how long it takes and what it costs.
func list(t *testing.T, address string) (time.Duration, int64) {
	t.Helper()
	cut, err := NewCut(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cut.Close() }()
	client := peerClient(t, cut.Address())
	defer func() { _ = client.Close() }()
	began := time.Now()
	if _, err := client.Get(t.Context(), prefixOf(ownFederation), clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	return time.Since(began), cut.Received()
}
