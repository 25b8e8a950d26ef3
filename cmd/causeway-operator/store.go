package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/causeway-mesh/causeway/federation/policystore/server"
)

// storeCommand is a policy store of its own: one etcd member, for try-outs and
// small fleets.
func storeCommand() *cobra.Command {
	cfg, level := server.DefaultConfig(), "info"
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Run a member of the policy store: etcd behind mTLS",
		Long: `Run one etcd member of the policy store. Alone it is enough for try-outs and small
fleets; three or five, across regions, bear the loss of one or two. It needs a
certificate of its own and the authority that signs its clients' (the store's own
CA, which is not the federation's).

A member that is to have others beside it listens for them (--listen-peer) at an
address of its own (--advertise-peer). To grow, run "causewayctl store add-member"
and start the new member with the flags that it prints. docs/policy-store.md has
every step, and how to turn on authentication, back up and restore.`,
		Example: `  causeway-operator store --data-dir /data --listen 0.0.0.0:2379 --advertise store-1.example.org:2379 \
    --listen-peer 0.0.0.0:2380 --advertise-peer store-1.example.org:2380 --name store-1 \
    --cert-file tls.crt --key-file tls.key --client-ca-file ca.crt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logger(level)
			if err != nil {
				return err
			}
			s, err := server.New(cfg, server.Deps{Log: log})
			if err != nil {
				return err
			}
			if err := s.Run(cmd.Context()); err != nil {
				return fmt.Errorf("policy store: %w", err)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Name, "name", cfg.Name, "name of the member")
	f.StringVar(&cfg.DataDir, "data-dir", "", "directory that holds everything (required)")
	f.StringVar(&cfg.ListenClient, "listen", "127.0.0.1:2379", "host:port for clients")
	f.StringVar(&cfg.AdvertiseClient, "advertise", "", "host:port that clients are told (default: --listen)")
	f.StringVar(&cfg.CertFile, "cert-file", "", "the server's certificate")
	f.StringVar(&cfg.KeyFile, "key-file", "", "its key")
	f.StringVar(&cfg.ClientCAFile, "client-ca-file", "", "authority of the clients' certificates")
	f.StringVar(&cfg.ListenPeer, "listen-peer", cfg.ListenPeer, "IP:port for the other members (the default is for a member that stays alone)")
	f.StringVar(&cfg.AdvertisePeer, "advertise-peer", "", "host:port that the other members are told (default: --listen-peer)")
	f.StringVar(&cfg.PeerCAFile, "peer-ca-file", "", "authority of the other members' certificates (default: --client-ca-file)")
	f.StringVar(&cfg.PeerCommonName, "peer-common-name", cfg.PeerCommonName, "common name of the other members' certificates; no client may have it")
	f.StringVar(&cfg.InitialCluster, "initial-cluster", "", "name=url,name=url of all members, at the first start of one of several")
	f.BoolVar(&cfg.Join, "join", false, "join a store that runs: it must have been told with causewayctl store add-member")
	f.Int64Var(&cfg.QuotaBytes, "quota-bytes", cfg.QuotaBytes, "bound of the data")
	f.StringVar(&level, "log-level", level, "debug, info, warn or error")
	return cmd
}
