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
		Short: "Run a policy store: one etcd member behind mTLS",
		Long: `Run a policy store of one etcd member, for try-outs and small fleets. It needs a
certificate of its own and the authority that signs its clients' (the store's own
CA, which is not the federation's). For production give MeshFederation the
endpoints of an etcd with three or five members across regions.`,
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
	f.Int64Var(&cfg.QuotaBytes, "quota-bytes", cfg.QuotaBytes, "bound of the data")
	f.StringVar(&level, "log-level", level, "debug, info, warn or error")
	return cmd
}
