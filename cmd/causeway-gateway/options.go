package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/gateway"
)

type options struct {
	instance     string
	cluster      string
	federation   string
	listen       string
	advertise    string
	local        string
	operators    []string
	identityDir  string
	adminAddress string
	logLevel     string
	delay        time.Duration
	drain        time.Duration
	pprof        bool
}

func defaultOptions() *options {
	host, _ := os.Hostname()
	return &options{
		instance: envOr("POD_NAME", host), cluster: os.Getenv("CAUSEWAY_CLUSTER"), federation: os.Getenv("CAUSEWAY_FEDERATION"),
		listen: ":15443", advertise: os.Getenv("CAUSEWAY_ADVERTISE"), local: os.Getenv("POD_IP"),
		operators:    []string{"causeway-operator.causeway-system.svc:15010"},
		identityDir:  "/var/run/causeway/identity",
		adminAddress: ":8081", logLevel: "info", drain: gateway.DefaultConfig().Drain,
	}
}

func (o *options) bind(f *pflag.FlagSet) {
	f.StringVar(&o.instance, "instance", o.instance, "this replica's name: its pod's (POD_NAME)")
	f.StringVar(&o.cluster, "cluster", o.cluster, "the cluster's name in the federation (CAUSEWAY_CLUSTER); empty: what the certificate says")
	f.StringVar(&o.federation, "federation", o.federation, "the federation's name (CAUSEWAY_FEDERATION); empty: what the certificate says")
	f.StringVar(&o.listen, "listen", o.listen, "the one port for other clusters")
	f.StringVar(&o.advertise, "advertise", o.advertise, "host:port at which other clusters reach it, a host name allowed (CAUSEWAY_ADVERTISE); empty: --local-address and the port of --listen")
	f.StringVar(&o.local, "local-address", o.local, "address on which egress ports listen (POD_IP)")
	f.StringSliceVar(&o.operators, "operators", o.operators, "route feeds of this cluster's operators, host:port each; a name may stand for several")
	f.StringVar(&o.identityDir, "identity-dir", o.identityDir, "directory with tls.crt, tls.key and ca.crt, as a Secret is mounted")
	f.StringVar(&o.adminAddress, "admin-address", o.adminAddress, "health, metrics and configuration (plain HTTP, read only)")
	f.StringVar(&o.logLevel, "log-level", o.logLevel, "debug, info, warn or error")
	f.DurationVar(&o.delay, "shutdown-delay", o.delay, "how long new connections are still taken after SIGTERM, while /readyz already says no; pods want some seconds")
	f.DurationVar(&o.drain, "drain-timeout", o.drain, "how long connections may go on after SIGTERM and --shutdown-delay")
	f.BoolVar(&o.pprof, "pprof", false, "serve /debug/pprof on the admin address")
}

// config joins all faults of the flags. What is empty is filled in later: the names
// by the identity, the advertised address by the listener.
func (o *options) config() (gateway.Config, error) {
	cfg := gateway.DefaultConfig()
	cfg.Instance, cfg.Cluster, cfg.Federation = o.instance, federation.ClusterName(o.cluster), o.federation
	cfg.Advertise, cfg.Operators, cfg.ShutdownDelay, cfg.Drain = o.advertise, o.operators, o.delay, o.drain
	var errs []error
	var err error
	if cfg.Local, err = netip.ParseAddr(o.local); err != nil {
		errs = append(errs, fmt.Errorf("--local-address %q is not an IP address: set it, or POD_IP", o.local))
	} else if o.advertise == "" && cfg.Local.IsUnspecified() {
		errs = append(errs, fmt.Errorf("--local-address %s is no address that peers can reach: set it, or --advertise", o.local))
	}
	for flag, addr := range map[string]string{"--listen": o.listen, "--admin-address": o.adminAddress} {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			errs = append(errs, fmt.Errorf("%s %q: want host:port or :port", flag, addr))
		}
	}
	if info, err := os.Stat(o.identityDir); err == nil && !info.IsDir() {
		errs = append(errs, fmt.Errorf("--identity-dir %s is not a directory", o.identityDir))
	}
	if len(errs) == 0 {
		errs = append(errs, complete(cfg).Validate())
	}
	return cfg, errors.Join(errs...)
}

// complete stands in for what is not known yet, so that the rest can be validated
// before the process waits for anything.
func complete(cfg gateway.Config) gateway.Config {
	cfg.Cluster = cmp.Or(cfg.Cluster, "from-the-certificate")
	cfg.Federation = cmp.Or(cfg.Federation, "from-the-certificate")
	cfg.Advertise = cmp.Or(cfg.Advertise, "192.0.2.1:1")
	return cfg
}

// reachable is where peers reach us when nothing else is said: our own address, and
// the port that the listener has in fact.
func reachable(local netip.Addr, listener net.Addr) string {
	_, port, _ := net.SplitHostPort(listener.String()) // a listener's address always has a port
	return net.JoinHostPort(local.String(), port)
}

func envOr(key, fallback string) string {
	if v := strings.TrimSpace(os.Getenv(key)); v != "" {
		return v
	}
	return fallback
}
