package policybench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/e2e/policybench/history"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/policystore"
)

// maxWrites is bounded by what a port can be: an export's mark.
const maxWrites = 60_000

// author is one of the operators of a cluster; they write the same keys.
type author struct {
	r       *recorder
	n       int
	cluster federation.ClusterName
	store   *policystore.Store
	dice    *rand.Rand
}

func (r *recorder) author(t *testing.T, n int, cluster federation.ClusterName, dice *rand.Rand) *author {
	cfg := storeConfig(prefixName, cluster, r.etcd.Addresses()...)
	cfg.RequestTimeout, cfg.RetryMin, cfg.RetryMax = 2*time.Second, 50*time.Millisecond, 500*time.Millisecond
	a := &author{r: r, n: n, cluster: cluster, dice: dice}
	a.store, _ = runStore(t, cfg, nil)
	await(t, "an author's first read", func() bool { return a.store.Status().Synced })
	m := federation.Member{Name: cluster, Region: "r", TrustDomain: federation.TrustDomain(cluster + ".example"), InstanceID: "uid-" + string(cluster)}
	if err := a.store.Register(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return a
}

// work writes until ctx ends. What was begun is finished.
func (a *author) work(ctx context.Context) {
	for ctx.Err() == nil {
		name := fmt.Sprintf("x%d", a.dice.IntN(2))
		var o history.Operation
		switch a.dice.IntN(8) {
		case 0:
			o = a.deletion("exports", name)
		case 1:
			o = a.deletion("policies", name)
		case 2, 3, 4:
			o = a.export(name)
		default:
			o = a.policy(name)
		}
		a.r.record(o)
		if o.Unknown { // while the store is away all fail at once, and no checker can order thousands of them
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}
}

func (a *author) key(kind, name string) string {
	return kind + "/" + string(a.cluster) + "/shop/" + name
}

func (a *author) export(name string) history.Operation {
	o := history.Operation{Client: a.n, Key: a.key("exports", name), Value: history.Value{ID: a.r.id()}, Called: a.r.now()}
	e, err := a.store.PutExport(context.Background(), exportOf(a.cluster, name, o.Value.ID))
	return finish(o, a.r.now(), e.Order, 0, err)
}

func (a *author) policy(name string) history.Operation {
	o := history.Operation{Client: a.n, Key: a.key("policies", name), Value: history.Value{ID: a.r.id()}, Called: a.r.now()}
	p, err := a.store.PutPolicy(context.Background(), policyOf(a.cluster, name, o.Value.ID))
	return finish(o, a.r.now(), p.Order, p.Revision, err)
}

func (a *author) deletion(kind, name string) history.Operation {
	o := history.Operation{Client: a.n, Key: a.key(kind, name), Kind: history.Delete, Called: a.r.now()}
	var err error
	if kind == "exports" {
		err = a.store.DeleteExport(context.Background(), federation.ServiceName{Namespace: "shop", Name: name})
	} else {
		err = a.store.DeletePolicy(context.Background(), federation.PolicyID{Origin: a.cluster, Namespace: "shop", Name: name})
	}
	return finish(o, a.r.now(), 0, 0, err)
}

// finish notes what an author was told: after an error, nothing.
func finish(o history.Operation, now time.Duration, place, revision uint64, err error) history.Operation {
	o.Returned, o.Unknown = now, err != nil
	if err == nil {
		o.Value.Place, o.Revision = place, revision
	}
	return o
}

// read asks a key's value through the quorum now and then.
func (r *recorder) reads(ctx context.Context, keys []string, dice *rand.Rand) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		o := history.Operation{Client: -1, Key: keys[dice.IntN(len(keys))], Kind: history.Read, Called: r.now()}
		bounded, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		resp, err := r.raw.Get(bounded, prefix+o.Key)
		cancel()
		if err == nil && len(resp.Kvs) > 0 {
			o.Value, err = marked(resp.Kvs[0].Value)
		}
		o.Returned, o.Unknown = r.now(), err != nil
		r.record(o)
	}
}
