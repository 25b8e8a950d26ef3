// Command cert-manager-controller runs the controllers of cert-manager that the
// process clusters of Causeway's demo and tests need: issuers of the kinds CA and
// SelfSigned, and Certificates. The controllers are cert-manager's own, unchanged;
// only what would talk to ACME servers, Vault, Venafi or ingresses is not built,
// because cert-manager publishes its command in no Go module.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/klog/v2"

	logf "github.com/cert-manager/cert-manager/pkg/logs"
)

// stopGrace bounds how long a worker may finish its item after SIGTERM.
const stopGrace = 10 * time.Second

type options struct {
	kubeconfig    string
	namespace     string
	leaderElect   bool
	leaseIdentity string
	workers       int
}

func main() {
	var o options
	fs := flag.NewFlagSet("cert-manager-controller", flag.ExitOnError)
	fs.StringVar(&o.kubeconfig, "kubeconfig", "", "path of the kubeconfig; empty means in-cluster")
	fs.StringVar(&o.namespace, "namespace", "cert-manager", "namespace of the Secrets that ClusterIssuers name, and of the leader's Lease")
	fs.BoolVar(&o.leaderElect, "leader-elect", false, "wait for the Lease before running; only needed with several replicas")
	fs.IntVar(&o.workers, "workers", 2, "concurrent items per controller")
	klog.InitFlags(fs)
	_ = fs.Parse(os.Args[1:]) // ExitOnError

	host, _ := os.Hostname()
	o.leaseIdentity = fmt.Sprintf("%s-%d", host, os.Getpid())

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx = logf.NewContext(ctx, klog.Background(), "cert-manager")
	// Workers that hang in a request must not outlive the grace: the process that
	// started us would have to kill us, and say so.
	context.AfterFunc(ctx, func() {
		time.AfterFunc(stopGrace, func() { klog.ErrorS(nil, "workers did not end in time"); os.Exit(1) })
	})

	if err := run(ctx, o); err != nil {
		klog.ErrorS(err, "cert-manager-controller ends")
		klog.Flush()
		os.Exit(1)
	}
	klog.Flush()
}
