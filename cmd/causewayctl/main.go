// Command causewayctl looks into a federation: who is a member, how each one is
// doing, and why a service's traffic goes where it goes. Everything it shows was
// decided by the cluster's operator; it works nothing out for itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/causeway-mesh/causeway/federation/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := command(os.Stdout).ExecuteContext(ctx)
	stop()
	code := exitCode(err)
	if code == 1 {
		fmt.Fprintln(os.Stderr, "causewayctl:", err)
	}
	os.Exit(code)
}

// exitCode is 0 for success, 2 for a plan that changes something, and 1 for every error.
func exitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errChanges):
		return 2
	}
	return 1
}

// flags are shared by all commands.
type flags struct {
	kubeconfig string
	context    string
	namespace  string
	output     string
	out        io.Writer
}

func command(out io.Writer) *cobra.Command {
	f := &flags{out: out}
	cmd := &cobra.Command{
		Use:           "causewayctl",
		Short:         "Look into a Causeway federation",
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.SetOut(out)
	p := cmd.PersistentFlags()
	p.StringVar(&f.kubeconfig, "kubeconfig", "", "path of the kubeconfig (default: KUBECONFIG, then ~/.kube/config)")
	p.StringVar(&f.context, "context", "", "kubeconfig context of the cluster to ask (default: the current one)")
	p.StringVar(&f.namespace, "causeway-namespace", "causeway-system", "namespace that the operator runs in")
	p.StringVarP(&f.output, "output", "o", "table", "table or json")
	cmd.AddCommand(statusCommand(f), explainCommand(f), planCommand(f), rolloutCommand(f), storeCommand(f), uninstallCommand(f), versionCommand(f), certsCommand(f))
	return cmd
}
