package admin

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/causeway-mesh/causeway/federation/policystore"
)

// acceptor stands in for a cluster's name, which accepting needs none of.
const acceptor = "admin"

// Accept says in a federation's name that the store, which is another one than before or
// has gone back, is to be followed as it is now. Every cluster that refuses it follows it
// then.
func (a *Admin) Accept(ctx context.Context, federationName string) (policystore.Acceptance, error) {
	if err := validateFederation(federationName); err != nil {
		return policystore.Acceptance{}, err
	}
	if err := a.lives(ctx, prefixOf(federationName)); err != nil {
		return policystore.Acceptance{}, fmt.Errorf("accepting the store for federation %s: %w", federationName, a.told(err))
	}
	cfg := policystore.DefaultConfig()
	cfg.Federation, cfg.Cluster, cfg.Endpoints = federationName, acceptor, a.cfg.Endpoints
	cfg.TLS, cfg.RequestTimeout = a.cfg.TLS, a.cfg.RequestTimeout
	out, err := policystore.Accept(ctx, cfg)
	if err != nil {
		return out, fmt.Errorf("accepting the store for federation %s: %w", federationName, err)
	}
	return out, nil
}

// lives checks that there is a federation at all: a mistyped name would be accepted.
func (a *Admin) lives(ctx context.Context, prefix string) error {
	ctx, cancel := a.within(ctx)
	defer cancel()
	resp, err := a.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err == nil && resp.Count == 0 {
		err = fmt.Errorf("there is nothing under %s: check the federation's name, and that this is the store that was restored", prefix)
	}
	return err
}
