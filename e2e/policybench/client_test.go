package policybench

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/causeway-mesh/causeway/e2e/policybench/history"
	"github.com/causeway-mesh/causeway/e2e/testbed"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/policystore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for something that must come.
const patience = 2 * time.Minute

// etcdPath is the etcd that `make assets` builds.
func etcdPath(t testing.TB) string {
	t.Helper()
	bin, err := testbed.FindBin()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(cmp.Or(os.Getenv("KUBEBUILDER_ASSETS"), bin), "etcd")
}

func startEtcd(t testing.TB, members int) *Etcd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	e, err := Start(ctx, etcdPath(t), t.TempDir(), members)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// storeConfig is every store client's, whatever it is for.
func storeConfig(fed string, cluster federation.ClusterName, addresses ...string) policystore.Config {
	cfg := policystore.DefaultConfig()
	cfg.Federation, cfg.Cluster, cfg.Endpoints = fed, cluster, addresses
	cfg.Unsealed = true // signatures have tests and a benchmark of their own
	return cfg
}

// runStore runs a store's client until the test ends.
func runStore(t testing.TB, cfg policystore.Config, onChange func(policystore.State)) (*policystore.Store, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	s, err := policystore.New(cfg, policystore.Deps{Metrics: reg, OnChange: onChange})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, reg
}

func rawClient(t testing.TB, addresses ...string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{
		Endpoints: addresses, DialTimeout: 5 * time.Second, Logger: zap.NewNop(),
		DialKeepAliveTime: 5 * time.Second, DialKeepAliveTimeout: 3 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// await polls: what is waited for is in another process.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waiting for %s", what)
		case <-tick.C:
		}
	}
}

// fullReads is how often a store's client has read everything, by cause.
func fullReads(reg *prometheus.Registry, cause string) (n float64) {
	families, _ := reg.Gather()
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "causeway_policystore_full_reads_total" && m.GetLabel()[0].GetValue() == cause {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// The mark that an author leaves in what it writes, so that a reader can tell values
// apart: an export's port, a policy's maxRecordAge in seconds.

func exportOf(cluster federation.ClusterName, name string, id int) federation.Export {
	return federation.Export{
		Cluster: cluster, Service: federation.ServiceName{Namespace: "shop", Name: name},
		Ports: []federation.ExportedPort{{Name: "http", Port: uint16(id), Protocol: federation.TCP}}, //nolint:gosec // bounded by maxWrites
	}
}

func policyOf(cluster federation.ClusterName, name string, id int) federation.Policy {
	return federation.Policy{
		ID: federation.PolicyID{Origin: cluster, Namespace: "shop", Name: name},
		PolicyVersion: federation.PolicyVersion{
			Generation: int64(id), Targets: []federation.ServiceName{{Namespace: "shop", Name: name}},
			Rules: federation.Rules{MaxRecordAge: time.Duration(id) * time.Second},
		},
	}
}

// marked reads the mark out of a value as the store holds it.
func marked(value []byte) (history.Value, error) {
	var v struct {
		Order        uint64
		Ports        []struct{ Port int }
		MaxRecordAge string
	}
	if err := json.Unmarshal(value, &v); err != nil {
		return history.Value{}, err
	}
	if len(v.Ports) > 0 {
		return history.Value{ID: v.Ports[0].Port, Place: v.Order}, nil
	}
	age, err := time.ParseDuration(v.MaxRecordAge)
	return history.Value{ID: int(age / time.Second), Place: v.Order}, err
}

// viewOf is a State as the checks read it.
func viewOf(s policystore.State) history.View {
	v := history.View{Revision: s.Revision, Values: map[string]history.Value{}}
	for _, exports := range s.Exports {
		for _, e := range exports {
			v.Values["exports/"+string(e.Cluster)+"/"+e.Service.String()] = history.Value{ID: int(e.Ports[0].Port), Place: e.Order}
		}
	}
	for _, p := range s.Policies {
		v.Values["policies/"+string(p.ID.Origin)+"/"+p.ID.Namespace+"/"+p.ID.Name] = history.Value{ID: int(p.MaxRecordAge / time.Second), Place: p.Order}
	}
	return v
}
