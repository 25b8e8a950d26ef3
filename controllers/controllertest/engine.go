package controllertest

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// Instance is the instance ID of the cluster under test.
const Instance = "uid-under-test"

// NewEngine is a leading engine that knows no federation yet. stop ends it before
// the test does, as a crash of the operator would.
func NewEngine(t testing.TB, epoch uint64) (e *engine.Engine, stop func()) {
	t.Helper()
	cfg := engine.DefaultConfig()
	cfg.Replica, cfg.UnsealedStore = "op-1", true // nobody issues identities here
	e = engine.New(cfg, engine.Deps{
		Identity:     identity.NewSource(),
		ListenGossip: func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		},
		Publish: func(routing.Table) {}, Silence: func() {}, Superseded: func(uint64) {},
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	})
	e.Lead(epoch)
	return e, run(t, e.Run)
}

// Join gives an engine the settings of a member, as controllers/federation does,
// and waits until it is registered or refused for its name.
func (s *Store) Join(e *engine.Engine, name federation.ClusterName) {
	s.t.Helper()
	err := e.Configure(engine.Settings{
		Federation: Federation, Cluster: name, Region: federation.Region(name), TrustDomain: "mesh.example.org", InstanceID: Instance,
		StoreEndpoints: []string{s.Endpoint()}, StoreCA: s.CA, StoreCert: s.CA, StoreKey: s.KeyPEM,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	Await(s.t, string(name)+" to join", func() bool { return e.View().NameConflict != "" || Registered(e) })
}

// Registered says whether the store, as the engine last read it, holds its cluster.
func Registered(e *engine.Engine) bool {
	view := e.View()
	for _, m := range view.Members {
		if m.Self && view.NameConflict == "" && view.StoreSynced {
			return true
		}
	}
	return false
}
