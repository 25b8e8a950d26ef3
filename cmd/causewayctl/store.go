package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/causeway-mesh/causeway/federation/policystore/admin"
)

// storeFlags are shared by the commands that administer the policy store.
type storeFlags struct {
	*flags
	endpoints []string
	certs     string
	caFile    string
	certFile  string
	keyFile   string
	timeout   time.Duration
}

func storeCommand(f *flags) *cobra.Command {
	s := &storeFlags{flags: f}
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Look after the policy store: users, status, backups, members",
		Long: `Look after the policy store, as its root. The certificates come from the directory of
"causewayctl certs" (--certs): store-ca.crt is the store's authority, store-root.crt and
store-root.key are root's; or give your own with --store-ca, --cert and --key.
docs/policy-store.md has every step.`,
	}
	p := cmd.PersistentFlags()
	p.StringSliceVar(&s.endpoints, "endpoints", nil, "the members' client URLs, https://host:port")
	p.StringVar(&s.certs, "certs", "certs", "directory with the store's authority and root's certificate")
	p.StringVar(&s.caFile, "store-ca", "", "authority of the store's certificates (default: store-ca.crt in --certs)")
	p.StringVar(&s.certFile, "cert", "", "root's client certificate (default: store-root.crt in --certs)")
	p.StringVar(&s.keyFile, "key", "", "its key (default: store-root.key in --certs)")
	p.DurationVar(&s.timeout, "request-timeout", 5*time.Second, "how long each request may take")
	cmd.AddCommand(storeInitCommand(s), storeAddClusterCommand(s), storeRemoveClusterCommand(s), storeAddMemberCommand(s),
		storeStatusCommand(s), storeCompactCheckCommand(s), storeBackupCommand(s), storeRestoreCommand(s), storeAcceptCommand(s))
	return cmd
}

func (s *storeFlags) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.out, format+"\n", args...)
}

// with runs do with a connection to the store. say gets the steps.
func (s *storeFlags) with(ctx context.Context, say func(string, ...any), do func(*admin.Admin) error) error {
	if len(s.endpoints) == 0 {
		return errors.New("--endpoints is empty: give the policy store's client URLs, for example --endpoints https://store-1.example.org:2379")
	}
	if s.timeout <= 0 {
		return fmt.Errorf("--request-timeout %s: want more than 0", s.timeout)
	}
	trust, err := s.tls()
	if err != nil {
		return err
	}
	a, err := admin.Open(ctx, admin.Config{Endpoints: s.endpoints, TLS: trust, RequestTimeout: s.timeout, Say: say})
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	return do(a)
}

// warn keeps standard output for what was asked.
func warn(format string, args ...any) { _, _ = fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (s *storeFlags) tls() (*tls.Config, error) {
	ca, err := os.ReadFile(s.or(s.caFile, "store-ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("--store-ca: give the authority of the store's certificates: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("--store-ca: there is no certificate in %s", s.or(s.caFile, "store-ca.crt"))
	}
	pair, err := tls.LoadX509KeyPair(s.or(s.certFile, "store-root.crt"), s.or(s.keyFile, "store-root.key"))
	if err != nil {
		return nil, fmt.Errorf("--cert and --key: give root's client certificate, or let `causewayctl store init` make one: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{pair}}, nil
}

func (s *storeFlags) or(file, name string) string {
	if file != "" {
		return file
	}
	return filepath.Join(s.certs, name)
}
