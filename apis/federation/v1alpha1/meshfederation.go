package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MeshFederation makes this cluster a member of a federation: who it is, whom
// it trusts, and where the others are found.
//
// There is one per cluster. A second one changes nothing and says so with
// Ready=False, reason AlreadyFederated; the older one stays in force.
//
// A change that cannot work (a missing issuer, an unreachable store, bad PEM)
// gives a condition and leaves in force what worked before.
//
// Deleting it withdraws the cluster's registration, exports and policies, and deletes
// the ServiceImports and EffectivePolicies that came from the others. Withdrawing is
// tried for 30 seconds; if the policy store does not answer, the object goes anyway.
// The registration then stays in the store, and the other members say ClusterDown of
// this cluster, until a MeshFederation of the same name and cluster comes back.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:labels="app.kubernetes.io/part-of=causeway"
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=meshfed,categories=causeway
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.spec.cluster.name`
// +kubebuilder:printcolumn:name="Region",type=string,JSONPath=`.spec.cluster.region`
// +kubebuilder:printcolumn:name="Members",type=integer,JSONPath=`.status.memberCount`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Federation",type=string,JSONPath=`.spec.federation`,priority=1
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
type MeshFederation struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the cluster's owner wants.
	// +required
	Spec MeshFederationSpec `json:"spec"`

	// status is what this cluster's operator found. Everything in it that is shown
	// as healthy has a proof.
	// +optional
	Status MeshFederationStatus `json:"status,omitempty"`
}

// MeshFederationList is a list of MeshFederations.
//
// +kubebuilder:object:root=true
type MeshFederationList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MeshFederation `json:"items"`
}

// MeshFederationSpec describes this cluster's membership.
//
// +kubebuilder:validation:XValidation:rule="!has(self.trustBundles) || self.trustBundles.all(a, self.trustBundles.exists_one(b, b.trustDomain == a.trustDomain))",message="each trust domain may have only one entry in trustBundles: put all its certificates into one pem"
// +kubebuilder:validation:XValidation:rule="!has(self.seeds) || self.seeds.all(s, s.cluster != self.cluster.name)",message="seeds must name other clusters: remove this cluster's own entry"
// +kubebuilder:validation:XValidation:rule="!has(self.seeds) || self.seeds.all(s, !has(s.trustDomain) || size(s.trustDomain) == 0 || (has(s.bundle) && size(s.bundle) > 0) || s.trustDomain == self.trustDomain || (has(self.trustBundles) && self.trustBundles.exists(b, b.trustDomain == s.trustDomain)))",message="a seed of another trust domain needs that domain's certificates: set its bundle, or add the domain to trustBundles"
type MeshFederationSpec struct {
	// federation is the name that all members share: a DNS label of at most 63
	// characters. It cannot be changed: leave one federation (delete the object)
	// before you join another.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="federation must be a DNS label: lower-case letters, digits and '-', beginning and ending with a letter or digit"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="federation cannot be changed: delete this MeshFederation and create one for the other federation"
	Federation string `json:"federation"`

	// cluster says who this cluster is.
	// +required
	Cluster ClusterIdentity `json:"cluster"`

	// trustDomain is the SPIFFE trust domain that issuerRef issues for, without the
	// scheme: lower-case letters, digits, '.', '-' and '_', at most 255 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9._-]+$')",message="trustDomain must be a SPIFFE trust domain without the scheme, for example mesh.example.org"
	TrustDomain string `json:"trustDomain"`

	// policyStore is the etcd that keeps what all members must agree on.
	// +required
	PolicyStore PolicyStore `json:"policyStore"`

	// gateway says where this cluster's gateways take connections from peers.
	// Default: each gateway advertises its own address, port 15443.
	// +optional
	// +kubebuilder:default={port: 15443}
	Gateway GatewaySpec `json:"gateway,omitempty"`

	// seeds are other members through which this cluster finds the rest before it
	// has read the policy store. At most 16. None is allowed: the store alone will
	// do, or this is the first cluster.
	// +optional
	// +listType=map
	// +listMapKey=cluster
	// +kubebuilder:validation:MaxItems=16
	Seeds []Seed `json:"seeds,omitempty"`

	// trustBundles are the certificate authorities of other trust domains, one
	// entry each, at most 32. They are never merged: a certificate counts for its
	// own trust domain only. The own domain's bundle comes from issuerRef's ca.crt;
	// an entry for it here is added to that.
	// +optional
	// +listType=map
	// +listMapKey=trustDomain
	// +kubebuilder:validation:MaxItems=32
	TrustBundles []TrustBundle `json:"trustBundles,omitempty"`

	// issuerRef names the cert-manager issuer of this cluster's identities.
	// If it does not exist or is not ready, IdentityReady says which, and the
	// identity that worked before stays in use.
	// +required
	IssuerRef IssuerReference `json:"issuerRef"`

	// identity says how long certificates live.
	// +optional
	// +kubebuilder:default={duration: "24h", renewBefore: "8h"}
	Identity IdentitySpec `json:"identity,omitempty"`
}

// ClusterIdentity is what the others know this cluster by.
type ClusterIdentity struct {
	// name is unique in the federation: a DNS label of at most 63 characters. If
	// another cluster registered it first, Registered=False, reason NameConflict.
	// It cannot be changed.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="cluster.name must be a DNS label: lower-case letters, digits and '-', beginning and ending with a letter or digit"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="cluster.name cannot be changed: delete this MeshFederation and create one with the new name"
	Name string `json:"name"`

	// region is where the cluster stands; routing policies order regions. By custom
	// the value of the nodes' topology.kubernetes.io/region label, at most 63
	// characters.
	// +required
	Region RegionName `json:"region"`

	// zone is a failure domain in the region. Empty: unknown.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Zone string `json:"zone,omitempty"`

	// jurisdiction is the legal space, for example "EU". Empty: unknown, which
	// residency rules read as "not allowed".
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Jurisdiction string `json:"jurisdiction,omitempty"`
}

// RegionName is a region's name, 1 to 63 characters: letters, digits, '-', '_'
// and '.', beginning and ending with a letter or digit (a label value).
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')",message="a region must look like a label value: letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"
type RegionName string

// PolicyStore is an etcd cluster and how to reach it.
type PolicyStore struct {
	// endpoints are tried in any order, "https://host:port" each, 1 to 9. Plain http
	// is refused: members tell each other whom to trust here.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=9
	Endpoints []StoreEndpoint `json:"endpoints"`

	// tlsSecretRef names the Secret in causeway-system that holds ca.crt (the store's
	// authority), tls.crt and tls.key (this cluster's client certificate there). A
	// missing Secret gives PolicyStoreReady=False, reason SecretNotFound.
	// +required
	TLSSecretRef SecretReference `json:"tlsSecretRef"`

	// unsignedValues says what becomes of values that no cluster has signed, as versions
	// before signatures wrote them. Refuse, the default: they do not count, and what was
	// known before stays. Accept, while members of such a version are upgraded: they do.
	// A wrong signature never counts.
	// +optional
	// +kubebuilder:default=Refuse
	// +kubebuilder:validation:Enum=Refuse;Accept
	UnsignedValues UnsignedValues `json:"unsignedValues,omitempty"`
}

// UnsignedValues is what becomes of the policy store's unsigned values.
type UnsignedValues string

// The choices of PolicyStore.UnsignedValues.
const (
	UnsignedRefuse UnsignedValues = "Refuse"
	UnsignedAccept UnsignedValues = "Accept"
)

// StoreEndpoint is the URL of one etcd member.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=300
// +kubebuilder:validation:XValidation:rule="self.matches('^https://([A-Za-z0-9.-]+|\\\\[[0-9A-Fa-f:.]+\\\\]):[0-9]{1,5}$')",message="a policy store endpoint must be written https://host:port"
type StoreEndpoint string

// SecretReference names a Secret in causeway-system.
type SecretReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// GatewaySpec says where peers reach this cluster's gateways.
type GatewaySpec struct {
	// addresses are static, one per gateway replica, at most 16. Empty: what the
	// gateways advertise themselves.
	// +optional
	// +listType=map
	// +listMapKey=instance
	// +kubebuilder:validation:MaxItems=16
	Addresses []GatewayAddress `json:"addresses,omitempty"`

	// port is used for addresses that name none. Default 15443.
	// +optional
	// +kubebuilder:default=15443
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
}

// GatewayAddress is where one gateway replica is reached.
type GatewayAddress struct {
	// instance is the replica's name (its Pod's), unique in the cluster.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Instance string `json:"instance"`

	// address is "host" or "host:port", reachable from every other member.
	// +required
	Address Address `json:"address"`
}

// Address is "host" or "host:port"; an IPv6 address stands in brackets.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=300
// +kubebuilder:validation:XValidation:rule="self.matches('^([A-Za-z0-9.-]+|\\\\[[0-9A-Fa-f:.]+\\\\])(:[0-9]{1,5})?$')",message="an address must be written host or host:port, an IPv6 address in brackets"
type Address string

// Seed is another member known beforehand.
type Seed struct {
	// cluster is the member's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="a seed's cluster must be a DNS label: lower-case letters, digits and '-'"
	Cluster string `json:"cluster"`

	// addresses of its gateways, 1 to 16, "host" or "host:port"; the port is 15443
	// where none is given.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Addresses []Address `json:"addresses"`

	// trustDomain of the member. Empty: this cluster's own.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9._-]*$')",message="a seed's trustDomain must be a SPIFFE trust domain without the scheme"
	TrustDomain string `json:"trustDomain,omitempty"`

	// bundle is PEM: the certificate authorities of its trust domain. Empty: those
	// of trustBundles. At most 64 KiB.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	// +kubebuilder:validation:XValidation:rule="size(self) == 0 || self.contains('-----BEGIN CERTIFICATE-----')",message="a seed's bundle must be PEM with at least one CERTIFICATE block"
	Bundle string `json:"bundle,omitempty"`
}

// TrustBundle is the certificate authorities of one trust domain.
type TrustBundle struct {
	// trustDomain is the SPIFFE trust domain, without the scheme.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9._-]+$')",message="trustDomain must be a SPIFFE trust domain without the scheme, for example mesh.example.org"
	TrustDomain string `json:"trustDomain"`

	// pem holds one or more CERTIFICATE blocks, at most 64 KiB. A block that does not
	// parse gives Ready=False, reason InvalidSpec, and the bundles from before stay.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	// +kubebuilder:validation:XValidation:rule="self.contains('-----BEGIN CERTIFICATE-----')",message="pem must hold at least one CERTIFICATE block"
	PEM string `json:"pem"`
}

// IssuerReference names a cert-manager issuer.
type IssuerReference struct {
	// name of the issuer.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// kind is Issuer (looked for in causeway-system) or ClusterIssuer (the default).
	// With another group than cert-manager.io it is an external issuer's kind.
	// +optional
	// +kubebuilder:default=ClusterIssuer
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`

	// group is the issuer's API group. Default cert-manager.io. Issuers of other
	// groups are not looked up: the Certificate's own condition speaks for them.
	// +optional
	// +kubebuilder:default=cert-manager.io
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
}

// IdentitySpec says how long certificates live.
//
// +kubebuilder:validation:XValidation:rule="duration(self.duration) >= duration('1h') && duration(self.duration) <= duration('2160h')",message="identity.duration must lie between 1h and 2160h (90 days)"
// +kubebuilder:validation:XValidation:rule="duration(self.renewBefore) >= duration('5m') && duration(self.renewBefore) < duration(self.duration)",message="identity.renewBefore must be at least 5m and shorter than identity.duration"
type IdentitySpec struct {
	// duration is a certificate's lifetime, 1h to 2160h. Default 24h.
	// +optional
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(s|m|h))+$`
	Duration *metav1.Duration `json:"duration,omitempty"`

	// renewBefore is how long before its end a certificate is renewed, at least 5m
	// and shorter than duration. Default 8h: an issuer may be away for that long.
	// +optional
	// +kubebuilder:default="8h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(s|m|h))+$`
	RenewBefore *metav1.Duration `json:"renewBefore,omitempty"`
}
