package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EffectivePolicy shows a RoutingPolicy that the federation holds, whichever
// cluster it was written in. It is read-only: the operator writes it, as
// "<origin>.<name>" in the policy's namespace, and puts edits back. To change
// it, change the RoutingPolicy in its origin cluster.
//
// It outlives an outage of the policy store, so that the order survives a restart.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:labels="app.kubernetes.io/part-of=causeway"
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=epol,categories=causeway
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Origin",type=string,JSONPath=`.spec.origin`
// +kubebuilder:printcolumn:name="Regions",type=string,JSONPath=`.spec.regions`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Order",type=integer,JSONPath=`.spec.order`,priority=1
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
type EffectivePolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the policy as the policy store holds it.
	// +required
	Spec EffectivePolicySpec `json:"spec"`

	// status says whether it is in force.
	// +optional
	Status EffectivePolicyStatus `json:"status,omitempty"`
}

// EffectivePolicyList is a list of EffectivePolicies.
//
// +kubebuilder:object:root=true
type EffectivePolicyList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []EffectivePolicy `json:"items"`
}

// EffectivePolicySpec is a policy as the policy store holds it.
type EffectivePolicySpec struct {
	// origin is the cluster that authored the policy.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Origin string `json:"origin"`

	// policyName is its name there.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	PolicyName string `json:"policyName"`

	// generation of the origin's object that asked first for what holds here.
	// +optional
	Generation int64 `json:"generation,omitempty"`

	// newestGeneration is the newest that the origin published. While it is rolled out in
	// waves, another may hold here.
	// +optional
	NewestGeneration int64 `json:"newestGeneration,omitempty"`

	// order is its place in the global order; the lowest wins a conflict.
	// +required
	Order int64 `json:"order"`

	// revision is the policy store's revision of its last change.
	// +required
	Revision int64 `json:"revision"`

	// targets are names of ServiceImports in this namespace, at most 64.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Targets []string `json:"targets"`

	// regions is the order of preference, first is best, at most 64.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Regions []string `json:"regions"`

	// onPartition is what becomes of a cluster whose data path is dead: Keep, Demote,
	// Withdraw or WithdrawWithQuorum.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	OnPartition string `json:"onPartition,omitempty"`

	// maxRecordAge is how old a cluster's word on its endpoints may be for it to be
	// called; unset is no bound.
	// +optional
	// +kubebuilder:validation:Type=string
	MaxRecordAge *metav1.Duration `json:"maxRecordAge,omitempty"`
}

// EffectivePolicyStatus says whether a policy is in force.
type EffectivePolicyStatus struct {
	// why tells in a sentence why this version holds here.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Why string `json:"why,omitempty"`

	// rollout is how far the newest version has come in the federation.
	// +optional
	Rollout *RolloutStatus `json:"rollout,omitempty"`

	// conditions: Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// overriddenBy is the winner, "<origin>.<name>", when this policy lost a conflict
	// for at least one target.
	// +optional
	OverriddenBy string `json:"overriddenBy,omitempty"`
}

// Reasons of the condition Ready of an EffectivePolicy. True: InForce. False:
// Overridden, AwaitingRollout.
const (
	// ReasonInForce: routing follows this policy for all its targets.
	ReasonInForce = "InForce"
	// ReasonOverridden: an older policy, in status.overriddenBy, holds at least one
	// of the targets; the message names them.
	ReasonOverridden = "Overridden"
	// ReasonAwaitingRollout: the policy is new, and its rollout has not come here yet.
	ReasonAwaitingRollout = "AwaitingRollout"
)
