package engine

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"reflect"
	"slices"

	"github.com/causeway-mesh/causeway/federation"
)

// Settings is the federation as the cluster's MeshFederation states it, with the
// Secrets that it refers to.
type Settings struct {
	Federation   string
	Cluster      federation.ClusterName
	Region       federation.Region
	Zone         federation.Zone
	Jurisdiction federation.Jurisdiction
	TrustDomain  federation.TrustDomain
	// InstanceID is the UID of the kube-system namespace.
	InstanceID string

	StoreEndpoints []string
	// StoreCA, StoreCert and StoreKey are PEM, under the store's own CA. All nil
	// while the Secret is missing: the engine then runs without the store.
	StoreCA, StoreCert, StoreKey []byte
	// AcceptUnsigned takes values of the store that nobody has signed, too.
	AcceptUnsigned bool

	// GatewayAddresses are advertised as they are; empty means what the gateways
	// themselves advertise.
	GatewayAddresses []federation.GatewayAddress
	// Exposed are the addresses at which something in front of the gateways (a
	// Service) exposes them, by instance. It goes before what that gateway advertises
	// itself; an empty one is not known yet, and the gateway is not advertised until
	// it is.
	Exposed map[string]string
	Seeds   []Seed
	Bundles map[federation.TrustDomain][]byte
	// CertPEM and KeyPEM are the operator's identity; nil until it is issued.
	CertPEM, KeyPEM []byte
}

// Seed is a member whose gateways can be reached before the store was read.
type Seed struct {
	Cluster     federation.ClusterName
	TrustDomain federation.TrustDomain // empty means our own
	Addresses   []string
}

// Validate reports every fault of the settings at once.
func (s Settings) Validate() error {
	var errs []error
	if s.Federation == "" || s.Cluster == "" || s.Region == "" || s.TrustDomain == "" || s.InstanceID == "" {
		errs = append(errs, errors.New("federation, cluster, region, trust domain and instance ID are required"))
	}
	for _, seed := range s.Seeds {
		for _, a := range seed.Addresses {
			if _, _, err := net.SplitHostPort(a); err != nil {
				errs = append(errs, fmt.Errorf("seed %s: address %q: want host:port", seed.Cluster, a))
			}
		}
	}
	for _, g := range s.GatewayAddresses {
		if _, _, err := net.SplitHostPort(g.Address); err != nil {
			errs = append(errs, fmt.Errorf("gateway %s: address %q: want host:port", g.Instance, g.Address))
		}
	}
	for instance, address := range s.Exposed {
		if _, _, err := net.SplitHostPort(address); err != nil && address != "" {
			errs = append(errs, fmt.Errorf("gateway %s: exposed at %q: want host:port", instance, address))
		}
	}
	if _, err := s.storeTLS(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// storeTLS is the client's side of the store connection; nil without the Secret.
func (s Settings) storeTLS() (*tls.Config, error) {
	if s.StoreCA == nil && s.StoreCert == nil && s.StoreKey == nil {
		return nil, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.StoreCA) {
		return nil, errors.New("policy store: ca.crt holds no certificate")
	}
	cert, err := tls.X509KeyPair(s.StoreCert, s.StoreKey)
	if err != nil {
		return nil, fmt.Errorf("policy store: reading tls.crt and tls.key: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{cert}}, nil
}

// sameStore says whether a store client made for s serves o as well.
func (s Settings) sameStore(o Settings) bool {
	return s.Federation == o.Federation && s.Cluster == o.Cluster && s.AcceptUnsigned == o.AcceptUnsigned && slices.Equal(s.StoreEndpoints, o.StoreEndpoints) &&
		bytes.Equal(s.StoreCA, o.StoreCA) && bytes.Equal(s.StoreCert, o.StoreCert) && bytes.Equal(s.StoreKey, o.StoreKey)
}

// sameSeat says whether a seat, or a book, of s is one of o as well.
func (s Settings) sameSeat(o Settings) bool {
	return s.Federation == o.Federation && s.Cluster == o.Cluster
}

func (s Settings) equal(o Settings) bool { return reflect.DeepEqual(s, o) }

// trusted are the trust domains that a seed or a bundle names, by cluster.
func (s Settings) seedPeers() map[federation.ClusterName][]string {
	out := map[federation.ClusterName][]string{}
	for _, seed := range s.Seeds {
		if seed.Cluster != s.Cluster {
			out[seed.Cluster] = append(out[seed.Cluster], seed.Addresses...)
		}
	}
	return maps.Clone(out)
}

func (s Settings) seedDomain(c federation.ClusterName) (federation.TrustDomain, bool) {
	for _, seed := range s.Seeds {
		if seed.Cluster == c {
			if seed.TrustDomain == "" {
				return s.TrustDomain, true
			}
			return seed.TrustDomain, true
		}
	}
	return "", false
}
