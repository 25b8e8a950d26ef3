// Package cleanup takes Causeway out of a cluster: what it derived, what it put
// finalizers on, and what it asked cert-manager for. What users wrote stays.
//
// It owns the order of the steps. It leaves to the running operator to withdraw
// from the federation, for as long as there is time, and to the installer
// (Helm, kubectl) the workloads, RBAC and CRDs.
//
// Run is called by `causeway-operator cleanup` and `causewayctl uninstall`.
//
// Invariants:
//  1. RoutingPolicies and ServiceExports are the users': only our finalizer goes.
//  2. Objects without our label are left alone.
//  3. A kind that the API server does not know is nothing to clean.
package cleanup

import (
	"context"
	"errors"
	"fmt"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
)

// Config says what to clean and how long to wait.
type Config struct {
	// Namespace of Causeway's own objects. Default causeway-system.
	Namespace string
	// Withdraw bounds how long the running operator is given to withdraw the cluster
	// from the federation. Default 20 s; afterwards the finalizer is taken off, and the
	// registration stays in the policy store.
	Withdraw time.Duration
	// Say is told of each step; never nil after withDefaults.
	Say func(format string, args ...any)
}

func (c Config) withDefaults() Config {
	if c.Namespace == "" {
		c.Namespace = api.SystemNamespace
	}
	if c.Withdraw <= 0 {
		c.Withdraw = 20 * time.Second
	}
	if c.Say == nil {
		c.Say = func(string, ...any) {}
	}
	return c
}

// pollEvery is the pause between two looks at what should be gone.
const pollEvery = 200 * time.Millisecond

// Run cleans until nothing is left or ctx ends; the error then names what is left.
// It can be run again.
func Run(ctx context.Context, c client.Client, cfg Config) error {
	r := run{client: c, cfg: cfg.withDefaults()}
	for _, step := range []func(context.Context) error{r.leave, r.release, r.remove, r.gone, r.release} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

type run struct {
	client client.Client
	cfg    Config
}

// leave deletes the MeshFederation and gives the operator time to withdraw.
func (r run) leave(ctx context.Context) error {
	federations := &api.MeshFederationList{}
	if err := r.each(ctx, federations, func(o client.Object) error {
		r.cfg.Say("deleting MeshFederation %s: the operator withdraws this cluster from the federation", o.GetName())
		return client.IgnoreNotFound(r.client.Delete(ctx, o))
	}); err != nil {
		return fmt.Errorf("deleting MeshFederations: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, r.cfg.Withdraw)
	defer cancel()
	err := r.await(limited, federations)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return r.each(ctx, federations, func(o client.Object) error {
		r.cfg.Say("MeshFederation %s: no operator has withdrawn it within %s; letting it go; its registration stays in the policy store", o.GetName(), r.cfg.Withdraw)
		return r.unfinalize(ctx, o)
	})
}

// release takes our finalizer off what users wrote, until a look finds none: an
// operator that has not yet seen that its MeshFederation is gone puts it on again.
func (r run) release(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		held := 0
		for _, list := range []client.ObjectList{&api.RoutingPolicyList{}, &mcs.ServiceExportList{}} {
			if err := r.each(ctx, list, func(o client.Object) error {
				if controllerutil.ContainsFinalizer(o, api.Finalizer) {
					held++
				}
				return r.unfinalize(ctx, o)
			}); err != nil {
				return fmt.Errorf("taking the finalizer off: %w", err)
			}
		}
		if held == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("taking the finalizer off: it is put on again: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

func (r run) unfinalize(ctx context.Context, o client.Object) error {
	before, ok := o.DeepCopyObject().(client.Object)
	if !ok || !controllerutil.RemoveFinalizer(o, api.Finalizer) {
		return nil
	}
	return client.IgnoreNotFound(r.client.Patch(ctx, o, client.MergeFrom(before)))
}

// derived are the kinds of what Causeway made, owners first.
func derived() []client.ObjectList {
	return []client.ObjectList{
		&mcs.ServiceImportList{}, &corev1.ServiceList{}, &discoveryv1.EndpointSliceList{}, &api.EffectivePolicyList{},
	}
}

func (r run) remove(ctx context.Context) error {
	for _, list := range derived() {
		if err := r.each(ctx, list, func(o client.Object) error {
			r.cfg.Say("deleting %T %s/%s", o, o.GetNamespace(), o.GetName())
			return client.IgnoreNotFound(r.client.Delete(ctx, o))
		}, ours()); err != nil {
			return fmt.Errorf("deleting what was derived: %w", err)
		}
	}
	for _, name := range []string{api.CertificateOperator, api.CertificateGateway} {
		key := client.ObjectKey{Namespace: r.cfg.Namespace, Name: name}
		// cert-manager's mark on a Secret is what ours is on a Certificate.
		if err := errors.Join(
			r.removeMarked(ctx, key, &certmanager.Certificate{}, func(o client.Object) bool { return o.GetLabels()[api.LabelManagedBy] == api.ManagedBy }),
			r.removeMarked(ctx, key, &corev1.Secret{}, func(o client.Object) bool { return o.GetAnnotations()[certmanager.CertificateNameKey] == name }),
		); err != nil {
			return err
		}
	}
	return nil
}

// removeMarked deletes an object that bears the mark.
func (r run) removeMarked(ctx context.Context, key client.ObjectKey, o client.Object, marked func(client.Object) bool) error {
	err := r.client.Get(ctx, key, o)
	if err == nil && marked(o) {
		err = r.client.Delete(ctx, o)
	}
	if err = ignoreAbsent(err); err != nil {
		return fmt.Errorf("deleting %T %s: %w", o, key, err)
	}
	return nil
}

// gone waits until what remove deleted has left.
func (r run) gone(ctx context.Context) error {
	return r.await(ctx, derived()[0], derived()[1:]...)
}

func (r run) await(ctx context.Context, first client.ObjectList, more ...client.ObjectList) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var left []error
	for {
		now, err := r.look(ctx, append([]client.ObjectList{first}, more...))
		if err != nil { // it may have come before any list: what the last look has found is left
			return errors.Join(append(left, err)...)
		}
		if left = now; len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(append(left, ctx.Err())...)
		case <-tick.C:
		}
	}
}

// look finds what is still there, as errors that name it.
func (r run) look(ctx context.Context, lists []client.ObjectList) (left []error, err error) {
	for _, list := range lists {
		options := []client.ListOption{ours()}
		if _, all := list.(*api.MeshFederationList); all {
			options = nil
		}
		if err := r.each(ctx, list, func(o client.Object) error {
			left = append(left, fmt.Errorf("%T %s/%s is still there", o, o.GetNamespace(), o.GetName()))
			return nil
		}, options...); err != nil {
			return left, err
		}
	}
	return left, nil
}

// each lists and calls f for every object; an unknown kind has none.
func (r run) each(ctx context.Context, list client.ObjectList, f func(client.Object) error, options ...client.ListOption) error {
	if err := r.client.List(ctx, list, options...); err != nil {
		return ignoreAbsent(err)
	}
	return meta.EachListItem(list, func(o runtime.Object) error {
		object, ok := o.(client.Object)
		if !ok {
			return fmt.Errorf("%T is no object", o)
		}
		return f(object)
	})
}

func ours() client.ListOption { return client.MatchingLabels{api.LabelManagedBy: api.ManagedBy} }

// ignoreAbsent forgives objects and kinds that are not there.
func ignoreAbsent(err error) error {
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil
	}
	return err
}
