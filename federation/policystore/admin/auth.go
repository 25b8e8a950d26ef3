package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Init is what Admin.Init sets up.
type Init struct {
	// Federations get their common roles; AddCluster makes them too.
	Federations []string
	// LockOut turns authentication on although clusters are registered that have no user.
	LockOut bool
}

// Init makes root and the common roles, and turns authentication on. It changes nothing
// that is right already, and refuses before it changes anything if root's certificate
// would not be recognised afterwards.
func (a *Admin) Init(ctx context.Context, want Init) error {
	for _, f := range want.Federations {
		if err := validateFederation(f); err != nil {
			return err
		}
	}
	if err := a.sure(); err != nil {
		return err
	}
	on, err := a.authOn(ctx)
	if err != nil {
		return fmt.Errorf("asking whether authentication is on: %w", a.told(err))
	}
	a.cfg.Say("authentication is %s", map[bool]string{true: "on", false: "off"}[on])
	if err := a.ensureRoot(ctx); err != nil {
		return a.told(err)
	}
	for _, f := range want.Federations {
		if err := a.ensureCommon(ctx, f); err != nil {
			return a.told(err)
		}
	}
	if on {
		return nil
	}
	return a.told(a.turnOn(ctx, want.LockOut))
}

// sure refuses what would lock root out.
func (a *Admin) sure() error {
	switch {
	case a.cfg.TLS == nil:
		return errors.New("users are known by their certificates, so the policy store needs TLS: start its members with certificates and give https endpoints")
	case a.user() != RootUser:
		return fmt.Errorf("our client certificate is user %q's (its common name): authentication needs %q's, or nobody could administer the store; give it with --cert and --key", a.user(), RootUser)
	case len(a.anonymous) > 0:
		return fmt.Errorf("%s takes clients without a certificate, so nobody could be root there: start etcd with --client-cert-auth and --trusted-ca-file", strings.Join(a.anonymous, ", "))
	}
	return nil
}

func (a *Admin) authOn(ctx context.Context) (bool, error) {
	ctx, cancel := a.within(ctx)
	defer cancel()
	resp, err := a.client.AuthStatus(ctx)
	if err != nil {
		return false, err
	}
	return resp.Enabled, nil
}

func (a *Admin) turnOn(ctx context.Context, lockOut bool) error {
	out, err := a.withoutUser(ctx)
	if err != nil {
		return err
	}
	if len(out) > 0 && !lockOut {
		return fmt.Errorf("these clusters are registered and have no user yet, so they would be locked out: %s; run `causewayctl store add-cluster` for each first (it works now), or say --lock-out", strings.Join(out, ", "))
	}
	ctx, cancel := a.within(ctx)
	defer cancel()
	if _, err := a.client.AuthEnable(ctx); err != nil {
		return err
	}
	a.cfg.Say("turned authentication on")
	if _, err := a.client.UserGet(ctx, RootUser); err != nil {
		return fmt.Errorf("authentication is on, but we are not root: %w", err)
	}
	a.cfg.Say("verified: this certificate is root's")
	return nil
}

// withoutUser are registered clusters that authentication would lock out.
func (a *Admin) withoutUser(ctx context.Context) ([]string, error) {
	users, err := a.users(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := a.count(ctx, false)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, k := range keys {
		if k.Kind == "members" && !slices.Contains(users, k.Cluster) {
			out = append(out, k.Federation+"/"+k.Cluster)
		}
	}
	return out, nil
}

func (a *Admin) users(ctx context.Context) ([]string, error) {
	ctx, cancel := a.within(ctx)
	defer cancel()
	resp, err := a.client.UserList(ctx)
	if err != nil {
		return nil, err
	}
	return resp.Users, nil
}

func (a *Admin) ensureRoot(ctx context.Context) error {
	if err := a.ensureRole(ctx, RootUser, nil); err != nil {
		return err
	}
	has, err := a.ensureUser(ctx, RootUser)
	if err != nil {
		return err
	}
	return a.ensureMember(ctx, RootUser, has, RootUser)
}

func (a *Admin) ensureCommon(ctx context.Context, federationName string) error {
	if err := a.ensureRole(ctx, readerRole(federationName), readers(federationName)); err != nil {
		return err
	}
	return a.ensureRole(ctx, coordinatorRole(federationName), coordinators(federationName))
}

// ensureRole makes a role grant exactly these.
func (a *Admin) ensureRole(ctx context.Context, role string, want []Grant) error {
	ctx, cancel := a.within(ctx)
	defer cancel()
	var have []held
	resp, err := a.client.RoleGet(ctx, role)
	switch {
	case errors.Is(err, rpctypes.ErrRoleNotFound):
		if _, err := a.client.RoleAdd(ctx, role); err != nil {
			return fmt.Errorf("making role %s: %w", role, err)
		}
		a.cfg.Say("made role %s", role)
	case err != nil:
		return fmt.Errorf("reading role %s: %w", role, err)
	case role == RootUser:
		return nil // may do everything by its name
	default:
		have = heldBy(resp.Perm)
	}
	return a.adjust(ctx, role, have, want)
}

func (a *Admin) adjust(ctx context.Context, role string, have []held, want []Grant) error {
	// The surplus goes first: etcd revokes by range, whatever the right to it.
	for _, h := range have {
		if !h.both && slices.Contains(want, h.Grant) {
			continue
		}
		if _, err := a.client.RoleRevokePermission(ctx, role, h.From, h.To); err != nil {
			return fmt.Errorf("taking %q from role %s: %w", h.Grant, role, err)
		}
		a.cfg.Say("took from role %s: %s", role, h.Grant)
	}
	for _, g := range want {
		if slices.Contains(have, held{Grant: g}) {
			continue
		}
		kind := authpb.READ
		if g.Write {
			kind = authpb.WRITE
		}
		if _, err := a.client.RoleGrantPermission(ctx, role, g.From, g.To, clientv3.PermissionType(kind)); err != nil {
			return fmt.Errorf("giving %q to role %s: %w", g, role, err)
		}
		a.cfg.Say("gave role %s: %s", role, g)
	}
	return nil
}

// held is a right that a role has; both is to read and to write at once, which is none
// of ours.
type held struct {
	Grant
	both bool
}

func heldBy(perms []*authpb.Permission) []held {
	var out []held
	for _, p := range perms {
		out = append(out, held{
			Grant: Grant{From: string(p.Key), To: string(p.RangeEnd), Write: p.PermType != authpb.READ},
			both:  p.PermType == authpb.READWRITE,
		})
	}
	return out
}

// ensureUser makes a user without a password, and returns the roles it has.
func (a *Admin) ensureUser(ctx context.Context, name string) ([]string, error) {
	ctx, cancel := a.within(ctx)
	defer cancel()
	resp, err := a.client.UserGet(ctx, name)
	switch {
	case errors.Is(err, rpctypes.ErrUserNotFound):
		if _, err := a.client.UserAddWithOptions(ctx, name, "", &clientv3.UserAddOptions{NoPassword: true}); err != nil {
			return nil, fmt.Errorf("making user %s: %w", name, err)
		}
		a.cfg.Say("made user %s, known by its certificate alone", name)
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading user %s: %w", name, err)
	}
	return resp.Roles, nil
}

func (a *Admin) ensureMember(ctx context.Context, user string, has []string, role string) error {
	if slices.Contains(has, role) {
		return nil
	}
	ctx, cancel := a.within(ctx)
	defer cancel()
	if _, err := a.client.UserGrantRole(ctx, user, role); err != nil {
		return fmt.Errorf("giving role %s to user %s: %w", role, user, err)
	}
	a.cfg.Say("gave user %s the role %s", user, role)
	return nil
}
