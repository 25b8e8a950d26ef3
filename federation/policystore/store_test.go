package policystore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
	"github.com/causeway-mesh/causeway/federation/policystore"
	"github.com/causeway-mesh/causeway/federation/policystore/server"
)

// store is a real one on loopback.
type store struct {
	t       *testing.T
	address string
	ca      *identitytest.CA // of the members' trust domain
	dir     string
	quota   int64 // 0 is the default
	stop    func()
}

func startStore(t *testing.T) *store {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &store{t: t, address: l.Addr().String(), ca: identitytest.NewCA(t, "d"), dir: t.TempDir()}
	_ = l.Close()
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *store) start() {
	s.t.Helper()
	cfg := server.DefaultConfig()
	cfg.DataDir, cfg.ListenClient = s.dir, s.address
	if s.quota > 0 {
		cfg.QuotaBytes = s.quota
	}
	srv, err := server.New(cfg, server.Deps{})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	select {
	case <-srv.Ready():
	case err := <-done:
		s.t.Fatalf("the store did not start: %v", err)
	}
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("stopping the store: %v", err)
		}
	})
}

// client is one cluster's store client; states keeps every State it was told.
type client struct {
	*policystore.Store
	registry *prometheus.Registry
	stop     func()
	mu       sync.Mutex
	states   []policystore.State
}

func operator(c federation.ClusterName) identity.ID {
	return identity.ID{TrustDomain: "d", Federation: "prod", Cluster: c, Role: identity.RoleOperator}
}

func (s *store) client(t *testing.T, cluster federation.ClusterName) *client {
	t.Helper()
	return s.clientOf(t, cluster, s.ca.Source(operator(cluster)), nil)
}

// clientOf is a client with an identity and, if change is not nil, other settings, that
// has read the store.
func (s *store) clientOf(t *testing.T, cluster federation.ClusterName, own *identity.Source, change func(*policystore.Config, *policystore.Deps)) *client {
	t.Helper()
	c := s.launch(t, cluster, own, change)
	await(t, "the first read", func() bool { return c.Status().Synced })
	return c
}

func (s *store) config(cluster federation.ClusterName) policystore.Config {
	cfg := policystore.DefaultConfig()
	cfg.Federation, cfg.Cluster, cfg.Endpoints = "prod", cluster, []string{"http://" + s.address}
	return cfg
}

// open starts a client with other settings and does not wait for it.
func (s *store) open(t *testing.T, cluster federation.ClusterName, change func(*policystore.Config)) *client {
	t.Helper()
	return s.launch(t, cluster, s.ca.Source(operator(cluster)), func(cfg *policystore.Config, _ *policystore.Deps) { change(cfg) })
}

func (s *store) launch(t *testing.T, cluster federation.ClusterName, own *identity.Source, change func(*policystore.Config, *policystore.Deps)) *client {
	t.Helper()
	c := &client{registry: prometheus.NewRegistry()}
	cfg := s.config(cluster)
	deps := policystore.Deps{
		Log: slog.New(slog.DiscardHandler), Metrics: c.registry,
		Certificate: own.Certificate, VerifyChain: own.VerifyRested, TrustChanged: own.Changed,
		OnChange: func(st policystore.State) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.states = append(c.states, st)
		},
	}
	if change != nil {
		change(&cfg, &deps)
	}
	var err error
	c.Store, err = policystore.New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	c.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(c.stop)
	return c
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waiting for %s", what)
		case <-tick.C:
		}
	}
}

func member(c federation.ClusterName, instance string) federation.Member {
	return federation.Member{Name: c, Region: "r", TrustDomain: "d", InstanceID: instance}
}

func export(c federation.ClusterName, name string) federation.Export {
	return federation.Export{Cluster: c, Service: federation.ServiceName{Namespace: "shop", Name: name}, Ports: []federation.ExportedPort{{Port: 80, Protocol: federation.TCP}}}
}

func (c *client) register(t *testing.T, name federation.ClusterName) {
	t.Helper()
	if err := c.Register(t.Context(), member(name, "uid-"+string(name))); err != nil {
		t.Fatal(err)
	}
	await(t, "the presence of "+string(name), func() bool { return c.State().Presence[name].Cluster == name })
}

func TestPublishedReachesEveryWatcherAndOrderIsUnique(t *testing.T) {
	s := startStore(t)
	clusters := []federation.ClusterName{"a", "b", "c"}
	clients := map[federation.ClusterName]*client{}
	for _, name := range clusters {
		clients[name] = s.client(t, name)
		clients[name].register(t, name)
	}
	const each = 10
	var wg sync.WaitGroup
	var mu sync.Mutex
	orders := map[uint64]bool{}
	for _, name := range clusters {
		for i := range each {
			wg.Go(func() {
				x, err := clients[name].PutExport(t.Context(), export(name, fmt.Sprintf("svc-%d", i)))
				mu.Lock()
				defer mu.Unlock()
				if err != nil || x.Order == 0 || orders[x.Order] {
					t.Errorf("order %d, taken %t, %v", x.Order, orders[x.Order], err)
				}
				orders[x.Order] = true
			})
		}
	}
	wg.Wait()
	for name, c := range clients {
		await(t, string(name)+" to see all exports", func() bool {
			n := 0
			for _, xs := range c.State().Exports {
				n += len(xs)
			}
			return n == each*len(clusters) && len(c.State().Members) == 3
		})
	}
}

func TestOrderIsKeptAndEqualValuesAreNotWritten(t *testing.T) {
	s := startStore(t)
	c := s.client(t, "a")
	c.register(t, "a")
	first, err := c.PutExport(t.Context(), export("a", "x"))
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the export", func() bool { return len(c.State().Exports) == 1 })
	revision := c.State().Revision
	again, err := c.PutExport(t.Context(), export("a", "x"))
	if err != nil || again.Order != first.Order {
		t.Fatalf("order %d became %d, %v", first.Order, again.Order, err)
	}
	changed := export("a", "x")
	changed.EarlyData = true
	third, err := c.PutExport(t.Context(), changed)
	if err != nil || third.Order != first.Order {
		t.Fatalf("order %d became %d, %v", first.Order, third.Order, err)
	}
	await(t, "the change", func() bool { return c.State().Revision > revision })
	if got := c.State().Revision; got != revision+1 {
		t.Errorf("revision went from %d to %d: an equal value was written", revision, got)
	}
}

func TestNameOfAnotherClusterIsRefused(t *testing.T) {
	s := startStore(t)
	first, second := s.client(t, "a"), s.client(t, "a")
	if err := first.Register(t.Context(), member("a", "uid-1")); err != nil {
		t.Fatal(err)
	}
	if err := second.Register(t.Context(), member("a", "uid-2")); !errors.Is(err, policystore.ErrNameTaken) {
		t.Fatalf("a second cluster of one name: %v", err)
	}
	await(t, "the member", func() bool { return len(first.State().Members) == 1 })
	if got := first.State().Members["a"].InstanceID; got != "uid-1" {
		t.Errorf("the name now belongs to %q", got)
	}
}

func TestStoreAwayAndBackRemovesNothing(t *testing.T) {
	s := startStore(t)
	c, other := s.client(t, "a"), s.client(t, "b")
	c.register(t, "a")
	other.register(t, "b")
	if _, err := c.PutExport(t.Context(), export("a", "x")); err != nil {
		t.Fatal(err)
	}
	await(t, "the export", func() bool { return len(other.State().Exports) == 1 })
	s.stop()
	await(t, "the loss to be told", func() bool {
		st := other.Status()
		return !st.Connected && st.Reason == policystore.Unreachable && st.Message != ""
	})
	if len(other.State().Exports) != 1 || len(other.State().Members) != 2 {
		t.Error("the loss of the store removed something")
	}
	s.start()
	await(t, "the store to be back", func() bool { return other.Status().Connected && c.Status().Connected })
	if _, err := c.PutExport(t.Context(), export("a", "y")); err != nil {
		t.Fatal(err)
	}
	await(t, "the new export", func() bool { return len(other.State().Exports) == 2 })
	other.mu.Lock()
	defer other.mu.Unlock()
	seen := 0
	for _, st := range other.states {
		if len(st.Exports) < seen {
			t.Errorf("exports fell from %d to %d for a moment", seen, len(st.Exports))
		}
		seen = max(seen, len(st.Exports))
	}
}

func TestCompactionLosesNoDeletionAndRemovesNothingElse(t *testing.T) {
	s := startStore(t)
	c := s.client(t, "a")
	c.register(t, "a")
	for _, name := range []string{"x", "y"} {
		if _, err := c.PutExport(t.Context(), export("a", name)); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + s.address}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	if err := c.DeleteExport(t.Context(), federation.ServiceName{Namespace: "shop", Name: "x"}); err != nil {
		t.Fatal(err)
	}
	got, err := raw.Get(t.Context(), "/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Compact(t.Context(), got.Header.Revision); err != nil {
		t.Fatal(err)
	}
	late := s.client(t, "b")
	for name, one := range map[string]*client{"watching": c, "new": late} {
		await(t, name+" client to hold just y", func() bool {
			exports := one.State().Exports
			return len(exports) == 1 && len(exports[federation.ServiceName{Namespace: "shop", Name: "y"}]) == 1
		})
	}
}

func TestMalformedValueIsSkippedAndTheLastGoodOneStays(t *testing.T) {
	s := startStore(t)
	c := s.client(t, "a")
	c.register(t, "a")
	if _, err := c.PutExport(t.Context(), export("a", "x")); err != nil {
		t.Fatal(err)
	}
	await(t, "the export", func() bool { return len(c.State().Exports) == 1 })
	raw, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + s.address}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	if _, err := raw.Put(t.Context(), "/causeway/v1/prod/exports/a/shop/x", "{nonsense"); err != nil {
		t.Fatal(err)
	}
	c.register(t, "a")
	if _, err := c.PutExport(t.Context(), export("a", "y")); err != nil {
		t.Fatal(err)
	}
	await(t, "the next export", func() bool { return len(c.State().Exports) == 2 })
}

func TestTakenPortSaysWhatToDo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	cfg := server.DefaultConfig()
	cfg.DataDir, cfg.ListenClient = t.TempDir(), l.Addr().String()
	srv, err := server.New(cfg, server.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Run(t.Context()); err == nil {
		t.Fatal("a taken port was no error")
	} else {
		t.Log(err)
	}
}
