package main

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/gateway"
)

// process is a gateway from its start on: first it has only an admin endpoint, and
// waits for its identity.
type process struct {
	options  *options
	cfg      gateway.Config
	listener net.Listener // nothing is accepted on it before there is an identity
	admin    net.Listener
	log      *slog.Logger
}

// run forwards until ctx ends and the drain is over.
func (p *process) run(ctx context.Context) error {
	source := identity.NewSource()
	source.Expect(expected(p.options))
	dir := identity.NewDir(p.options.identityDir, source, p.log)
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	var running atomic.Pointer[gateway.Gateway] // nil until there is an identity

	// The admin endpoint and the identity go on while the gateway drains.
	background, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	group, watched := errgroup.WithContext(background)
	group.Go(func() error { return dir.Run(watched) })
	group.Go(func() error {
		waiting := func() string { return awaited(p.options.identityDir, dir.Problem()) }
		return admin{&running, waiting, metrics, p.options.pprof}.serve(watched, p.admin)
	})
	group.Go(func() error {
		defer end()
		forward, stop := context.WithCancel(ctx)
		defer stop()
		defer context.AfterFunc(watched, stop)()
		return p.forward(forward, source, metrics, &running)
	})
	return group.Wait()
}

// forward is the gateway's life, once there is an identity.
func (p *process) forward(ctx context.Context, source *identity.Source, metrics *prometheus.Registry, running *atomic.Pointer[gateway.Gateway]) error {
	cfg, ok := named(ctx, source, p.options, p.cfg)
	if !ok {
		return nil
	}
	p.log.Info("gateway starts", "cluster", string(cfg.Cluster), "federation", cfg.Federation,
		"gateway", cfg.Instance, "advertises", cfg.Advertise)
	g, err := gateway.New(cfg, gateway.Deps{Identity: source, Listener: p.listener, Log: p.log, Metrics: metrics})
	if err != nil {
		return err
	}
	running.Store(g)
	return g.Run(ctx)
}
