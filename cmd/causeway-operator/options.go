package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// options are the operator's flags; the environment gives what a pod knows of
// itself through the downward API.
type options struct {
	replica       string
	namespace     string
	podIP         string
	kubeconfig    string
	feedAddress   string
	gossipAddress string
	adminAddress  string
	logLevel      string
	lease         time.Duration
	renew         time.Duration
	retry         time.Duration
	pprof         bool
}

func defaultOptions() *options {
	host, _ := os.Hostname()
	return &options{
		replica:     envOr("POD_NAME", host),
		namespace:   envOr("POD_NAMESPACE", "causeway-system"),
		podIP:       os.Getenv("POD_IP"),
		feedAddress: ":15010", gossipAddress: ":15011", adminAddress: ":8080", logLevel: "info",
		lease: 6 * time.Second, renew: 4 * time.Second, retry: 2 * time.Second,
	}
}

func (o *options) bind(f *pflag.FlagSet) {
	f.StringVar(&o.replica, "replica", o.replica, "this replica's name: its pod's (POD_NAME)")
	f.StringVar(&o.namespace, "namespace", o.namespace, "the namespace of Causeway's own objects (POD_NAMESPACE)")
	f.StringVar(&o.podIP, "pod-ip", o.podIP, "the address at which this cluster's gateways reach the operator (POD_IP)")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of this cluster; empty means the pod's service account")
	f.StringVar(&o.feedAddress, "feed-address", o.feedAddress, "where gateways connect for their route table")
	f.StringVar(&o.gossipAddress, "gossip-address", o.gossipAddress, "where gateways pass gossip streams on to")
	f.StringVar(&o.adminAddress, "admin-address", o.adminAddress, "health, metrics, status and explain (plain HTTP, read only)")
	f.StringVar(&o.logLevel, "log-level", o.logLevel, "debug, info, warn or error")
	f.DurationVar(&o.lease, "leader-lease", o.lease, "how long a silent leader keeps the lease")
	f.DurationVar(&o.renew, "leader-renew", o.renew, "after how long without renewal a leader gives up; less than --leader-lease")
	f.DurationVar(&o.retry, "leader-retry", o.retry, "pause between tries to get or renew the lease; less than --leader-renew")
	f.BoolVar(&o.pprof, "pprof", false, "serve /debug/pprof on the admin address")
}

func (o *options) validate() error {
	var errs []error
	if o.replica == "" {
		errs = append(errs, errors.New("--replica is empty: set it, or POD_NAME"))
	}
	if net.ParseIP(o.podIP) == nil {
		errs = append(errs, fmt.Errorf("--pod-ip %q is not an IP address: set it, or POD_IP", o.podIP))
	}
	if o.retry <= 0 || o.renew <= o.retry || o.lease <= o.renew {
		errs = append(errs, fmt.Errorf("leader election needs lease %s > renew %s > retry %s > 0", o.lease, o.renew, o.retry))
	}
	for flag, addr := range map[string]string{"--feed-address": o.feedAddress, "--gossip-address": o.gossipAddress, "--admin-address": o.adminAddress} {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			errs = append(errs, fmt.Errorf("%s %q: want host:port or :port", flag, addr))
		}
	}
	return errors.Join(errs...)
}

func envOr(key, fallback string) string {
	if v := strings.TrimSpace(os.Getenv(key)); v != "" {
		return v
	}
	return fallback
}
