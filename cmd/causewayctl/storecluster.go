package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/pki"
	"github.com/causeway-mesh/causeway/federation/policystore/admin"
)

func storeAddClusterCommand(s *storeFlags) *cobra.Command {
	var cluster admin.Cluster
	issue := true
	c := &certs{validity: pki.DefaultValidity}
	cmd := &cobra.Command{
		Use:   "add-cluster NAME --federation NAME",
		Short: "Make a cluster's user and role in the store, and its client certificate",
		Long: `Make the user NAME, known by its client certificate alone, with a role that reads the
federation's keys and writes only the cluster's own: its registration, exports and
presence, and the counter of the order; with --author its policies; with --coordinator
rollouts and elections. Run it again to renew the certificate, or to change what the
cluster may do: what is not asked for is taken away.

The certificate is signed by store-ca.key in --certs and written to --certs/NAME/, or
printed as a Secret with -o secret. With --issue=false bring one of your own, with the
common name NAME.`,
		Example: "  causewayctl store add-cluster eu-west --federation prod --author --endpoints https://policy-store.example.org:2379\n  causewayctl store add-cluster eu-west --federation prod -o secret --endpoints https://policy-store.example.org:2379 | kubectl --context eu-west apply -f -",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cluster.Name = federation.ClusterName(args[0])
			c.out, c.namespace = s.certs, s.namespace
			if err := s.checkCluster(cluster, c, issue); err != nil {
				return err
			}
			say := s.say
			if s.output == "secret" {
				say = warn
			}
			err := s.with(cmd.Context(), say, func(a *admin.Admin) error { return a.AddCluster(cmd.Context(), cluster) })
			if err != nil || !issue {
				return err
			}
			return s.access(c, args[0])
		},
	}
	p := cmd.Flags()
	p.StringVar(&cluster.Federation, "federation", "", "the federation, as in its MeshFederations' spec.federation (required)")
	p.BoolVar(&cluster.Author, "author", false, "it may write policies")
	p.BoolVar(&cluster.Coordinator, "coordinator", false, "it may lead rollouts")
	p.BoolVar(&issue, "issue", true, "issue a client certificate")
	p.DurationVar(&c.validity, "validity", c.validity, "how long the certificate lives, 1h or more")
	return cmd
}

func (s *storeFlags) checkCluster(cluster admin.Cluster, c *certs, issue bool) error {
	var errs []error
	if cluster.Federation == "" {
		errs = append(errs, errors.New("--federation is empty: give the federation's name"))
	} else {
		errs = append(errs, cluster.Validate())
	}
	if s.output != "table" && s.output != "secret" {
		errs = append(errs, fmt.Errorf("--output %q: want table or secret", s.output))
	}
	if c.validity < time.Hour {
		errs = append(errs, fmt.Errorf("--validity %s: want 1h or more", c.validity))
	}
	if issue && !exists(s.or("", "store-ca.key")) {
		errs = append(errs, fmt.Errorf("%s is missing, so no certificate can be issued: give the directory of the store's authority with --certs, or bring a certificate with the common name %s and say --issue=false", s.or("", "store-ca.key"), cluster.Name))
	}
	return errors.Join(errs...)
}

// access issues a cluster's client certificate.
func (s *storeFlags) access(c *certs, name string) error {
	var made []string
	ca, err := c.authority("store-ca", "causeway policy store CA", &made)
	if err != nil {
		return err
	}
	client, err := ca.Issue(pki.Subject{CommonName: name})
	if err != nil {
		return err
	}
	files := map[string][]byte{"ca.crt": ca.CertPEM, "tls.crt": client.CertPEM, "tls.key": client.KeyPEM}
	if s.output == "secret" {
		secret, err := c.secret("causeway-store", files)
		if err != nil {
			return err
		}
		_, err = s.out.Write(secret)
		return err
	}
	placed := map[string][]byte{}
	for file, data := range files {
		placed[name+"/"+file] = data
	}
	err = c.write(&made, placed)
	for _, file := range made {
		s.say("wrote %s", file)
	}
	return err
}

func storeRemoveClusterCommand(s *storeFlags) *cobra.Command {
	var federationName string
	var yes bool
	cmd := &cobra.Command{
		Use:   "remove-cluster NAME --federation NAME [--yes]",
		Short: "Take a cluster's user, role and keys out of the store",
		Long: `Show what the store holds of a cluster, and with --yes take it away: the user, so that its
certificate opens nothing any more, the role, and all its keys. Run "causewayctl
uninstall" in the cluster first if it is still there.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if federationName == "" {
				return errors.New("--federation is empty: give the federation's name")
			}
			name := federation.ClusterName(args[0])
			return s.with(cmd.Context(), s.say, func(a *admin.Admin) error {
				r, err := a.PreviewRemoval(cmd.Context(), federationName, name)
				switch {
				case err != nil:
					return err
				case r.Empty():
					s.say("nothing to do: the store knows nothing of cluster %s in federation %s", name, federationName)
					return nil
				case yes:
					return a.RemoveCluster(cmd.Context(), federationName, name)
				}
				return s.print(r, func(w io.Writer) { removalTable(w, r, name) })
			})
		},
	}
	cmd.Flags().StringVar(&federationName, "federation", "", "the federation (required)")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	return cmd
}

func removalTable(w io.Writer, r admin.Removal, name federation.ClusterName) {
	_, _ = fmt.Fprintf(w, "this would delete, with --yes:\nuser %s\t%t\nits role\t%t\n", name, r.User, r.Role)
	for _, k := range r.Keys {
		_, _ = fmt.Fprintf(w, "%s\t%d keys\n", k.Kind, k.Keys)
	}
}
