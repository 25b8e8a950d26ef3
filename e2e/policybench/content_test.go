//go:build bench

package policybench

import (
	"context"
	"fmt"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/policystore"
)

// Two federations with names of one length share the store: what ours read, and the same
// bytes under another prefix for the bare clients. So only one side is woken by a put.
const (
	ownFederation = "bench-own"
	rawFederation = "bench-raw"
)

// imports is how many services an agent imports: the policies that it can see at work.
const imports = 20

// batch is how many keys are put in one transaction; etcd takes 128.
const batch = 100

// exporters are the clusters that export what agents import, one in each region.
var exporters = []federation.ClusterName{"east", "west"}

func serviceAt(i int) federation.ServiceName {
	return federation.ServiceName{Namespace: "shop", Name: fmt.Sprintf("svc-%05d", i)}
}

// content is what the store holds.
type content struct {
	raw  *clientv3.Client
	keys []string // of the policies, without their prefix
	// values of each policy, in both versions: its regions in one order and the other. What
	// no agent imports has one version only.
	values [][2]string
	size   int // bytes of all values
	flips  map[string]int
}

func prefixOf(fed string) string { return "/causeway/v1/" + fed + "/" }

// load has authors write n policies of 1 KiB, and copies them for the bare clients.
func load(t *testing.T, e *Etcd, n int) *content {
	t.Helper()
	c := &content{raw: rawClient(t, e.Addresses()...), flips: map[string]int{}}
	authors := register(t, e)
	for i := range n {
		c.keys = append(c.keys, fmt.Sprintf("policies/east/shop/svc-%05d", i))
		versions := [2]string{}
		for v := range 2 {
			if v == 0 || i < imports {
				if _, err := authors[0].PutPolicy(t.Context(), kibPolicy(i, v)); err != nil {
					t.Fatal(err)
				}
			}
			versions[v] = c.get(t, prefixOf(ownFederation)+c.keys[i])
		}
		c.values = append(c.values, versions)
	}
	c.copy(t)
	return c
}

// register makes the exporters known, and gives their stores.
func register(t *testing.T, e *Etcd) (authors []*policystore.Store) {
	t.Helper()
	for i, cluster := range exporters {
		s, _ := runStore(t, storeConfig(ownFederation, cluster, e.Addresses()...), nil)
		await(t, "an author's first read", func() bool { return s.Status().Synced })
		m := federation.Member{
			Name: cluster, Region: federation.Region(exporters[i]), InstanceID: "uid-" + string(cluster),
			TrustDomain: federation.TrustDomain(cluster + ".example"),
		}
		if err := s.Register(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		for j := range imports {
			if _, err := s.PutExport(t.Context(), exportOf(cluster, serviceAt(j).Name, 80)); err != nil {
				t.Fatal(err)
			}
		}
		authors = append(authors, s)
	}
	return authors
}

// kibPolicy is a policy of about 1 KiB in one of its versions.
func kibPolicy(i, version int) federation.Policy {
	p := federation.Policy{ID: federation.PolicyID{Origin: "east", Namespace: "shop", Name: serviceAt(i).Name}}
	p.Generation, p.Targets, p.Regions = int64(version+1), []federation.ServiceName{serviceAt(i)}, []federation.Region{"east", "west"}
	if version == 1 {
		p.Regions = []federation.Region{"west", "east"}
	}
	for j := range 9 {
		p.Targets = append(p.Targets, federation.ServiceName{Namespace: "shop", Name: fmt.Sprintf("none-%05d-%d-%s", i, j, strings.Repeat("x", 44))})
	}
	return p
}

func (c *content) get(t *testing.T, key string) string {
	t.Helper()
	resp, err := c.raw.Get(t.Context(), key)
	if err != nil || len(resp.Kvs) != 1 {
		t.Fatalf("reading %s: %v", key, err)
	}
	return string(resp.Kvs[0].Value)
}

// copy puts everything under the bare clients' prefix too.
func (c *content) copy(t *testing.T) {
	t.Helper()
	all, err := c.raw.Get(t.Context(), prefixOf(ownFederation), clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range all.Kvs {
		c.size += len(kv.Value)
		key := strings.Replace(string(kv.Key), ownFederation, rawFederation, 1)
		if _, err := c.raw.Put(t.Context(), key, string(kv.Value)); err != nil {
			t.Fatal(err)
		}
	}
}

// next is the value to put under a policy's key now: each time the other version.
func (c *content) next(fed string, i int) clientv3.Op {
	key := prefixOf(fed) + c.keys[i]
	v := c.flips[key] % 2 // the load ended with version 1
	c.flips[key]++
	return clientv3.OpPut(key, c.values[i][v])
}

// version is the one that a policy has in a federation now.
func (c *content) version(fed string, i int) int {
	return (c.flips[prefixOf(fed)+c.keys[i]] + 1) % 2
}

// put changes the policies from..to in one transaction and returns its revision.
func (c *content) put(t *testing.T, fed string, from, to int) uint64 {
	t.Helper()
	var ops []clientv3.Op
	for i := from; i < to; i++ {
		ops = append(ops, c.next(fed, i))
	}
	resp, err := c.raw.Txn(context.Background()).Then(ops...).Commit()
	if err != nil {
		t.Fatal(err)
	}
	return uint64(resp.Header.Revision) //nolint:gosec // never negative
}

// replace changes them all.
func (c *content) replace(t *testing.T, fed string) (revision uint64) {
	t.Helper()
	for i := 0; i < len(c.keys); i += batch {
		revision = c.put(t, fed, i, min(i+batch, len(c.keys)))
	}
	return revision
}
