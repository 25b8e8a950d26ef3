package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/causeway-mesh/causeway/controllers"
	"github.com/causeway-mesh/causeway/controllers/cleanup"
	"github.com/causeway-mesh/causeway/controllers/crds"
)

// crdsCommand is what the chart runs before an upgrade.
func crdsCommand() *cobra.Command {
	var kubeconfig string
	within := time.Minute
	cmd := &cobra.Command{
		Use:   "crds",
		Short: "Install or upgrade the CustomResourceDefinitions that this version needs",
		Long: `Install or upgrade the CustomResourceDefinitions that this version needs:
Causeway's own are brought up to date by server-side apply; those of the MCS API are
created where they are missing and otherwise left as they are.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), within)
			defer cancel()
			c, err := directClient(kubeconfig)
			if err != nil {
				return err
			}
			return crds.Apply(ctx, c, say(cmd))
		},
	}
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig of this cluster; empty means the pod's service account")
	cmd.Flags().DurationVar(&within, "timeout", within, "how long it may take")
	return cmd
}

// cleanupCommand is what the chart runs before it is uninstalled.
func cleanupCommand() *cobra.Command {
	var kubeconfig string
	var cfg cleanup.Config
	within := 50 * time.Second
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Take this cluster out of its federation and delete what Causeway derived",
		Long: `Take this cluster out of its federation and delete what Causeway derived in it:
the MeshFederation, ServiceImports with their Services and EndpointSlices,
EffectivePolicies, and the Certificates. RoutingPolicies and ServiceExports are yours
and stay; only Causeway's finalizer is taken off them. Run it while the operators still
run, so that they can withdraw from the federation; without them it takes a little longer.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), within)
			defer cancel()
			c, err := directClient(kubeconfig)
			if err != nil {
				return err
			}
			cfg.Say = say(cmd)
			if err := cleanup.Run(ctx, c, cfg); err != nil {
				return fmt.Errorf("cleaning up: %w", err)
			}
			cfg.Say("nothing of Causeway's own is left but the installation itself")
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig of this cluster; empty means the pod's service account")
	f.StringVar(&cfg.Namespace, "namespace", envOr("POD_NAMESPACE", "causeway-system"), "the namespace of Causeway's own objects (POD_NAMESPACE)")
	f.DurationVar(&cfg.Withdraw, "withdraw-timeout", 20*time.Second, "how long the operators may take to withdraw from the federation")
	f.DurationVar(&within, "timeout", within, "how long it may take in all")
	return cmd
}

func say(cmd *cobra.Command) func(string, ...any) {
	return func(format string, args ...any) { _, _ = fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...) }
}

// directClient reads and writes without a cache.
func directClient(kubeconfig string) (client.Client, error) {
	config, err := restConfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: controllers.Scheme()})
}
