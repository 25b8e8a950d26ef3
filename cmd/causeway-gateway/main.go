// Command causeway-gateway is a cluster's gateway: egress for local clients of
// imported services, and the one port that other clusters connect to.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/version"
	"github.com/causeway-mesh/causeway/gateway"
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
	adminListener, err := listen("--admin-address", o.adminAddress)
	if err != nil {
		return err
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	source := identity.NewSource()
	g, err := gateway.New(cfg, gateway.Deps{Identity: source, Listener: listener, Log: log, Metrics: metrics})
	if err != nil {
		return err
	}
	// The admin endpoint and the identity go on while the gateway drains.
	background, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	group, watched := errgroup.WithContext(background)
	group.Go(func() error { return identity.NewDir(o.identityDir, source, log).Run(watched) })
	group.Go(func() error { return admin{g, metrics, o.pprof}.serve(watched, adminListener) })
	group.Go(func() error {
		defer end()
		forward, stop := context.WithCancel(ctx)
		defer stop()
		defer context.AfterFunc(watched, stop)()
		return g.Run(forward)
	})
	return group.Wait()
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
