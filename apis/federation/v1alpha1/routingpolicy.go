package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RoutingPolicy orders the regions that serve imported services of its
// namespace. It may be applied in any member cluster and holds in all of them;
// EffectivePolicy shows what is in force.
//
// Attachment follows Gateway API policy attachment: targetRefs are local.
//
// If two policies speak of one service, the one with the lower status.order (the
// one that was published first) wins, whole; the other says so with
// Accepted=False, reason Conflict. The same spec in several clusters is no
// conflict.
//
// A change that is not accepted leaves the last good one in force.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:labels="app.kubernetes.io/part-of=causeway"
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=rpol,categories=causeway
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Published",type=string,JSONPath=`.status.conditions[?(@.type=="Published")].status`
// +kubebuilder:printcolumn:name="Regions",type=string,JSONPath=`.spec.regions`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Order",type=integer,JSONPath=`.status.order`,priority=1
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].reason`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].message`,priority=1
type RoutingPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the author wants.
	// +required
	Spec RoutingPolicySpec `json:"spec"`

	// status is what became of it.
	// +optional
	Status RoutingPolicyStatus `json:"status,omitempty"`
}

// RoutingPolicyList is a list of RoutingPolicies.
//
// +kubebuilder:object:root=true
type RoutingPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RoutingPolicy `json:"items"`
}

// RoutingPolicySpec names services and the order of their regions.
type RoutingPolicySpec struct {
	// targetRefs are the imported services that the policy speaks of, 1 to 16,
	// each in the policy's own namespace. One that does not exist (yet) is a warning,
	// ResolvedRefs=False reason TargetNotFound; the policy is published all the same.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, a.name == b.name))",message="each ServiceImport may be named only once in targetRefs"
	TargetRefs []LocalPolicyTargetReference `json:"targetRefs"`

	// regions is the order of preference, first is best, 1 to 16 different ones. A
	// consumer's own region has no privilege beyond its place in the list. Regions
	// that are not listed are tried last. A region that no member has gives
	// Accepted=False, reason UnknownRegion.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, a == b))",message="each region may stand only once in regions"
	Regions []RegionName `json:"regions"`

	// onPartition is what becomes of a cluster whose data path is dead, as seen from the
	// cluster whose clients call: the link to it, its gateways or the whole cluster are
	// down. A dead control plane alone is no reason: its endpoints stay as they were.
	//
	// Demote, the default, tries it last. Keep leaves it in its place; gateways still go
	// round tunnels that they find dead themselves. Withdraw takes it out, even if it is
	// the last one: calls fail at once instead of being tried. WithdrawWithQuorum takes
	// it out once more than half of the clusters beside it find it dead, and demotes it
	// until then; in a federation of two clusters that is Withdraw.
	// +optional
	// +kubebuilder:default=Demote
	OnPartition PartitionPolicy `json:"onPartition,omitempty"`

	// maxRecordAge is how old a cluster's word on its endpoints may be, 10s to 168h, for
	// it to be called. Owners renew their word about every second; it ages while nobody
	// hears them, as when their operators or the links to them are down. A cluster whose
	// word is older is taken out, even if it is the last one. Unset, the default, is no
	// bound: what was said last counts until its owner says otherwise.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('168h')",message="maxRecordAge must lie between 10s and 168h"
	MaxRecordAge *metav1.Duration `json:"maxRecordAge,omitempty"`
}

// PartitionPolicy is what becomes of a cluster whose data path is dead.
//
// +kubebuilder:validation:Enum=Keep;Demote;Withdraw;WithdrawWithQuorum
type PartitionPolicy string

// The partition policies; see RoutingPolicySpec.OnPartition.
const (
	PartitionKeep               PartitionPolicy = "Keep"
	PartitionDemote             PartitionPolicy = "Demote"
	PartitionWithdraw           PartitionPolicy = "Withdraw"
	PartitionWithdrawWithQuorum PartitionPolicy = "WithdrawWithQuorum"
)

// LocalPolicyTargetReference names an object in the policy's namespace.
type LocalPolicyTargetReference struct {
	// group of the target. Only multicluster.x-k8s.io, the default.
	// +optional
	// +kubebuilder:default=multicluster.x-k8s.io
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == 'multicluster.x-k8s.io'",message="targetRefs must have the group multicluster.x-k8s.io: a RoutingPolicy attaches to ServiceImports"
	Group string `json:"group,omitempty"`

	// kind of the target. Only ServiceImport, the default.
	// +optional
	// +kubebuilder:default=ServiceImport
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == 'ServiceImport'",message="targetRefs must have the kind ServiceImport"
	Kind string `json:"kind,omitempty"`

	// name of the target.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
}

// RoutingPolicyStatus is what became of a policy.
type RoutingPolicyStatus struct {
	// observedGeneration is the spec generation that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Accepted, Published, ResolvedRefs.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// order is the policy's place in the global order, written once at its first
	// publication; the lowest wins a conflict. 0: never published.
	// +optional
	Order int64 `json:"order,omitempty"`

	// revision is the policy store's revision of the last publication.
	// +optional
	Revision int64 `json:"revision,omitempty"`

	// publishedGeneration is the spec generation that is in force. It stays behind
	// metadata.generation while the newest spec is not accepted.
	// +optional
	PublishedGeneration int64 `json:"publishedGeneration,omitempty"`
}

// Condition types of a RoutingPolicy.
const (
	// ConditionAccepted: the spec makes sense in this federation and no older policy
	// stands against it.
	// True: Accepted. False: UnknownRegion, Conflict, Invalid. Unknown: Pending.
	ConditionAccepted = "Accepted"

	// ConditionPublished: the newest spec is in the policy store.
	// True: Published. False: StoreUnreachable, NotAccepted, NotConfigured.
	ConditionPublished = "Published"

	// ConditionResolvedRefs: all targets exist here. A warning: the policy is
	// published all the same.
	// True: ResolvedRefs. False: TargetNotFound.
	ConditionResolvedRefs = "ResolvedRefs"
)

// Reasons of RoutingPolicy conditions.
const (
	// ReasonAccepted: the policy is in force, or will be once it is published.
	ReasonAccepted = "Accepted"
	// ReasonUnknownRegion: a region belongs to no member; the message lists the known
	// ones. The last good revision stays in force.
	ReasonUnknownRegion = "UnknownRegion"
	// ReasonConflict: an older policy, named in the message, speaks of a target with
	// other rules: another order of regions, onPartition or maxRecordAge.
	ReasonConflict = "Conflict"
	// ReasonInvalid: the store or the engine refused the policy; the message says why.
	ReasonInvalid = "Invalid"
	// ReasonPublished: the newest spec is in the policy store.
	ReasonPublished = "Published"
	// ReasonStoreUnreachable: the policy store did not take it; it is tried again.
	ReasonStoreUnreachable = "StoreUnreachable"
	// ReasonNotAccepted: Accepted says why it was not published.
	ReasonNotAccepted = "NotAccepted"
	// ReasonResolvedRefs: all targets exist.
	ReasonResolvedRefs = "ResolvedRefs"
	// ReasonTargetNotFound: a ServiceImport named in the message does not exist here.
	ReasonTargetNotFound = "TargetNotFound"
)
