package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/gateway"
)

// expected is the Authorizer of our own certificate: a gateway's, and of the cluster
// and the federation that the flags name, where they name one.
func expected(o *options) func(identity.ID) error {
	return func(got identity.ID) error {
		var errs []error
		if got.Role != identity.RoleGateway {
			errs = append(errs, fmt.Errorf("it is a certificate of role %q, and this is a gateway", got.Role))
		}
		if o.cluster != "" && got.Cluster != federation.ClusterName(o.cluster) {
			errs = append(errs, fmt.Errorf("it is cluster %q's, and --cluster says %q", got.Cluster, o.cluster))
		}
		if o.federation != "" && got.Federation != o.federation {
			errs = append(errs, fmt.Errorf("it is of federation %q, and --federation says %q", got.Federation, o.federation))
		}
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("certificate of %s cannot be used: %w", got, err)
		}
		return nil
	}
}

// named waits for an identity and fills in the names that the flags leave open. From
// then on no certificate of another cluster or federation is taken. It returns false
// when ctx has ended first.
func named(ctx context.Context, source *identity.Source, o *options, cfg gateway.Config) (gateway.Config, bool) {
	for {
		changed := source.Changed()
		if source.Ready() {
			break
		}
		select {
		case <-ctx.Done():
			return cfg, false
		case <-changed:
		}
	}
	own, _, _ := source.Own()
	cfg.Cluster, cfg.Federation = own.Cluster, own.Federation
	pinned := *o
	pinned.cluster, pinned.federation = string(own.Cluster), own.Federation
	source.Expect(expected(&pinned))
	return cfg, true
}

// awaited says in words what a gateway without an identity waits for.
func awaited(dir string, problem error) string {
	switch {
	case problem == nil || errors.Is(problem, fs.ErrNotExist):
		return fmt.Sprintf("waiting for the identity in %s: is the MeshFederation of this cluster Ready?", dir)
	default:
		return fmt.Sprintf("the identity in %s cannot be used: %v", dir, problem)
	}
}
