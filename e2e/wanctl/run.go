package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/causeway-mesh/causeway/e2e/wan"
	"github.com/causeway-mesh/causeway/e2e/wan/script"
)

func runCommand(socket *string) *cobra.Command {
	n := network{routed: wan.DefaultRouted()}
	cmd := &cobra.Command{
		Use: "run", Short: "Join the sites until interrupted; needs CAP_NET_ADMIN where the networks are", Args: cobra.NoArgs,
		Example: "  causeway-wan run --site us-east=172.20.0.0/16 --site eu-west=172.21.0.0/16 --rtt us-east,eu-west=64ms",
		RunE:    func(cmd *cobra.Command, _ []string) error { return n.run(cmd.Context(), cmd.OutOrStdout(), *socket) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&n.sites, "site", nil, "NAME=PREFIX or NAME=PREFIX,REGION; at least two")
	f.StringArrayVar(&n.rtts, "rtt", nil, "A,B=TIME: a round trip, before what regions say")
	f.StringVar(&n.script, "script", "", "file of changes to make over time")
	f.Uint64Var(&n.seed, "seed", 0, "seed of the dice")
	f.IntVar(&n.mtu, "mtu", wan.DefaultConfig().MTU, "of the device, in bytes")
	f.BoolVar(&n.allowed, "no-distance", false, "let pairs without a round trip have none")
	f.StringVar(&n.routed.Device, "device", n.routed.Device, "name of the TUN device")
	f.IntVar(&n.routed.Table, "table", n.routed.Table, "routing table that leads into it")
	f.IntVar(&n.routed.Priority, "priority", n.routed.Priority, "priority of the rules that look it up")
	f.BoolVar(&n.routed.Firewall, "docker", n.routed.Firewall, "let the packets past Docker's iptables rules")
	return cmd
}

func (n network) run(ctx context.Context, out io.Writer, socket string) error {
	cfg, err := n.config()
	if err != nil {
		return err
	}
	changes, err := readScript(n.script)
	if err != nil {
		return err
	}
	control, err := listen(socket)
	if err != nil {
		return err
	}
	defer control.Close()
	w, err := wan.NewRouted(cfg, n.routed)
	if err != nil {
		return err
	}
	for _, s := range w.Status() {
		fmt.Fprintf(out, "%s %s\n", s.Direction, s.Settings.Delay)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return w.Run(ctx) })
	group.Go(func() error { return serve(ctx, control, w) })
	group.Go(func() error {
		err := w.Play(ctx, changes, func(e script.Event) { fmt.Fprintln(out, e) })
		if ctx.Err() != nil {
			return nil
		}
		return err
	})
	return group.Wait()
}

func readScript(path string) (script.Script, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, script.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	s, err := script.Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Read a script and print its changes in order", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := readScript(args[0])
			fmt.Fprint(cmd.OutOrStdout(), s)
			return err
		},
	}
}

func regionsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "regions", Short: "Print the round trips between real regions, in ms", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			out, m := cmd.OutOrStdout(), wan.RegionMatrix()
			fmt.Fprintf(out, "# %s; from row to column\n%-10s", wan.RegionSource, "")
			for _, to := range wan.Regions() {
				fmt.Fprintf(out, "%11s", to)
			}
			for _, from := range wan.Regions() {
				fmt.Fprintf(out, "\n%-10s", from)
				for _, to := range wan.Regions() {
					fmt.Fprintf(out, "%11d", m.RoundTrip(from, to).Milliseconds())
				}
			}
			fmt.Fprintln(out)
		},
	}
}
