// Package mesh installs Causeway into a world of process clusters: the policy
// store, CRDs and RBAC, an issuer per cluster, two operators and two gateways
// each, and the MeshFederations, all applied with kubectl as a user would.
//
// It owns the order of the installation and the waits between its steps. It
// leaves to others the clusters (e2e/testbed) and what is shown or asserted
// (e2e/demo, tests).
//
// One goroutine installs; Client and the waits may be used from any.
//
// Invariants:
//  1. Every wait ends with its condition or with an error that says what is missing.
//  2. Operators act as their ServiceAccount: what config/rbac does not grant fails.
package mesh
