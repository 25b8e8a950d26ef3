// Package preflight looks whether the operator can work in its cluster before the
// controllers start: are the kinds there, and may it do what it must?
//
// It owns the list of what is needed and the words that say what to do. It leaves
// to the caller when to look again, and to controllers/federation the kinds of
// cert-manager, whose absence is a condition and stops nothing.
//
// Any goroutine.
//
// Invariants:
//  1. All faults are told at once.
//  2. An API server that does not answer is no finding: the error says so.
//  3. An operator that may not ask for its rights is taken to have them.
package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
)

// kind is one that the controllers watch, with the right that they need most.
type kind struct {
	group, version, resource string
	namespace                string // of Causeway's own objects; empty is everywhere
	verb                     string
}

func kinds(namespace string) []kind {
	own, multicluster := api.GroupVersion, mcs.SchemeGroupVersion
	return []kind{
		{own.Group, own.Version, "meshfederations", "", "watch"},
		{own.Group, own.Version, "routingpolicies", "", "watch"},
		{own.Group, own.Version, "effectivepolicies", "", "create"},
		{multicluster.Group, multicluster.Version, "serviceexports", "", "watch"},
		{multicluster.Group, multicluster.Version, "serviceimports", "", "create"},
		{"", "v1", "namespaces", "", "watch"},
		{"", "v1", "services", "", "create"},
		{"discovery.k8s.io", "v1", "endpointslices", "", "create"},
		{"", "v1", "secrets", namespace, "get"},
		{"", "v1", "pods", namespace, "get"},
		{"coordination.k8s.io", "v1", "leases", namespace, "update"},
	}
}

// Check returns nil when the controllers can start. The error has a line for each
// missing kind and each missing right, and says what to do about it.
func Check(ctx context.Context, client kubernetes.Interface, namespace string) error {
	var missing, forbidden []string
	known := map[string][]string{} // resources by group version
	for _, k := range kinds(namespace) {
		served, err := resources(ctx, client, known, k)
		if err != nil {
			return fmt.Errorf("asking the API server for its kinds: %w", err)
		}
		if !slices.Contains(served, k.resource) {
			missing = append(missing, k.name())
			continue
		}
		allowed, err := may(ctx, client, k)
		if err != nil {
			return fmt.Errorf("asking the API server for the operator's rights: %w", err)
		}
		if !allowed {
			forbidden = append(forbidden, k.verb+" "+k.name())
		}
	}
	return errors.Join(kindsMissing(missing), rightsMissing(forbidden))
}

func kindsMissing(names []string) error {
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("the API server does not know %s: install Causeway's CRDs (`kubectl apply --server-side -k config/crd`, or `causeway-operator crds`)", strings.Join(names, ", "))
}

func rightsMissing(rights []string) error {
	if len(rights) == 0 {
		return nil
	}
	return fmt.Errorf("the operator's ServiceAccount may not %s: apply config/rbac, or bind its ClusterRole and Role causeway-operator", strings.Join(rights, ", "))
}

// resources lists what a group version serves; nothing when there is none.
func resources(ctx context.Context, client kubernetes.Interface, known map[string][]string, k kind) ([]string, error) {
	version := metav1.GroupVersion{Group: k.group, Version: k.version}.String()
	if served, asked := known[version]; asked {
		return served, nil
	}
	list, err := discovery.ToDiscoveryInterfaceWithContext(client.Discovery()).ServerResourcesForGroupVersionWithContext(ctx, version)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	served := []string{}
	if err == nil {
		for _, r := range list.APIResources {
			served = append(served, r.Name)
		}
	}
	known[version] = served
	return served, nil
}

// may asks whether the operator has a right. A cluster may withhold the question
// itself (system:basic-user); the controllers then tell what they lack.
func may(ctx context.Context, client kubernetes.Interface, k kind) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: k.namespace, Verb: k.verb, Group: k.group, Version: k.version, Resource: k.resource,
		},
	}}
	answer, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if apierrors.IsForbidden(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return answer.Status.Allowed, nil
}

func (k kind) name() string {
	if k.group == "" {
		return k.resource
	}
	return k.resource + "." + k.group
}
