// Package v1alpha1 holds Causeway's own kinds, group federation.causeway.dev:
//
//   - MeshFederation (cluster-scoped): this cluster's membership in a federation.
//   - RoutingPolicy (namespaced): the order of regions for imported services.
//   - EffectivePolicy (namespaced, read-only): a policy in force, whoever wrote it.
//
// It owns the schema: defaults, bounds, and validation, in CEL where a marker
// does not do. It leaves all behaviour to controllers/ and the translation into
// the federation's own values to the controller that reads the kind.
//
// The types are plain values; objects from an informer cache must not be changed.
//
// Invariants:
//  1. Whatever the schema admits, the controllers accept or answer with a
//     condition whose reason is a constant of this package.
//  2. Every list has a bound, and every string a length.
//  3. Messages of CEL rules say what to write, not what is forbidden.
//
// +kubebuilder:object:generate=true
// +groupName=federation.causeway.dev
package v1alpha1
