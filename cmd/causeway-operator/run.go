package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/causeway-mesh/causeway/controllers"
	"github.com/causeway-mesh/causeway/controllers/memory"
	"github.com/causeway-mesh/causeway/federation/engine"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/policystore"
	"github.com/causeway-mesh/causeway/federation/routefeed"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// operator is the wiring of one process.
type operator struct {
	options  *options
	log      *slog.Logger
	rest     *rest.Config
	identity *identity.Source
	engine   *engine.Engine
	feed     *routefeed.Server
	metrics  *prometheus.Registry
	// waits says what keeps the controllers from starting; nil or empty is nothing.
	// Written by lead, read by the admin endpoint.
	waits atomic.Pointer[string]
	// outrun carries an epoch of our cluster that a peer has proved and that is newer than
	// ours, to the leading part; buffer 1, full = already told.
	outrun chan uint64
	// raised is the epoch that this replica last put on the Lease, or is putting there; 0
	// is none.
	raised atomic.Uint64
	// planning is held while the admin endpoint makes a plan.
	planning sync.Mutex
}

func run(ctx context.Context, o *options) error {
	if err := o.validate(); err != nil {
		return err
	}
	log, err := logger(o.logLevel)
	if err != nil {
		return err
	}
	ctrl.SetLogger(logr.FromSlogHandler(log.With("room", "controllers").Handler()))
	config, err := restConfig(o.kubeconfig)
	if err != nil {
		return err
	}
	// All ports are opened before anything else: a port that is taken ends the
	// process here, with a message, and not somewhere in the middle of its work.
	feedListener, err := listen("--feed-address", o.feedAddress)
	if err != nil {
		return err
	}
	adminListener, err := listen("--admin-address", o.adminAddress)
	if err != nil {
		return err
	}
	gossip, err := listen("--gossip-address", o.gossipAddress)
	if err != nil {
		return err
	}
	_ = gossip.Close() // opened again when the seat is taken

	op := newOperator(o, log, config)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return op.engine.Run(ctx) })
	group.Go(func() error { return op.feed.Serve(ctx, feedListener) })
	group.Go(func() error { return op.serveAdmin(ctx, adminListener) })
	group.Go(func() error { return op.lead(ctx) })
	return group.Wait()
}

func newOperator(o *options, log *slog.Logger, config *rest.Config) *operator {
	op := &operator{options: o, log: log, rest: config, identity: identity.NewSource(), metrics: prometheus.NewRegistry(), outrun: make(chan uint64, 1)}
	op.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	_, gossipPort, _ := net.SplitHostPort(o.gossipAddress)
	cfg := engine.DefaultConfig()
	cfg.Replica, cfg.GossipAddress = o.replica, net.JoinHostPort(o.podIP, gossipPort)
	dialer := &net.Dialer{}
	op.engine = engine.New(cfg, engine.Deps{
		Identity:     op.identity,
		ListenGossip: func() (net.Listener, error) { return listen("--gossip-address", o.gossipAddress) },
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", address)
		},
		Publish:    func(t routing.Table) { op.feed.Publish(t) },
		Silence:    func() { op.feed.Silence() },
		Superseded: op.outrunBy,
		Memory:     op.memory(),
		Log:        log, Metrics: op.metrics,
	})
	unknown := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "causeway_routefeed_unknown_messages_total", Help: "Messages of gateways that this version does not know, as a later one may send; skipped.",
	})
	op.metrics.MustRegister(unknown)
	op.feed = routefeed.NewServer(routefeed.ServerDeps{
		OnUnknown: unknown.Inc,
		TLS:       op.identity.ServerConfig(op.ownGateway),
		OnReport:  op.engine.OnReport, OnGone: op.engine.OnGone, Log: log.With("room", "routefeed"),
	})
	return op
}

// memory is where the policy store's client keeps what it knows; nil if it cannot be.
func (op *operator) memory() policystore.Memory {
	c, err := client.New(op.rest, client.Options{Scheme: controllers.Scheme()})
	if err != nil {
		op.log.Error("what the policy store says will not be kept beyond this process", "error", err)
		return nil
	}
	return memory.New(c, op.options.namespace)
}

// ownGateway admits the gateways of this cluster and nobody else to the feed.
func (op *operator) ownGateway(peer identity.ID) error {
	own, _, ok := op.identity.Own()
	if !ok {
		return identity.ErrNoIdentity
	}
	own.Role = identity.RoleGateway
	return identity.Exactly(own)(peer)
}

func (op *operator) superseded(epoch uint64) {
	op.log.Warn("a newer leader of this cluster is at work: stepping down", "epoch", epoch)
	op.engine.StepDown()
}

// outrunBy is told that a peer has proved a newer epoch of our cluster: the seat is given
// up at once, and taken again only if the Lease says that we lead all the same.
func (op *operator) outrunBy(epoch uint64) {
	op.superseded(epoch)
	select {
	case op.outrun <- epoch:
	default:
	}
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

func restConfig(kubeconfig string) (*rest.Config, error) {
	var config *rest.Config
	var err error
	if kubeconfig == "" {
		config, err = rest.InClusterConfig()
	} else {
		config, err = clientcmd.BuildConfigFromFlags("", kubeconfig)
	}
	if err != nil {
		return nil, fmt.Errorf("finding the cluster's API server (--kubeconfig %q): %w", kubeconfig, err)
	}
	config.QPS, config.Burst = 50, 100
	config.Timeout = 0 // watches last; requests have their own deadlines
	config.UserAgent = "causeway-operator"
	return config, nil
}

// managerRetry is the pause before the controllers are started again.
const managerRetry = time.Second
