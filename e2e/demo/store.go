package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/causeway-mesh/causeway/e2e/mesh"
	"github.com/causeway-mesh/causeway/federation/policystore"
)

// The environment variables of a policy store of the user's own.
const (
	storeVar     = "POLICY_STORE"
	storeCAVar   = "POLICY_STORE_CA"
	storeCertVar = "POLICY_STORE_CERT"
	storeKeyVar  = "POLICY_STORE_KEY"
)

// storeLimit bounds the first and the last word with the user's policy store.
const storeLimit = 30 * time.Second

// userStore reads the environment: nil when the demo is to run a store itself. It
// joins all that is wrong.
func userStore(getenv func(string) string) (*mesh.UserStore, error) {
	list := getenv(storeVar)
	companions := []string{storeCAVar, storeCertVar, storeKeyVar}
	if list == "" {
		for _, name := range companions {
			if getenv(name) != "" {
				return nil, fmt.Errorf("%s is set but %s is not: set it to your etcd's endpoints, https://host:port[,https://host:port…]", name, storeVar)
			}
		}
		return nil, nil
	}
	u := &mesh.UserStore{}
	var errs []error
	for e := range strings.SplitSeq(list, ",") {
		e = strings.TrimSpace(e)
		if err := checkEndpoint(e); err != nil {
			errs = append(errs, err)
		}
		u.Endpoints = append(u.Endpoints, e)
	}
	if slices.Sort(u.Endpoints); len(slices.Compact(slices.Clone(u.Endpoints))) != len(u.Endpoints) {
		errs = append(errs, fmt.Errorf("%s names an endpoint twice", storeVar))
	}
	if len(u.Endpoints) > maxEndpoints {
		errs = append(errs, fmt.Errorf("%s names %d endpoints: at most %d are possible", storeVar, len(u.Endpoints), maxEndpoints))
	}
	for i, into := range []*[]byte{&u.CA, &u.Cert, &u.Key} {
		data, err := readCompanion(companions[i], getenv(companions[i]))
		if err != nil {
			errs = append(errs, err)
		}
		*into = data
	}
	if len(errs) == 0 {
		if _, err := clientTLS(u); err != nil {
			errs = append(errs, err)
		}
	}
	return u, errors.Join(errs...)
}

// endpoint is what a MeshFederation takes.
var endpoint = regexp.MustCompile(`^https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$`)

// maxEndpoints is what a MeshFederation takes.
const maxEndpoints = 9

func checkEndpoint(e string) error {
	switch {
	case strings.HasPrefix(e, "http://"):
		return fmt.Errorf("%s: %s is plain http, and members tell each other there whom to trust: let etcd serve TLS and write https://", storeVar, e)
	case !endpoint.MatchString(e):
		return fmt.Errorf("%s: %q is not an endpoint: write https://host:port, several with commas between", storeVar, e)
	}
	return nil
}

var companionOf = map[string]string{
	storeCAVar: "the file of the authority (PEM) that signed your etcd's certificate", storeCertVar: "the file of a client certificate (PEM) that your etcd accepts",
	storeKeyVar: "the file of that certificate's key (PEM)",
}

func readCompanion(name, path string) ([]byte, error) {
	if path == "" {
		return nil, fmt.Errorf("%s is not set: with %s it must name %s", name, storeVar, companionOf[name])
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s must name %s: %w", name, companionOf[name], err)
	}
	return data, nil
}

func clientTLS(u *mesh.UserStore) (*tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(u.CA) {
		return nil, fmt.Errorf("%s holds no certificate: it must name %s", storeCAVar, companionOf[storeCAVar])
	}
	pair, err := tls.X509KeyPair(u.Cert, u.Key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s do not make a client certificate: %w", storeCertVar, storeKeyVar, err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{pair}}, nil
}

// holdStore takes the federation's place in the user's etcd; what it returns leaves
// it as it was. It runs outside the demo's namespaces.
func holdStore(u *mesh.UserStore) (release func() error, err error) {
	cfg := policystore.DefaultConfig()
	cfg.Federation, cfg.Cluster, cfg.Endpoints = mesh.Federation, consumer, u.Endpoints
	if cfg.TLS, err = clientTLS(u); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeLimit)
	defer cancel()
	trial, err := policystore.NewTrial(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), storeLimit)
		defer cancel()
		return trial.Close(ctx)
	}, nil
}
