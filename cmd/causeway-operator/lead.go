package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/retry"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/causeway-mesh/causeway/controllers"
)

const (
	leaseName = "causeway-operator"
	// epochAnnotation on the Lease counts acquisitions: the fencing epoch.
	epochAnnotation = "federation.causeway.dev/epoch"
	// epochCheck is how often a replica looks whether a newer leader has been at work.
	epochCheck = 2 * time.Second
)

// lead runs the controllers under leader election, again and again: the manager
// returns when its lease is lost, but seat and feed go on until a newer epoch
// shows itself.
func (op *operator) lead(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(op.rest)
	if err != nil {
		return fmt.Errorf("building the client of the API server: %w", err)
	}
	go op.watchEpoch(ctx, client)
	for ctx.Err() == nil {
		if !op.prepared(ctx, client) {
			return nil
		}
		err := op.manage(ctx, client)
		if ctx.Err() != nil {
			return nil
		}
		op.log.Warn("controllers have ended, starting them again; routes and gossip stay as they are", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(managerRetry):
		}
	}
	return nil
}

func (op *operator) manage(ctx context.Context, client kubernetes.Interface) error {
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: op.options.namespace, Name: leaseName},
		Client:     client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: op.options.replica + "_" + string(uuid.NewUUID())},
	}
	skip := true
	mgr, err := ctrl.NewManager(op.rest, ctrl.Options{
		Scheme:                              controllers.Scheme(),
		Metrics:                             server.Options{BindAddress: "0"}, // served on our admin address
		LeaderElection:                      true,
		LeaderElectionID:                    leaseName,
		LeaderElectionResourceLockInterface: lock,
		LeaseDuration:                       &op.options.lease,
		RenewDeadline:                       &op.options.renew,
		RetryPeriod:                         &op.options.retry,
		LeaderElectionReleaseOnCancel:       true,
		Controller:                          config.Controller{SkipNameValidation: &skip},
	})
	if err != nil {
		return fmt.Errorf("building the controllers' manager: %w", err)
	}
	if err := mgr.Add(manager.RunnableFunc(func(ctx context.Context) error { return op.acquired(ctx, client) })); err != nil {
		return err
	}
	if err := controllers.Register(mgr, controllers.Deps{Engine: op.engine, Namespace: op.options.namespace}); err != nil {
		return fmt.Errorf("registering the controllers: %w", err)
	}
	return mgr.Start(ctx)
}

// acquired raises the epoch on the Lease, then leads until the Lease is lost. When a
// peer proves an epoch of ours that is higher, as after the Lease was deleted or the
// cluster restored, it leads on above that one, if the Lease is still ours.
func (op *operator) acquired(ctx context.Context, client kubernetes.Interface) error {
	leases := client.CoordinationV1().Leases(op.options.namespace)
	select {
	case <-op.outrun: // of an earlier acquisition
	default:
	}
	epoch, err := raise(ctx, leases, 0, 0, op.raised.Store)
	for err == nil {
		op.log.Info("leading", "epoch", epoch)
		op.engine.Lead(epoch)
		select {
		case <-ctx.Done():
			return nil
		case seen := <-op.outrun:
			epoch, err = op.raiseAgain(ctx, leases, epoch, seen)
		}
	}
	if errors.Is(err, errSuperseded) || ctx.Err() != nil {
		<-ctx.Done() // leader election finds out by itself
		return nil
	}
	return fmt.Errorf("raising the fencing epoch: %w", err)
}

// raiseAgain is raise for a leader that has been outrun; it waits out an API server
// that does not answer.
func (op *operator) raiseAgain(ctx context.Context, leases leaseClient, held, above uint64) (uint64, error) {
	for {
		epoch, err := raise(ctx, leases, held, above, op.raised.Store)
		if err == nil || errors.Is(err, errSuperseded) {
			return epoch, err
		}
		op.log.Warn("raising the fencing epoch", "error", err)
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(epochCheck):
		}
	}
}

type leaseClient interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (*coordinationv1.Lease, error)
	Update(ctx context.Context, lease *coordinationv1.Lease, opts metav1.UpdateOptions) (*coordinationv1.Lease, error)
}

// errSuperseded: another replica has raised the epoch since.
var errSuperseded = errors.New("the Lease shows another leader's epoch")

// raise puts a new epoch on the Lease by compare-and-swap, higher than the one there and
// than above. held is the epoch that it must show; 0 is any. ours is told of each epoch
// before it is written, and of 0 when none was.
func raise(ctx context.Context, leases leaseClient, held, above uint64, ours func(epoch uint64)) (epoch uint64, err error) {
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		lease, err := leases.Get(ctx, leaseName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		shown := epochOf(lease)
		if held != 0 && shown != held {
			return fmt.Errorf("%w: %d instead of %d", errSuperseded, shown, held)
		}
		epoch = max(shown, above) + 1
		ours(epoch)
		if lease.Annotations == nil {
			lease.Annotations = map[string]string{}
		}
		lease.Annotations[epochAnnotation] = strconv.FormatUint(epoch, 10)
		_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		ours(0)
	}
	return epoch, err
}

func epochOf(lease *coordinationv1.Lease) uint64 {
	n, err := strconv.ParseUint(lease.Annotations[epochAnnotation], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// lostAfter is how many looks at the Lease in a row must fail for the leader to say
// that its API server is lost: one may be slow.
const lostAfter = 2

// watchEpoch steps down when the Lease shows a newer epoch than ours, and tells the
// engine whether the API server answers.
func (op *operator) watchEpoch(ctx context.Context, client kubernetes.Interface) {
	ticker := time.NewTicker(epochCheck)
	defer ticker.Stop()
	failed := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		view := op.engine.View()
		if !view.Leading {
			failed = 0
			continue
		}
		check, cancel := context.WithTimeout(ctx, epochCheck)
		lease, err := client.CoordinationV1().Leases(op.options.namespace).Get(check, leaseName, metav1.GetOptions{})
		cancel()
		if failed++; err == nil {
			failed = 0
		}
		op.engine.SetAPIServer(failed < lostAfter)
		switch {
		case err != nil && !errors.Is(err, context.Canceled):
			op.log.Debug("looking at the lease", "error", err)
		case err == nil && op.another(epochOf(lease), view.Epoch) && op.engine.View().Epoch == view.Epoch:
			op.superseded(epochOf(lease))
		}
	}
}

// another says whether the epoch that the Lease shows is another replica's, newer than the
// one that the engine tells. The engine tells of a new epoch only with its next round: one
// that we have raised ourselves is ours all the same.
func (op *operator) another(shown, told uint64) bool {
	return shown > told && shown != op.raised.Load()
}
