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

	// rollout brings a change of this policy into force in waves of clusters, each watched
	// before the next begins, and takes it back everywhere at once if a gate fails.
	// Unset, the default: a change holds in all clusters at once.
	// +optional
	Rollout *Rollout `json:"rollout,omitempty"`
}

// Rollout is how a change comes into force. status.rollout tells how far it has come;
// `causewayctl rollout` shows, pauses, resumes and undoes it.
type Rollout struct {
	// waves come one after the other, 1 to 16. Clusters that none of them names are one
	// more wave, the last.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Waves []RolloutWave `json:"waves"`

	// bake is how long a wave is watched, from when its clusters have the change until
	// the next wave begins, 0s to 24h. Default 1m.
	// +optional
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="bake must lie between 0s and 24h"
	Bake *metav1.Duration `json:"bake,omitempty"`

	// maxErrorRate is a gate: the part of the streams to the policy's targets that may
	// fail while the change is rolled out, in percent with at most one decimal, such as
	// "1%" or "0.5%". Unset is no gate.
	// +optional
	// +kubebuilder:validation:MaxLength=6
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]|[1-9][0-9])([.][0-9])?%$|^100%$')",message="maxErrorRate must be written in percent from 0% to 100% with at most one decimal, such as 0.5%"
	MaxErrorRate string `json:"maxErrorRate,omitempty"`

	// maxLatency is a gate: how long the policy's targets may take to accept a connection
	// (the slowest of a hundred) in the clusters that have the change, 1ms to 1m. Unset is
	// no gate.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1ms') && duration(self) <= duration('1m')",message="maxLatency must lie between 1ms and 1m"
	MaxLatency *metav1.Duration `json:"maxLatency,omitempty"`
}

// RolloutWave names clusters.
//
// +kubebuilder:validation:XValidation:rule="(has(self.regions) && size(self.regions) > 0) || (has(self.clusters) && size(self.clusters) > 0)",message="a wave must name a region or a cluster"
type RolloutWave struct {
	// regions are those whose clusters belong to the wave, at most 16.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	Regions []RegionName `json:"regions,omitempty"`

	// clusters belong to the wave by name, at most 64.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	Clusters []ClusterName `json:"clusters,omitempty"`
}

// ClusterName is a member's name.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="a cluster name must be a DNS label: lower-case letters, digits and '-', beginning and ending with a letter or digit"
type ClusterName string

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

	// rollout is how far the newest version has come, while spec.rollout asks for waves.
	// +optional
	Rollout *RolloutStatus `json:"rollout,omitempty"`

	// history are the versions that the federation keeps, the newest first, at most 11.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=11
	History []PolicyVersion `json:"history,omitempty"`
}

// RolloutStatus is how far a change of a policy has come.
type RolloutStatus struct {
	// phase is Pending (no coordinator has begun), Progressing, Paused, Completed or
	// RolledBack.
	Phase string `json:"phase"`

	// generation is the version that is being brought into force, from the one that holds
	// elsewhere; 0 is none.
	Generation int64 `json:"generation"`
	// +optional
	From int64 `json:"from"`

	// wave is the current one, counted from 1, of waves.
	Wave  int32 `json:"wave"`
	Waves int32 `json:"waves"`

	// updated is in how many clusters the version is active, of total.
	Updated int32 `json:"updated"`
	Total   int32 `json:"total"`

	// reason says in one word why, message in a sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// PolicyVersion is what a policy asked for at one time.
type PolicyVersion struct {
	// generation of the object when this was first asked.
	Generation int64 `json:"generation"`

	// inForce marks the version that holds in this cluster.
	// +optional
	InForce bool `json:"inForce,omitempty"`

	// targets and regions as they were.
	// +listType=atomic
	Targets []string `json:"targets"`
	// +listType=atomic
	Regions []string `json:"regions"`

	// onPartition and maxRecordAge as they were.
	// +optional
	OnPartition string `json:"onPartition,omitempty"`
	// +optional
	// +kubebuilder:validation:Type=string
	MaxRecordAge *metav1.Duration `json:"maxRecordAge,omitempty"`
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
	// ReasonUnknownRegion: a region, or a cluster of a rollout's waves, is no member's; the
	// message lists the known regions. The last good revision stays in force.
	ReasonUnknownRegion = "UnknownRegion"
	// ReasonConflict: an older policy, named in the message, speaks of a target with
	// other rules: another order of regions, onPartition or maxRecordAge.
	ReasonConflict = "Conflict"
	// ReasonInvalid: the store or the engine refused the policy, or an annotation cannot
	// be meant; the message says why.
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
