package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"

	"github.com/cert-manager/cert-manager/pkg/controller"
	"github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	crca "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	crselfsigned "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	"github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	"github.com/cert-manager/cert-manager/pkg/controller/issuers"

	// The issuers of these kinds register themselves with the issuer factory.
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
)

// wanted names the controllers to construct, as they are known to cert-manager.
func wanted() []string {
	return []string{
		issuers.ControllerName,
		clusterissuers.ControllerName,
		approver.ControllerName,
		crca.CRControllerName,
		crselfsigned.CRControllerName,
		issuing.ControllerName,
		keymanager.ControllerName,
		readiness.ControllerName,
		requestmanager.ControllerName,
		revisionmanager.ControllerName,
		trigger.ControllerName,
	}
}

// contextOptions are the defaults of cert-manager's own command.
func contextOptions(o options) controller.ContextOptions {
	return controller.ContextOptions{
		Kubeconfig:         o.kubeconfig,
		KubernetesAPIQPS:   20,
		KubernetesAPIBurst: 50,
		IssuerOptions:      controller.IssuerOptions{ClusterResourceNamespace: o.namespace},
		CertificateOptions: controller.CertificateOptions{
			CertificateRequestMinimumBackoffDuration: time.Hour,
			CertificateRequestMaximumBackoffDuration: 32 * time.Hour,
		},
	}
}

func run(ctx context.Context, o options) error {
	factory, err := controller.NewContextFactory(ctx, contextOptions(o))
	if err != nil {
		return err
	}
	root, err := factory.Build()
	if err != nil {
		return err
	}
	if o.leaderElect {
		return lead(ctx, o, root.Client, func(ctx context.Context) error { return runControllers(ctx, o, factory) })
	}
	return runControllers(ctx, o, factory)
}

// runControllers constructs every controller before it starts the informers: a
// controller asks for its informers while it is constructed, and a factory starts
// only those that were asked for.
func runControllers(ctx context.Context, o options, factory *controller.ContextFactory) error {
	root, err := factory.Build()
	if err != nil {
		return err
	}
	known := controller.Known()
	group, ctx := errgroup.WithContext(ctx)
	for _, name := range wanted() {
		construct, ok := known[name]
		if !ok {
			return fmt.Errorf("controller %s is not known to this version of cert-manager", name)
		}
		c, err := construct(factory)
		if err != nil {
			return fmt.Errorf("constructing controller %s: %w", name, err)
		}
		group.Go(func() error {
			if err := c.Run(o.workers, ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("running controller %s: %w", name, err)
			}
			return nil
		})
	}
	root.SharedInformerFactory.Start(ctx.Done())
	root.KubeSharedInformerFactory.Start(ctx.Done())
	klog.InfoS("controllers are running", "count", len(wanted()))
	return group.Wait()
}

func lead(ctx context.Context, o options, client kubernetes.Interface, run func(context.Context) error) error {
	var runErr error
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: o.namespace, Name: "cert-manager-controller"},
		Client:     client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: o.leaseIdentity},
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{}) // closed once the controllers have ended
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, ReleaseOnCancel: true, Name: "cert-manager-controller",
		LeaseDuration: 60 * time.Second, RenewDeadline: 40 * time.Second, RetryPeriod: 15 * time.Second,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { defer close(done); runErr = run(ctx); cancel() },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return err
	}
	elector.Run(ctx)
	select {
	case <-done:
		return runErr
	default:
	}
	if ctx.Err() == nil {
		return errors.New("lost the leader's Lease")
	}
	return nil
}
