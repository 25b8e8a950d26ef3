package main

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
)

const (
	holdAnnotation = "federation.causeway.dev/rollout-hold"
	// undoAnnotation is "<from generation>/<to generation>". It counts for nothing once
	// the object's generation is another than the first.
	undoAnnotation = "federation.causeway.dev/rollout-undo"
)

// policy is the part of a RoutingPolicy that the rollout commands read.
type policy struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		// Rollout is nil without a plan.
		Rollout map[string]any `json:"rollout"`
	} `json:"spec"`
	Status struct {
		ObservedGeneration int64              `json:"observedGeneration"`
		Conditions         []metav1.Condition `json:"conditions"`
		Rollout            rolloutStatus      `json:"rollout"`
		History            []policyVersion    `json:"history"`
	} `json:"status"`
}

// rolloutStatus is status.rollout.
type rolloutStatus struct {
	Phase   string `json:"phase"`
	Wave    int    `json:"wave"`
	Waves   int    `json:"waves"`
	Updated int    `json:"updated"`
	Total   int    `json:"total"`
	// Generation names the newest version, From the one that holds where it does not; 0
	// is none.
	Generation int64  `json:"generation"`
	From       int64  `json:"from"`
	Reason     string `json:"reason"`
	Message    string `json:"message"`
}

// policyVersion is one of status.history.
type policyVersion struct {
	Generation int64    `json:"generation"`
	Revision   int64    `json:"revision,omitempty"`
	Regions    []string `json:"regions"`
	Targets    []string `json:"targets"`
}

// back is the generation that an undo in force goes back to, as text; "" is none.
func (p policy) back() string {
	from, to, ok := strings.Cut(p.Annotations[undoAnnotation], "/")
	if !ok || from != fmt.Sprint(p.Generation) {
		return ""
	}
	return to
}

// note says what a generation is in the history.
func (p policy) note(generation int64) string {
	var out []string
	if generation == p.Status.Rollout.Generation {
		out = append(out, "newest")
	}
	if p.back() == fmt.Sprint(generation) {
		out = append(out, "gone back to")
	}
	return strings.Join(out, ", ")
}

// known refuses to act on a status that does not speak of the object's newest spec.
func (p policy) known() error {
	if p.Status.ObservedGeneration < p.Generation {
		return fmt.Errorf("policy %s/%s: the operator has not taken up generation %d yet: try again in a few seconds", p.Namespace, p.Name, p.Generation)
	}
	return nil
}

func (p *policy) pause() (string, error) {
	if p.Spec.Rollout == nil {
		return "", fmt.Errorf("policy %s/%s has no spec.rollout: it is in force everywhere at once, and there is nothing to pause", p.Namespace, p.Name)
	}
	if p.Annotations[holdAnnotation] == "true" {
		return "is paused already", nil
	}
	p.set(holdAnnotation, "true")
	return "paused: no further wave begins", nil
}

func (p *policy) resume() (string, error) {
	if p.Annotations[holdAnnotation] == "" {
		return "is not paused", nil
	}
	delete(p.Annotations, holdAnnotation)
	return "resumed", nil
}

// undo asks for a version of the history; 0 is the one before the newest.
func (p *policy) undo(to int64) (string, error) {
	if err := p.known(); err != nil {
		return "", err
	}
	target, err := p.target(to)
	if err != nil {
		return "", err
	}
	if p.back() == fmt.Sprint(target.Generation) {
		return fmt.Sprintf("has gone back to generation %d already", target.Generation), nil
	}
	p.set(undoAnnotation, fmt.Sprintf("%d/%d", p.Generation, target.Generation))
	return fmt.Sprintf("goes back to generation %d everywhere: regions %s for %s", target.Generation,
		strings.Join(target.Regions, ", "), strings.Join(target.Targets, ", ")), nil
}

func (p *policy) target(to int64) (policyVersion, error) {
	newest := p.Status.Rollout.Generation
	var earlier []string
	for _, v := range p.Status.History {
		if v.Generation == newest {
			continue
		}
		if to == 0 || v.Generation == to {
			return v, nil
		}
		earlier = append(earlier, fmt.Sprint(v.Generation))
	}
	switch {
	case len(earlier) == 0:
		return policyVersion{}, fmt.Errorf("policy %s/%s has no earlier version to go back to", p.Namespace, p.Name)
	case to == newest:
		return policyVersion{}, fmt.Errorf("generation %d is the newest of policy %s/%s; to go back are: %s", to, p.Namespace, p.Name, strings.Join(earlier, ", "))
	}
	return policyVersion{}, fmt.Errorf("policy %s/%s has no generation %d in its history; to go back are: %s", p.Namespace, p.Name, to, strings.Join(earlier, ", "))
}

func (p *policy) set(annotation, value string) {
	if p.Annotations == nil {
		p.Annotations = map[string]string{}
	}
	p.Annotations[annotation] = value
}

// policyAPI reads and annotates one policy.
type policyAPI struct {
	client client.Client
	key    client.ObjectKey
}

func (r *rolloutFlags) policyAPI(namespace, name string) (policyAPI, error) {
	config, err := r.rest(r.context)
	if err != nil {
		return policyAPI{}, err
	}
	c, err := client.New(config, client.Options{})
	if err != nil {
		return policyAPI{}, fmt.Errorf("asking the API server: %w", err)
	}
	return policyAPI{client: c, key: client.ObjectKey{Namespace: namespace, Name: name}}, nil
}

func (a policyAPI) object() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(api.GroupVersion.WithKind("RoutingPolicy"))
	u.SetNamespace(a.key.Namespace)
	u.SetName(a.key.Name)
	return u
}

func (a policyAPI) get(ctx context.Context) (policy, error) {
	u := a.object()
	err := a.client.Get(ctx, a.key, u)
	if apierrors.IsNotFound(err) {
		return policy{}, fmt.Errorf("this cluster has no RoutingPolicy %s: ask the one that it was applied in (--context), in its namespace (-n)", a.key)
	}
	if err != nil {
		return policy{}, fmt.Errorf("reading RoutingPolicy %s: %w", a.key, err)
	}
	var p policy
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &p); err != nil {
		return policy{}, fmt.Errorf("reading RoutingPolicy %s: %w", a.key, err)
	}
	return p, nil
}

// annotate writes p's two annotations, if the object is still the one that was read.
func (a policyAPI) annotate(ctx context.Context, p policy) error {
	before, after := a.object(), a.object()
	before.SetResourceVersion(p.ResourceVersion)
	after.SetResourceVersion(p.ResourceVersion)
	// What is to go must be in before, and nothing else may be there.
	before.SetAnnotations(map[string]string{holdAnnotation: "-", undoAnnotation: "-"})
	kept := map[string]string{}
	for _, name := range []string{holdAnnotation, undoAnnotation} {
		if value, ok := p.Annotations[name]; ok {
			kept[name] = value
		}
	}
	after.SetAnnotations(kept)
	err := a.client.Patch(ctx, after, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsConflict(err) {
		return fmt.Errorf("RoutingPolicy %s was changed by somebody else at the same time: try again", a.key)
	}
	if err != nil {
		return fmt.Errorf("writing to RoutingPolicy %s: %w", a.key, err)
	}
	return nil
}
