// Command causeway-wan puts a wide-area network between networks of one machine, such
// as one Docker network for each kind cluster, and changes it while it runs.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// defaultSocket is where a running network is told of changes.
const defaultSocket = "/run/causeway-wan.sock"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command(os.Stdout).ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "causeway-wan:", err)
		os.Exit(1)
	}
}

func command(out io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "causeway-wan", Short: "Put a wide-area network between networks of this machine",
		SilenceUsage: true, SilenceErrors: true,
	}
	cmd.SetOut(out)
	socket := cmd.PersistentFlags().String("socket", defaultSocket, "unix socket of the running network")
	cmd.AddCommand(runCommand(socket), setCommand(socket), statsCommand(socket), checkCommand(), regionsCommand(), benchCommand())
	return cmd
}
