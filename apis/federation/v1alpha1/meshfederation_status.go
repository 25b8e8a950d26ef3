package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MeshFederationStatus is what this cluster's operator found.
type MeshFederationStatus struct {
	// observedGeneration is the spec generation that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready, IdentityReady, PolicyStoreReady, GossipReady, GatewaysReady,
	// Registered. Their reasons are the constants of this package.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// memberCount is how many clusters are registered, this one included.
	// +optional
	MemberCount int32 `json:"memberCount"`

	// members are the registered clusters with this cluster's verdict on each, sorted
	// by name, at most 256; memberCount tells the true number.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	Members []MemberStatus `json:"members,omitempty"`

	// storeRevision is the policy store's revision that was last read.
	// +optional
	StoreRevision int64 `json:"storeRevision,omitempty"`
}

// MemberStatus is one member as this cluster sees it.
type MemberStatus struct {
	// name of the cluster.
	Name string `json:"name"`

	// region and zone that it registered.
	// +optional
	Region string `json:"region,omitempty"`
	// +optional
	Zone string `json:"zone,omitempty"`

	// self marks this cluster's own entry, which needs no proof.
	// +optional
	Self bool `json:"self,omitempty"`

	// verdict is what this cluster concludes: Reachable, LinkDown, GatewayDown,
	// ControlPlaneDown, ClusterDown, Draining or Unknown.
	Verdict string `json:"verdict"`

	// cause says in a sentence which witnesses led to the verdict.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Cause string `json:"cause,omitempty"`

	// since is when the verdict was reached, on this cluster's clock.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`

	// lastProof is about when the newest evidence behind the verdict was made, on
	// this cluster's clock. It is brought up to date when it is more than 30 s off.
	// +optional
	LastProof *metav1.Time `json:"lastProof,omitempty"`

	// rtt is the smoothed round-trip time to its gateways in whole milliseconds, for
	// example "66ms"; empty while unmeasured. Changes under a fifth are not shown.
	// +optional
	RTT string `json:"rtt,omitempty"`

	// gateways is how many gateway addresses it advertises.
	// +optional
	Gateways int32 `json:"gateways,omitempty"`
}

// Condition types of a MeshFederation.
const (
	// ConditionReady sums up the others: True when this cluster takes part fully.
	// True: Ready. False: AlreadyFederated, InvalidSpec, or the reason of the first
	// condition below that is not True. Unknown: Pending.
	ConditionReady = "Ready"

	// ConditionIdentityReady: this cluster has certificates that its peers accept.
	// True: Issued. False: IssuerNotFound, IssuerNotReady, CertificateNotReady,
	// IdentityInvalid, CertManagerMissing.
	ConditionIdentityReady = "IdentityReady"

	// ConditionPolicyStoreReady: the policy store answers.
	// True: Connected. False: SecretNotFound, SecretInvalid, Unreachable, Untrusted,
	// Rewound, NoSpace, NotConfigured.
	ConditionPolicyStoreReady = "PolicyStoreReady"

	// ConditionGossipReady: this cluster takes part in the gossip.
	// True: Joined, Alone. False: NotRunning, or the engine's own reason.
	ConditionGossipReady = "GossipReady"

	// ConditionGatewaysReady: at least one gateway is connected, and none meets a
	// peer whose authority it does not know.
	// True: Connected. False: NoGateway, AddressPending, GatewayUntrusted.
	ConditionGatewaysReady = "GatewaysReady"

	// ConditionRegistered: the federation knows this cluster under its name.
	// True: Registered. False: NameConflict. Unknown: Pending.
	ConditionRegistered = "Registered"
)

// Reasons of MeshFederation conditions.
const (
	// ReasonReady: all is well.
	ReasonReady = "Ready"
	// ReasonPending: not decided yet; the message says what is waited for.
	ReasonPending = "Pending"
	// ReasonAlreadyFederated: another MeshFederation of this cluster, named in the
	// message, is in force. Delete one of the two.
	ReasonAlreadyFederated = "AlreadyFederated"
	// ReasonInvalidSpec: the spec passed the schema and still cannot work; the message
	// names the field. What worked before stays in force.
	ReasonInvalidSpec = "InvalidSpec"

	// ReasonIssued: both certificates are issued and the operator's is in use.
	ReasonIssued = "Issued"
	// ReasonIssuerNotFound: spec.issuerRef names nothing that exists.
	ReasonIssuerNotFound = "IssuerNotFound"
	// ReasonIssuerNotReady: the issuer exists and says that it is not ready.
	ReasonIssuerNotReady = "IssuerNotReady"
	// ReasonCertificateNotReady: cert-manager has not issued yet; the message names
	// the Certificate and carries cert-manager's words.
	ReasonCertificateNotReady = "CertificateNotReady"
	// ReasonIdentityInvalid: a Secret was issued whose contents cannot be used.
	ReasonIdentityInvalid = "IdentityInvalid"
	// ReasonCertManagerMissing: the API server does not know cert-manager's kinds.
	ReasonCertManagerMissing = "CertManagerMissing"

	// ReasonConnected: of PolicyStoreReady and GatewaysReady.
	ReasonConnected = "Connected"
	// ReasonSecretNotFound: policyStore.tlsSecretRef names no Secret. Access that worked
	// before stays in use.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonSecretInvalid: that Secret lacks ca.crt, tls.crt or tls.key. Access that
	// worked before stays in use.
	ReasonSecretInvalid = "SecretInvalid"
	// ReasonUnreachable: no endpoint answers; routing goes on with what is known.
	ReasonUnreachable = "Unreachable"
	// ReasonUntrusted: an endpoint's certificate is not from the ca.crt given, or the
	// store refused ours.
	ReasonUntrusted = "Untrusted"
	// ReasonRewound: the store went back, or is another one than before. Nothing of it is
	// followed until a person says `causewayctl store accept`.
	ReasonRewound = "Rewound"
	// ReasonNoSpace: the store's quota is used up; it is read, and takes no changes.
	ReasonNoSpace = "NoSpace"
	// ReasonNoIdentity: of GossipReady: waits for the certificates.
	ReasonNoIdentity = "NoIdentity"
	// ReasonNotConfigured: nothing has been configured yet.
	ReasonNotConfigured = "NotConfigured"

	// ReasonJoined: at least one other member is alive in the gossip.
	ReasonJoined = "Joined"
	// ReasonAlone: gossip runs and no other member is registered.
	ReasonAlone = "Alone"
	// ReasonNoPeerAlive: others are registered and none answers in the gossip.
	ReasonNoPeerAlive = "NoPeerAlive"
	// ReasonNotRunning: this cluster has no seat in the gossip.
	ReasonNotRunning = "NotRunning"

	// ReasonNoGateway: no gateway of this cluster is connected to the operator.
	ReasonNoGateway = "NoGateway"
	// ReasonAddressPending: a gateway's Service has no external address yet; that
	// gateway is not advertised to other members until it has one.
	ReasonAddressPending = "AddressPending"
	// ReasonGatewayUntrusted: a gateway and a peer named in the message do not
	// accept each other's authority: compare the trust bundles of the two clusters.
	ReasonGatewayUntrusted = "GatewayUntrusted"

	// ReasonRegistered: the policy store holds this cluster's registration.
	ReasonRegistered = "Registered"
	// ReasonNameConflict: another cluster registered spec.cluster.name first. Choose
	// another name, or remove the other cluster. Nothing of this cluster is
	// published until then; the other cluster is not disturbed.
	ReasonNameConflict = "NameConflict"
)
