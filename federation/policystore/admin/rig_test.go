package admin_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/pki"
	"github.com/causeway-mesh/causeway/federation/policystore"
	"github.com/causeway-mesh/causeway/federation/policystore/admin"
	"github.com/causeway-mesh/causeway/federation/policystore/server"
)

func TestMain(m *testing.M) {
	if os.Getenv(memberVar) != "" {
		os.Exit(runMember())
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.etcd.io/etcd/server/v3/storage/wal.(*filePipeline).run"))
}

// rig is a real store behind TLS, with the authority that its users come from.
type rig struct {
	t       *testing.T
	ca      *pki.Authority
	address string
	dir     string
	certs   string
	stop    func()
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, address: freeAddress(t), dir: t.TempDir(), certs: t.TempDir()}
	var err error
	if r.ca, err = pki.NewAuthority("test store CA"); err != nil {
		t.Fatal(err)
	}
	pair, err := r.ca.Issue(pki.Subject{CommonName: admin.ServerUser, Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"tls.crt": pair.CertPEM, "tls.key": pair.KeyPEM, "ca.crt": r.ca.CertPEM} {
		if err := os.WriteFile(filepath.Join(r.certs, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *rig) config() server.Config {
	cfg := server.DefaultConfig()
	cfg.DataDir, cfg.ListenClient = r.dir, r.address
	cfg.CertFile, cfg.KeyFile, cfg.ClientCAFile = r.file("tls.crt"), r.file("tls.key"), r.file("ca.crt")
	return cfg
}

func (r *rig) file(name string) string { return filepath.Join(r.certs, name) }

func (r *rig) start() *rig {
	r.t.Helper()
	srv, err := server.New(r.config(), server.Deps{})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	select {
	case <-srv.Ready():
	case err := <-done:
		r.t.Fatalf("the store did not start: %v", err)
	}
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("stopping the store: %v", err)
		}
	})
	r.t.Cleanup(r.stop)
	return r
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// as is a client's TLS with a certificate of that common name; "" is without one.
func (r *rig) as(user string) *tls.Config {
	r.t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(r.ca.CertPEM)
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	if user == "" {
		return cfg
	}
	pair, err := r.ca.Issue(pki.Subject{CommonName: user})
	if err != nil {
		r.t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.CertPEM, pair.KeyPEM)
	if err != nil {
		r.t.Fatal(err)
	}
	cfg.Certificates = []tls.Certificate{cert}
	return cfg
}

// said collects what an Admin tells.
type said struct {
	mu    sync.Mutex
	lines []string
}

func (s *said) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

// take returns what was said since, and forgets it.
func (s *said) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.lines = nil }()
	return strings.Join(s.lines, "\n")
}

func (r *rig) open(user string, endpoints ...string) (*admin.Admin, *said) {
	r.t.Helper()
	if len(endpoints) == 0 {
		endpoints = []string{"https://" + r.address}
	}
	log := &said{}
	a, err := admin.Open(r.t.Context(), admin.Config{Endpoints: endpoints, TLS: r.as(user), Say: log.say})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = a.Close() })
	return a, log
}

// raw is an etcd client of that user.
func (r *rig) raw(user string, endpoints ...string) *clientv3.Client {
	r.t.Helper()
	if len(endpoints) == 0 {
		endpoints = []string{"https://" + r.address}
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, TLS: r.as(user), DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// store is a cluster's own client, as its operator has it.
func (r *rig) store(federationName string, cluster federation.ClusterName) *policystore.Store {
	r.t.Helper()
	cfg := policystore.DefaultConfig()
	cfg.Federation, cfg.Cluster, cfg.Endpoints = federationName, cluster, []string{"https://" + r.address}
	cfg.TLS, cfg.Unsealed = r.as(string(cluster)), true
	s, err := policystore.New(cfg, policystore.Deps{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r.t.Cleanup(func() { cancel(); <-done })
	await(r.t, "the store's first read", func() bool { return s.Status().Synced })
	return s
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
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

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
