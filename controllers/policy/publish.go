package policy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/condition"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
	"github.com/causeway-mesh/causeway/federation/policystore"
)

// publish checks a policy, publishes it if it is new, and writes the outcome into
// its status (in memory).
func (c *Controller) publish(ctx context.Context, view *engine.View, policy *api.RoutingPolicy) (ctrl.Result, error) {
	status, generation := &policy.Status, policy.Generation
	status.ObservedGeneration = generation
	if err := c.resolve(ctx, policy); err != nil {
		return ctrl.Result{}, err
	}
	want, invalid := Wanted(view.Self, policy)
	have := published(view, want.ID)
	if view.NameConflict != "" {
		have = nil // the other cluster's
	}
	var stored *federation.Policy
	if have != nil {
		stored = &have.Policy
		note(status, have.Policy)
	}
	if have != nil || view.StoreSynced {
		show(status, have)
	}
	fault := steer(&want, policy, stored, invalid)
	inStore := have != nil && same(have.Policy, want)
	if !view.Configured || view.Self == "" {
		condition.Unknown(&status.Conditions, api.ConditionAccepted, api.ReasonPending, "waits for a MeshFederation of this cluster to be in force", generation)
		condition.False(&status.Conditions, api.ConditionPublished, api.ReasonNotConfigured, "waits for a MeshFederation of this cluster to be in force", generation)
		return ctrl.Result{}, nil
	}
	if !view.StoreSynced && inStore { // as it was kept; the store will tell whether that is so still
		held(status, generation)
		return ctrl.Result{RequeueAfter: retry}, nil
	}
	if !view.StoreSynced {
		condition.Unknown(&status.Conditions, api.ConditionAccepted, api.ReasonPending, "the regions of the federation are not known yet: the policy store has not been read", generation)
		condition.False(&status.Conditions, api.ConditionPublished, api.ReasonStoreUnreachable, unreachable(view, nil), generation)
		return ctrl.Result{RequeueAfter: retry}, nil
	}
	if inStore {
		held(status, generation)
	}
	reason := api.ReasonInvalid
	if fault == "" {
		reason, fault = api.ReasonUnknownRegion, cmp.Or(unknownRegions(view, want.Regions), unknownWaves(view, want.Rollout))
	}
	if fault != "" {
		condition.False(&status.Conditions, api.ConditionAccepted, reason, fault, generation)
		if !inStore { // else its region has gone since, and it is in force all the same
			condition.False(&status.Conditions, api.ConditionPublished, api.ReasonNotAccepted, staysInForce(status), generation)
		}
		return ctrl.Result{}, nil
	}
	if !inStore {
		got, err := c.engine.SetPolicy(ctx, want)
		if err != nil {
			return c.refused(view, status, generation, err), nil
		}
		note(status, got)
		held(status, generation)
	}
	want.Order = uint64(status.Order)
	if loss := conflict(view, want); loss != "" {
		condition.False(&status.Conditions, api.ConditionAccepted, api.ReasonConflict, loss, generation)
		return ctrl.Result{}, nil
	}
	condition.True(&status.Conditions, api.ConditionAccepted, api.ReasonAccepted, "holds in every member of the federation", generation)
	return ctrl.Result{}, nil
}

// held says that the newest spec is in the store.
func held(status *api.RoutingPolicyStatus, generation int64) {
	condition.True(&status.Conditions, api.ConditionPublished, api.ReasonPublished,
		fmt.Sprintf("in the policy store at revision %d", status.Revision), generation)
}

// refused tells why the store did not take a policy. Only what another try cannot
// change is the policy's own fault.
func (c *Controller) refused(view *engine.View, status *api.RoutingPolicyStatus, generation int64, err error) ctrl.Result {
	if errors.Is(err, policystore.ErrTooLarge) {
		condition.False(&status.Conditions, api.ConditionAccepted, api.ReasonInvalid, "the policy store refused the policy: "+err.Error(), generation)
		condition.False(&status.Conditions, api.ConditionPublished, api.ReasonNotAccepted, staysInForce(status), generation)
		return ctrl.Result{RequeueAfter: retry}
	}
	condition.False(&status.Conditions, api.ConditionPublished, api.ReasonStoreUnreachable, unreachable(view, err), generation)
	condition.True(&status.Conditions, api.ConditionAccepted, api.ReasonAccepted, "will hold once it is published", generation)
	return ctrl.Result{RequeueAfter: retry}
}

// resolve sets ResolvedRefs: a warning only.
func (c *Controller) resolve(ctx context.Context, policy *api.RoutingPolicy) error {
	var missing []string
	for _, ref := range policy.Spec.TargetRefs {
		var found mcs.ServiceImport
		err := c.client.Get(ctx, types.NamespacedName{Namespace: policy.Namespace, Name: ref.Name}, &found)
		if apierrors.IsNotFound(err) {
			missing = append(missing, fmt.Sprintf("%q", ref.Name))
		} else if err != nil {
			return err
		}
	}
	if len(missing) == 0 {
		condition.True(&policy.Status.Conditions, api.ConditionResolvedRefs, api.ReasonResolvedRefs, "every target exists", policy.Generation)
		return nil
	}
	condition.False(&policy.Status.Conditions, api.ConditionResolvedRefs, api.ReasonTargetNotFound,
		fmt.Sprintf("no ServiceImport %s in namespace %q: export the Service in some cluster, or correct spec.targetRefs",
			strings.Join(missing, ", "), policy.Namespace), policy.Generation)
	return nil
}

func note(status *api.RoutingPolicyStatus, p federation.Policy) {
	status.Order, status.Revision, status.PublishedGeneration = int64(p.Order), int64(p.Revision), p.Observed
}

func staysInForce(status *api.RoutingPolicyStatus) string {
	if status.PublishedGeneration == 0 {
		return "not published: see the condition Accepted"
	}
	return fmt.Sprintf("not published: see the condition Accepted; generation %d stays in force", status.PublishedGeneration)
}

func unreachable(view *engine.View, err error) string {
	text := "the policy store cannot be written now; it is tried again, and what was published stays in force"
	switch {
	case view.NameConflict != "":
		text += ": " + view.NameConflict
	case !view.Store.Connected && view.Store.Message != "":
		text += ": " + view.Store.Message
	case err != nil:
		text += ": " + err.Error()
	}
	return text
}

// Wanted translates a RoutingPolicy of the cluster self into the federation's value. An
// error says what cannot be meant; the rest stands all the same. The operator calls it
// too, to plan.
func Wanted(self federation.ClusterName, policy *api.RoutingPolicy) (federation.Policy, error) {
	p := federation.Policy{ID: federation.PolicyID{Origin: self, Namespace: policy.Namespace, Name: policy.Name}}
	p.Generation, p.Observed = policy.Generation, policy.Generation
	for _, ref := range policy.Spec.TargetRefs {
		p.Targets = append(p.Targets, federation.ServiceName{Namespace: policy.Namespace, Name: ref.Name})
	}
	for _, region := range policy.Spec.Regions {
		p.Regions = append(p.Regions, federation.Region(region))
	}
	p.OnPartition = federation.PartitionPolicy(policy.Spec.OnPartition).Or() // an object from before the field has none
	if age := policy.Spec.MaxRecordAge; age != nil {
		p.MaxRecordAge = age.Duration
	}
	var err error
	p.Rollout, err = plan(policy.Spec.Rollout)
	p.Hold = policy.Annotations[api.AnnotationRolloutHold] == "true"
	return p, err
}

func idOf(view *engine.View, key types.NamespacedName) federation.PolicyID {
	return federation.PolicyID{Origin: view.Self, Namespace: key.Namespace, Name: key.Name}
}

// published is what the store holds of a policy.
func published(view *engine.View, id federation.PolicyID) *engine.HeldPolicy {
	for i := range view.Policies {
		if view.Policies[i].ID == id {
			return &view.Policies[i]
		}
	}
	return nil
}

func same(have, want federation.Policy) bool {
	return have.Observed == want.Observed && have.Same(want.PolicyVersion) && have.Undo == want.Undo &&
		have.Hold == want.Hold && reflect.DeepEqual(have.Rollout, want.Rollout)
}

// unknownRegions names the regions that no member has, and those that there are.
func unknownRegions(view *engine.View, regions []federation.Region) string {
	var known, faults []string
	for _, m := range view.Members {
		if m.Region != "" {
			known = append(known, string(m.Region))
		}
	}
	slices.Sort(known)
	known = slices.Compact(known)
	for _, region := range regions {
		if !slices.Contains(known, string(region)) {
			faults = append(faults, fmt.Sprintf("region %q belongs to no member", region))
		}
	}
	if len(faults) == 0 {
		return ""
	}
	return strings.Join(faults, ", ") + "; known: " + strings.Join(known, ", ")
}

// conflict names the policy that routing follows for one of p's targets, if that is
// an older one with other rules. The same rules are no conflict: their
// authors are co-authors. What lost itself overrides nothing.
func conflict(view *engine.View, p federation.Policy) string {
	for _, target := range p.Targets {
		winner := oldest(view, target)
		if winner == nil || winner.ID == p.ID || winner.Order >= p.Order || winner.SameRules(p.Rules) {
			continue
		}
		return fmt.Sprintf("ServiceImport %q follows the older policy %s (order %d, this one has %d): change that one, or delete one of the two",
			target.Name, winner.ID, winner.Order, p.Order)
	}
	return ""
}

// oldest is the policy that routing follows for a target.
func oldest(view *engine.View, target federation.ServiceName) *federation.Policy {
	for i := range view.Policies { // the lowest order comes first
		if slices.Contains(view.Policies[i].Targets, target) {
			return &view.Policies[i].Policy
		}
	}
	return nil
}
