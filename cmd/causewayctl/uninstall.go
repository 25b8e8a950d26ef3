package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/causeway-mesh/causeway/controllers"
	"github.com/causeway-mesh/causeway/controllers/cleanup"
)

func uninstallCommand(f *flags) *cobra.Command {
	var cfg cleanup.Config
	within := 50 * time.Second
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Take a cluster out of its federation and delete what Causeway derived in it",
		Long: `Take a cluster out of its federation and delete what Causeway derived in it: the
MeshFederation, ServiceImports with their Services and EndpointSlices,
EffectivePolicies, and the Certificates. RoutingPolicies and ServiceExports are yours
and stay; only Causeway's finalizer is taken off them. Run it before you delete the
installation itself (kubectl delete -k, of config/gateway, config/operator and
config/rbac: config/default holds the CRDs too, and they take what you wrote along);
the Helm chart does so by itself.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := f.rest(f.context)
			if err != nil {
				return err
			}
			c, err := client.New(config, client.Options{Scheme: controllers.Scheme()})
			if err != nil {
				return fmt.Errorf("asking the API server: %w", err)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), within)
			defer cancel()
			cfg.Namespace = f.namespace
			cfg.Say = func(format string, args ...any) { _, _ = fmt.Fprintf(f.out, format+"\n", args...) }
			if err := cleanup.Run(ctx, c, cfg); err != nil {
				return fmt.Errorf("cleaning up: %w", err)
			}
			cfg.Say("nothing of Causeway's own is left but the installation itself: delete that with kubectl delete -k (config/gateway, config/operator, config/rbac), or helm uninstall")
			return nil
		},
	}
	cmd.Flags().DurationVar(&cfg.Withdraw, "withdraw-timeout", 20*time.Second, "how long the operators may take to withdraw from the federation")
	cmd.Flags().DurationVar(&within, "timeout", within, "how long it may take in all")
	return cmd
}
