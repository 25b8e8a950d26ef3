// Package federation makes this cluster a member: it turns the MeshFederation into
// certificates, settings of the engine and a truthful status.
//
// It owns MeshFederation's status and finalizer and the two cert-manager
// Certificates. It leaves to the engine everything that the settings set in motion.
//
// Reconcile is called by controller-runtime's worker, on the leader only.
//
// Invariants:
//  1. One MeshFederation is in force: the oldest. Others change nothing.
//  2. A step that fails is told in a condition, and what worked before stays.
//  3. Status is patched once a round, and not for an age alone.
package federation
