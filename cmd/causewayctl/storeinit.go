package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/causeway-mesh/causeway/federation/pki"
	"github.com/causeway-mesh/causeway/federation/policystore/admin"
)

func storeInitCommand(s *storeFlags) *cobra.Command {
	var want admin.Init
	c := &certs{validity: pki.DefaultValidity}
	cmd := &cobra.Command{
		Use:   "init --store-host HOST | --endpoints URL",
		Short: "Make the store's certificates, its root user, and turn authentication on",
		Long: `First without --endpoints: make what is missing of the store's authority, its server
certificate and root's client certificate, into --certs. Start the store with them. Then
with --endpoints: make the user and the role root and the federation's common roles, and
turn authentication on. What is there already is kept; run it as often as you like.

It refuses if our certificate is not root's, if the store does not ask for certificates,
or if a cluster is registered that has no user yet.`,
		Example: "  causewayctl store init --store-host policy-store.example.org\n  causewayctl store init --endpoints https://policy-store.example.org:2379 --federation prod",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.out, c.namespace = s.certs, s.namespace
			if s.caFile == "" {
				if err := s.makeCerts(c); err != nil {
					return err
				}
			}
			if len(s.endpoints) == 0 {
				s.say("start the store's members with %s, then run this again with --endpoints", filepath.Join(s.certs, "store", "{tls.crt,tls.key,ca.crt}"))
				return nil
			}
			return s.with(cmd.Context(), s.say, func(a *admin.Admin) error { return a.Init(cmd.Context(), want) })
		},
	}
	p := cmd.Flags()
	p.StringSliceVar(&c.storeHosts, "store-host", nil, "names and addresses at which the store is dialled, by clusters and by its other members (required the first time)")
	p.DurationVar(&c.validity, "validity", c.validity, "how long the certificates live, 1h or more")
	p.StringSliceVar(&want.Federations, "federation", nil, "federations whose common roles to make (add-cluster makes them too)")
	p.BoolVar(&want.LockOut, "lock-out", false, "turn authentication on although clusters without a user are registered")
	return cmd
}

// makeCerts makes what is missing of the store's own certificates.
func (s *storeFlags) makeCerts(c *certs) error {
	if c.validity < time.Hour {
		return fmt.Errorf("--validity %s: want 1h or more", c.validity)
	}
	server := filepath.Join(c.out, "store", "tls.crt")
	if !exists(server) && len(c.storeHosts) == 0 {
		if exists(filepath.Join(c.out, "store-root.crt")) || s.certFile != "" {
			return nil // the server's certificates are somebody else's
		}
		return errors.New("--store-host is empty: give the names or addresses at which the policy store is dialled; or bring certificates of your own with --store-ca, --cert and --key")
	}
	var made []string
	err := c.storeOnly(&made)
	for _, name := range made {
		s.say("wrote %s", name)
	}
	return err
}

func (c *certs) storeOnly(made *[]string) error {
	ca, err := c.authority("store-ca", "causeway policy store CA", made)
	if err != nil {
		return err
	}
	if err := c.store(ca, made); err != nil {
		return err
	}
	if exists(filepath.Join(c.out, "store-root.crt")) {
		return nil
	}
	root, err := ca.Issue(pki.Subject{CommonName: admin.RootUser})
	if err != nil {
		return err
	}
	return c.write(made, map[string][]byte{"store-root.crt": root.CertPEM, "store-root.key": root.KeyPEM})
}
