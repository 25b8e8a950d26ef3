package policystore_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
	"github.com/causeway-mesh/causeway/federation/policystore"
	"github.com/causeway-mesh/causeway/federation/policystore/server"
)

func TestWrongCAIsToldAsUntrusted(t *testing.T) {
	ca, other := identitytest.NewCA(t, "d"), identitytest.NewCA(t, "d")
	id := identity.ID{TrustDomain: "d", Federation: "prod", Cluster: "a", Role: identity.RoleOperator}
	cert, key := ca.Issue(id)
	dir := t.TempDir()
	for name, data := range map[string][]byte{"tls.crt": cert, "tls.key": key, "ca.crt": ca.Bundle()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := server.DefaultConfig()
	cfg.DataDir, cfg.ListenClient = filepath.Join(dir, "data"), l.Addr().String()
	cfg.CertFile, cfg.KeyFile, cfg.ClientCAFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "ca.crt")
	_ = l.Close()
	srv, err := server.New(cfg, server.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-served })
	select {
	case <-srv.Ready():
	case err := <-served:
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(other.Bundle())
	client := policystore.DefaultConfig()
	client.Federation, client.Cluster, client.Endpoints = "prod", "a", []string{"https://" + cfg.ListenClient}
	client.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{pair}}
	client.Unsealed = true
	s, err := policystore.New(client, policystore.Deps{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	await(t, "the distrust to be told", func() bool { return s.Status().Reason == policystore.Untrusted })
	if m := s.Status().Message; !strings.Contains(m, "CA") && !strings.Contains(m, "ca.crt") && !strings.Contains(m, "authority") {
		t.Errorf("the message does not say what to look at: %s", m)
	}
}
