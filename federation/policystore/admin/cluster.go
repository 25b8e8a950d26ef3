package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/causeway-mesh/causeway/federation"
)

// AddCluster makes a cluster's user and roles what c says; what is more than that is
// taken away. It works before authentication is on, too.
func (a *Admin) AddCluster(ctx context.Context, c Cluster) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if err := a.addCluster(ctx, c); err != nil {
		return fmt.Errorf("adding cluster %s to federation %s: %w", c.Name, c.Federation, a.told(err))
	}
	return nil
}

func (a *Admin) addCluster(ctx context.Context, c Cluster) error {
	has, err := a.rolesOf(ctx, string(c.Name))
	if err != nil {
		return err
	}
	for _, role := range has {
		if f := federationOfRole(role); f != "" && f != c.Federation {
			return fmt.Errorf("user %s belongs to federation %s already, and its certificate would open both: choose another name for one of them, or another store", c.Name, f)
		}
	}
	if err := a.ensureCommon(ctx, c.Federation); err != nil {
		return err
	}
	if err := a.ensureRole(ctx, c.role(), c.own()); err != nil {
		return err
	}
	if _, err := a.ensureUser(ctx, string(c.Name)); err != nil {
		return err
	}
	for _, role := range c.roles() {
		if err := a.ensureMember(ctx, string(c.Name), has, role); err != nil {
			return err
		}
	}
	return a.dropRoles(ctx, string(c.Name), has, c.roles())
}

// rolesOf is empty for a user that does not exist.
func (a *Admin) rolesOf(ctx context.Context, user string) ([]string, error) {
	ctx, cancel := a.within(ctx)
	defer cancel()
	resp, err := a.client.UserGet(ctx, user)
	switch {
	case errors.Is(err, rpctypes.ErrUserNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading user %s: %w", user, err)
	}
	return resp.Roles, nil
}

func (a *Admin) dropRoles(ctx context.Context, user string, has, want []string) error {
	ctx, cancel := a.within(ctx)
	defer cancel()
	for _, role := range has {
		if slices.Contains(want, role) {
			continue
		}
		if federationOfRole(role) == "" {
			a.cfg.Say("warning: user %s also has the role %s, which is none of Causeway's", user, role)
			continue
		}
		if _, err := a.client.UserRevokeRole(ctx, user, role); err != nil {
			return fmt.Errorf("taking role %s from user %s: %w", role, user, err)
		}
		a.cfg.Say("took from user %s the role %s", user, role)
	}
	return nil
}

// Removal is what RemoveCluster would take away.
type Removal struct {
	User bool       `json:"user"`
	Role bool       `json:"role"`
	Keys []KeyCount `json:"keys"`
}

// Empty says that there is nothing to remove.
func (r Removal) Empty() bool { return !r.User && !r.Role && len(r.Keys) == 0 }

// PreviewRemoval changes nothing.
func (a *Admin) PreviewRemoval(ctx context.Context, federationName string, name federation.ClusterName) (Removal, error) {
	c := Cluster{Federation: federationName, Name: name, Author: true}
	if err := c.Validate(); err != nil {
		return Removal{}, err
	}
	r, err := a.preview(ctx, c)
	return r, a.told(err)
}

func (a *Admin) preview(ctx context.Context, c Cluster) (Removal, error) {
	has, err := a.rolesOf(ctx, string(c.Name))
	if err != nil {
		return Removal{}, err
	}
	r := Removal{User: slices.Contains(has, c.role())}
	if r.Role, err = a.roleExists(ctx, c.role()); err != nil {
		return Removal{}, err
	}
	all := tally{}
	for _, g := range c.leaves() {
		if err := a.keysOf(ctx, g.From, g.To, false, all.add); err != nil {
			return Removal{}, err
		}
	}
	r.Keys = all.list()
	return r, nil
}

func (a *Admin) roleExists(ctx context.Context, role string) (bool, error) {
	ctx, cancel := a.within(ctx)
	defer cancel()
	_, err := a.client.RoleGet(ctx, role)
	if errors.Is(err, rpctypes.ErrRoleNotFound) {
		return false, nil
	}
	return err == nil, err
}

// leaves are the ranges that a cluster's removal empties: its own, and the rollouts of
// its policies. The counter of the order stays.
func (c Cluster) leaves() []Grant {
	p := prefixOf(c.Federation)
	c.Author = true
	out := slices.DeleteFunc(c.own(), func(g Grant) bool { return g.From == p+"order" })
	return append(out, writeBelow(p+"rollouts/"+string(c.Name)+"/"))
}

// RemoveCluster takes a cluster's user, role and keys away. The user goes first, so that
// an operator that still runs writes nothing again. What is gone already is no error.
func (a *Admin) RemoveCluster(ctx context.Context, federationName string, name federation.ClusterName) error {
	c := Cluster{Federation: federationName, Name: name}
	if err := c.Validate(); err != nil {
		return err
	}
	if err := a.remove(ctx, c); err != nil {
		return fmt.Errorf("removing cluster %s from federation %s (run it again to finish): %w", name, federationName, a.told(err))
	}
	return nil
}

func (a *Admin) remove(ctx context.Context, c Cluster) error {
	has, err := a.rolesOf(ctx, string(c.Name))
	if err != nil {
		return err
	}
	ctx, cancel := a.within(ctx)
	defer cancel()
	// A user without our role is not this cluster's.
	if slices.Contains(has, c.role()) {
		if _, err := a.client.UserDelete(ctx, string(c.Name)); err != nil {
			return err
		}
		a.cfg.Say("deleted user %s", c.Name)
	}
	switch _, err := a.client.RoleDelete(ctx, c.role()); {
	case err == nil:
		a.cfg.Say("deleted role %s", c.role())
	case !errors.Is(err, rpctypes.ErrRoleNotFound):
		return err
	}
	return a.empty(ctx, c)
}

// empty deletes a cluster's keys in one transaction: nobody sees half of it.
func (a *Admin) empty(ctx context.Context, c Cluster) error {
	var ops []clientv3.Op
	for _, g := range c.leaves() {
		if g.To == "" {
			ops = append(ops, clientv3.OpDelete(g.From))
		} else {
			ops = append(ops, clientv3.OpDelete(g.From, clientv3.WithRange(g.To)))
		}
	}
	resp, err := a.client.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return err
	}
	var deleted int64
	for _, r := range resp.Responses {
		deleted += r.GetResponseDeleteRange().GetDeleted()
	}
	a.cfg.Say("deleted %d keys of cluster %s", deleted, c.Name)
	return nil
}
