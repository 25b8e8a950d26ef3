package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/causeway-mesh/causeway/federation/policystore/admin"
)

func storeBackupCommand(s *storeFlags) *cobra.Command {
	within := 10 * time.Minute
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a snapshot of the store to a file, and read it back",
		Long: `Write a snapshot of the whole store to a new file that only you may read, sync it to the
disk, read it back from end to end, and print its SHA-256. The snapshot holds users and
roles too. Keep it away from the store's machines.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), within)
			defer cancel()
			return s.with(ctx, s.say, func(a *admin.Admin) error {
				b, err := a.Backup(ctx, args[0])
				if err != nil {
					return err
				}
				s.sayBackup("wrote and read back", b)
				return nil
			})
		},
	}
	cmd.Flags().DurationVar(&within, "timeout", within, "how long it may take in all")
	return cmd
}

func (s *storeFlags) sayBackup(verb string, b admin.Backup) {
	s.say("%s %s: %d bytes, revision %d, %d keys", verb, b.File, b.Bytes, b.Revision, b.Keys)
	s.say("sha256 %s", b.SHA256)
}

func storeRestoreCommand(s *storeFlags) *cobra.Command {
	var r admin.Restore
	cmd := &cobra.Command{
		Use:   "restore FILE --data-dir DIR",
		Short: "Lay a snapshot out as the data of a new member",
		Long: `Check a snapshot and lay it out as the data of a new member, in a directory that is absent
or empty. It asks no running store. Start the member with that --data-dir afterwards.

For several members run it once for each, with the same --initial-cluster and --token.
A restored store is another one than before, and perhaps an older one: every cluster
refuses it, and goes on with what it knows, until "causewayctl store accept".`,
		Example: "  causewayctl store restore backup.db --data-dir store\n  causewayctl store restore backup.db --data-dir store --name store-1 --peer-url https://store-1.example.org:2380 \\\n    --initial-cluster store-1=https://store-1.example.org:2380,store-2=https://store-2.example.org:2380,store-3=https://store-3.example.org:2380 --token restored-2026-05-01",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			r.File = args[0]
			if r.DataDir == "" {
				return errors.New("--data-dir is empty: give the directory that the member will be started with")
			}
			b, err := admin.RestoreBackup(r)
			if err != nil {
				return err
			}
			s.sayBackup("restored", b)
			s.say("every cluster will refuse the restored store and go on with what it knows: start it, look at it with `causewayctl store status`, then run `causewayctl store accept --federation NAME`")
			return nil
		},
	}
	p := cmd.Flags()
	p.StringVar(&r.DataDir, "data-dir", "", "the --data-dir of causeway-operator store (required)")
	p.BoolVar(&r.Etcd, "etcd", false, "--data-dir is that of an etcd of your own")
	p.StringVar(&r.Name, "name", "causeway-store", "name of the member")
	p.StringVar(&r.PeerURL, "peer-url", "", "what it tells its peers (default: nothing that others could reach)")
	p.StringVar(&r.InitialCluster, "initial-cluster", "", "name=url,name=url of all members (default: this one alone)")
	p.StringVar(&r.Token, "token", "", "the same for all members, and new for each restore (default: random, for one member alone)")
	return cmd
}

func storeAcceptCommand(s *storeFlags) *cobra.Command {
	var federations []string
	cmd := &cobra.Command{
		Use:   "accept --federation NAME",
		Short: "Let the clusters follow a store that was restored or replaced",
		Long: `Let the clusters of a federation follow a store that is another one than before, or has gone
back to an earlier revision. Until then they apply nothing of it, write nothing to it, and
go on with what they know. Look first what it holds ("causewayctl store status"): policies
of after the backup are gone with it, and their authors' operators write them again.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(federations) == 0 {
				return errors.New("--federation is empty: give the federation's name")
			}
			return s.with(cmd.Context(), s.say, func(a *admin.Admin) error {
				for _, f := range federations {
					got, err := a.Accept(cmd.Context(), f)
					if err != nil {
						return err
					}
					s.say("accepted store %d at revision %d for federation %s", got.StoreID, got.Revision, f)
				}
				return nil
			})
		},
	}
	cmd.Flags().StringSliceVar(&federations, "federation", nil, "the federations (required)")
	return cmd
}

func storeAddMemberCommand(s *storeFlags) *cobra.Command {
	var peerURL string
	within := 10 * time.Minute
	cmd := &cobra.Command{
		Use:   "add-member NAME --peer-url URL",
		Short: "Add a member to the store: it learns first, then has its vote",
		Long: `Add a member to the store, without a vote; print the flags to start it with; wait until it
has started and caught up, and give it its vote. Run it again to wait again. A member of
that name with another peer URL is moved to the new one instead.`,
		Example: "  causewayctl store add-member store-2 --peer-url https://store-2.example.org:2380 --endpoints https://store-1.example.org:2379",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if peerURL == "" {
				return errors.New("--peer-url is empty: give the address at which the other members will reach it, for example https://store-2.example.org:2380")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), within)
			defer cancel()
			return s.with(ctx, s.say, func(a *admin.Admin) error {
				j, err := a.AddMember(ctx, args[0], peerURL)
				if err != nil {
					return err
				}
				if j.Voter {
					s.say("nothing to do: member %s has its vote", j.Name)
					return nil
				}
				s.say("start it now, beside its addresses and certificates, with:\n  --name %s --join --initial-cluster %s", j.Name, j.InitialCluster)
				if err := a.Promote(ctx, j.Name); err != nil {
					return err
				}
				s.say("give its client address to every MeshFederation's spec.policyStore.endpoints")
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&peerURL, "peer-url", "", "where the other members reach it, https://host:port (required)")
	cmd.Flags().DurationVar(&within, "timeout", within, "how long it may take in all")
	return cmd
}
