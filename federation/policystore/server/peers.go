package server

import (
	"errors"
	"fmt"
	"net"
	"net/url"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/embed"
)

// aloneAddress is where a member without peers listens: etcd wants an address even then.
const aloneAddress = "127.0.0.1:0"

// placeholder is the peer address of a member that stays alone. It never dials itself, so
// the address only has to be the same at each start, whatever port is listened on.
const placeholder = "http://127.0.0.1:2380"

func (c Config) validatePeers() []error {
	var errs []error
	if c.CertFile == "" && !loopback(c.ListenPeer) {
		errs = append(errs, fmt.Errorf("policy store: peer address %q is not a loopback address, so certificate, key and client CA are required", c.ListenPeer))
	}
	if c.AdvertisePeer != "" {
		errs = append(errs, validateAdvertised(c.AdvertisePeer))
	}
	if c.InitialCluster == "" {
		if c.Join {
			errs = append(errs, errors.New("policy store: to join, give the initial cluster that `causewayctl store add-member` has printed"))
		}
		return errs
	}
	members, err := types.NewURLsMap(c.InitialCluster)
	switch {
	case err != nil:
		errs = append(errs, fmt.Errorf("policy store: initial cluster %q: want name=https://host:port,name=https://host:port: %w", c.InitialCluster, err))
	case c.AdvertisePeer == "":
		errs = append(errs, errors.New("policy store: with an initial cluster, give the peer address that this member advertises"))
	case members[c.Name].String() != c.advertisedPeer():
		errs = append(errs, fmt.Errorf("policy store: this member is %s=%s, and the initial cluster %q says otherwise: make them agree", c.Name, c.advertisedPeer(), c.InitialCluster))
	}
	return errs
}

func validateAdvertised(address string) error {
	host, port, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	if err != nil || host == "" || port == "0" || ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("policy store: advertised peer address %q: want a host:port at which the other members reach this one", address)
	}
	return nil
}

func (c Config) peerScheme() string {
	if c.CertFile == "" || c.AdvertisePeer == "" {
		return "http" // on loopback only, or nobody's at all
	}
	return "https"
}

func (c Config) advertisedPeer() string {
	if c.AdvertisePeer == "" {
		return placeholder
	}
	return c.peerScheme() + "://" + c.AdvertisePeer
}

// peers sets how the member and its peers find and trust each other.
func (s *Server) peers(c *embed.Config) {
	scheme := s.cfg.peerScheme()
	if scheme == "https" {
		c.PeerTLSInfo = transport.TLSInfo{
			CertFile: s.cfg.CertFile, KeyFile: s.cfg.KeyFile, TrustedCAFile: s.cfg.PeerCAFile, ClientCertAuth: true,
			AllowedCNs: []string{s.cfg.PeerCommonName},
			// A peer may come from an address that no certificate names, through NAT.
			SkipClientSANVerify: true,
		}
	}
	c.ListenPeerUrls = []url.URL{{Scheme: scheme, Host: s.cfg.ListenPeer}}
	advertised, err := url.Parse(s.cfg.advertisedPeer())
	if err == nil { // Validate has seen to it
		c.AdvertisePeerUrls = []url.URL{*advertised}
	}
	c.InitialCluster = s.cfg.InitialCluster
	if c.InitialCluster == "" {
		c.InitialCluster = s.cfg.Name + "=" + s.cfg.advertisedPeer()
	}
	if s.cfg.Join {
		c.ClusterState = embed.ClusterStateFlagExisting
	}
}
