// Command packaging makes what users install: the kustomize bases from the chart,
// images, and a release's files. `make generate`, `make images` and `make release`
// call it; it needs no network, no Docker and no cluster.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/causeway-mesh/causeway/hack/packaging/bases"
)

func main() {
	if err := command().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	cmd := &cobra.Command{Use: "packaging", Short: "Makes what users install", SilenceUsage: true, SilenceErrors: true}
	var root string
	cmd.PersistentFlags().StringVar(&root, "root", ".", "the repository")
	cmd.AddCommand(&cobra.Command{
		Use: "bases", Short: "kustomize bases, the chart's CRDs and role, docs/chart-values.md", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return bases.Generate(root) },
	})
	return cmd
}
