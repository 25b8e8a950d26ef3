package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/federation/explain"
)

// policies are RoutingPolicies to the API server.
var policies = schema.GroupVersionResource{Group: api.GroupVersion.Group, Version: api.GroupVersion.Version, Resource: "routingpolicies"}

var dryRun = []string{metav1.DryRunAll}

// rehearsal has the API server try changes without making them.
type rehearsal struct {
	client    dynamic.Interface
	namespace string // of what is given without one
}

func (f *flags) rehearsal(namespace string) (*rehearsal, error) {
	config, err := f.rest(f.context)
	if err != nil {
		return nil, err
	}
	if namespace == "" {
		if namespace, _, err = f.loader(f.context).Namespace(); err != nil {
			return nil, fmt.Errorf("reading the kubeconfig: %w", err)
		}
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("building the client: %w", err)
	}
	return &rehearsal{client: client, namespace: namespace}, nil
}

// request tries everything and gathers all that is refused, so that one call shows every
// fault.
func (r *rehearsal) request(ctx context.Context, docs []document, deletions []string) (explain.PlanRequest, error) {
	out := explain.PlanRequest{Delete: []string{}}
	var faults []error
	for _, d := range docs {
		tried, err := r.apply(ctx, d.object)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: RoutingPolicy %s: %w", d.from, d.object.GetName(), err))
			continue
		}
		text, err := tried.MarshalJSON()
		if err != nil {
			return out, fmt.Errorf("%s: %w", d.from, err)
		}
		out.Policies = append(out.Policies, text)
	}
	for _, name := range deletions {
		full, err := r.delete(ctx, name)
		if err != nil {
			faults = append(faults, fmt.Errorf("--delete %s: %w", name, err))
		}
		out.Delete = append(out.Delete, full)
	}
	return out, errors.Join(faults...)
}

// apply is what the API server would store: what is given replaces the spec of what is
// there.
func (r *rehearsal) apply(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if o.GetNamespace() == "" {
		o.SetNamespace(r.namespace)
	}
	client := r.client.Resource(policies).Namespace(o.GetNamespace())
	old, err := client.Get(ctx, o.GetName(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		o, err = client.Create(ctx, o, metav1.CreateOptions{DryRun: dryRun, FieldValidation: metav1.FieldValidationStrict})
	case err == nil:
		next := o.DeepCopy()
		next.SetResourceVersion(old.GetResourceVersion())
		next.SetUID(old.GetUID())
		next.SetFinalizers(old.GetFinalizers())
		o, err = client.Update(ctx, next, metav1.UpdateOptions{DryRun: dryRun, FieldValidation: metav1.FieldValidationStrict})
	}
	if err != nil {
		return nil, err
	}
	o.SetManagedFields(nil) // long, and of no interest to the operator
	return o, nil
}

// delete gives the name in full.
func (r *rehearsal) delete(ctx context.Context, name string) (string, error) {
	namespace, short, ok := strings.Cut(name, "/")
	if !ok {
		namespace, short = r.namespace, name
	}
	err := r.client.Resource(policies).Namespace(namespace).Delete(ctx, short, metav1.DeleteOptions{DryRun: dryRun})
	return namespace + "/" + short, err
}
