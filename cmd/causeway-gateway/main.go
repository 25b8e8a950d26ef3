// Command causeway-gateway is a cluster's gateway: egress for local clients of
// imported services, and the one port that other clusters connect to.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/causeway-mesh/causeway/federation/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "causeway-gateway:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	o := defaultOptions()
	cmd := &cobra.Command{
		Use:           "causeway-gateway",
		Short:         "Causeway's gateway: carries traffic between clusters",
		Version:       version.String(),
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	o.bind(cmd.Flags())
	return cmd
}

func run(ctx context.Context, o *options) error {
	cfg, err := o.config()
	if err != nil {
		return err
	}
	log, err := logger(o.logLevel)
	if err != nil {
		return err
	}
	listener, err := listen("--listen", o.listen)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }() // the gateway closes it too, once it runs
	adminListener, err := listen("--admin-address", o.adminAddress)
	if err != nil {
		return err
	}
	cfg.Advertise = cmp.Or(cfg.Advertise, reachable(cfg.Local, listener.Addr()))
	p := process{options: o, cfg: cfg, listener: listener, admin: adminListener, log: log}
	return p.run(ctx)
}

func logger(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: want debug, info, warn or error", level)
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: l})), nil
}

func listen(flag, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s %s is taken by another process: stop that one, or choose another port", flag, address)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, address, err)
	}
	return l, nil
}
