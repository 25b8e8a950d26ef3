package controllertest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/policystore"
	"github.com/causeway-mesh/causeway/federation/policystore/server"
)

// Federation is the name of the one that the tests' clusters are members of.
const Federation = "prod"

// Store is a real policy store on loopback, mTLS under an authority of its own.
type Store struct {
	t       testing.TB
	cfg     server.Config
	CA      []byte // PEM; the same certificate serves all, as server and as client
	KeyPEM  []byte
	stopped func()
}

// NewStore starts a store that ends with the test.
func NewStore(t testing.TB) *Store {
	t.Helper()
	s := &Store{t: t, cfg: server.DefaultConfig()}
	s.CA, s.KeyPEM = selfSigned(t)
	dir := t.TempDir()
	s.cfg.CertFile, s.cfg.KeyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	s.cfg.ClientCAFile = s.cfg.CertFile
	for path, data := range map[string][]byte{s.cfg.CertFile: s.CA, s.cfg.KeyFile: s.KeyPEM} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.cfg.DataDir, s.cfg.ListenClient = filepath.Join(dir, "data"), l.Addr().String()
	_ = l.Close()
	s.Start()
	t.Cleanup(func() { s.Stop() })
	return s
}

// Start serves, with what was there when it was stopped.
func (s *Store) Start() {
	s.t.Helper()
	member, err := server.New(s.cfg, server.Deps{})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- member.Run(ctx) }()
	select {
	case <-member.Ready():
	case err := <-done:
		cancel()
		s.t.Fatalf("the store did not start: %v", err)
	}
	s.stopped = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("stopping the store: %v", err)
		}
	})
}

// Stop takes the store away; its data stays.
func (s *Store) Stop() { s.stopped() }

// Endpoint is the store's URL.
func (s *Store) Endpoint() string { return "https://" + s.cfg.ListenClient }

// Member is another cluster's client of the store, registered under name in a
// region of that name. instance tells clusters of one name apart.
func (s *Store) Member(name federation.ClusterName, instance string) *policystore.Store {
	s.t.Helper()
	pair, err := tls.X509KeyPair(s.CA, s.KeyPEM)
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA)
	cfg := policystore.DefaultConfig()
	cfg.Federation, cfg.Cluster, cfg.Endpoints = Federation, name, []string{s.Endpoint()}
	cfg.Unsealed = true // as the engine's that NewEngine makes
	cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, Certificates: []tls.Certificate{pair}}
	c, err := policystore.New(cfg, policystore.Deps{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
	if err != nil {
		s.t.Fatal(err)
	}
	run(s.t, c.Run)
	Await(s.t, "the store to be read by "+string(name), func() bool { return c.Status().Synced })
	err = c.Register(s.t.Context(), federation.Member{Name: name, Region: federation.Region(name), TrustDomain: "mesh.example.org", InstanceID: instance})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// run runs f until the test ends.
func run(t testing.TB, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = f(ctx) // what it could not do shows in what the test looks at
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// Await looks until ok says yes, for at most a minute.
func Await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

// selfSigned makes a certificate for 127.0.0.1 that is its own authority.
func selfSigned(t testing.TB) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})
}
