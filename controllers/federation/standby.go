package federation

import (
	"context"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/federation/identity"
)

// stand configures the engine of a standby with what the leader has brought about, and
// writes nothing: so it has an identity, gateways can connect to its feed, and it follows
// its leader's book. What is missing is looked for again with the next look.
func (c *Controller) stand(ctx context.Context, inForce *api.MeshFederation) error {
	if inForce == nil {
		if !c.engine.View().Leading { // else the lease is lost, and the seat is still ours
			c.engine.Unconfigure()
		}
		return nil
	}
	if !inForce.DeletionTimestamp.IsZero() {
		return nil
	}
	settings, err := c.settings(ctx, inForce)
	if err != nil {
		return err
	}
	if c.kept.of != inForce.UID {
		c.kept = kept{of: inForce.UID}
	}
	secret, fault, err := c.operatorSecret(ctx, c.id(&settings, identity.RoleOperator))
	if err != nil {
		return err
	}
	if fault.reason == "" {
		c.kept.identity = &secret
	}
	if k := c.kept.identity; k != nil && k.id == c.id(&settings, identity.RoleOperator) {
		trust(&settings, settings.TrustDomain, k.ca)
		settings.CertPEM, settings.KeyPEM = k.cert, k.key
	}
	if _, err := c.store(ctx, inForce, &settings); err != nil {
		return err
	}
	if err := c.exposed(ctx, &settings); err != nil {
		return err
	}
	_ = c.engine.Configure(settings) // what it refuses the leader tells in the status
	return nil
}
