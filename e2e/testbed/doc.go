// Package testbed makes process clusters: real Kubernetes control planes as processes
// on one machine, a network namespace each, joined by the link emulator. The demo and
// the end-to-end tests stand on it.
//
// It owns the namespaces, the processes started in them and their certificates, the
// kubeconfigs, and the kubelet's part for Pods that are processes: status, readiness,
// Secrets in directories. It leaves to others what is installed into the clusters and
// what is asserted. Nothing else is stood in for: API server, etcd,
// controller-manager and cert-manager are the real ones.
//
// Enter comes first in main or TestMain. New and Run belong to one owner; all else may
// be called from any goroutine.
//
// Invariants:
//  1. No socket and no route is made outside namespaces of our own, but for the
//     listeners on 127.0.0.1 and the connections that Enter is asked for.
//  2. Every process dies with this one, however it ends; nothing is left behind.
//  3. Nothing is restarted that was killed.
//  4. A wait ends with its condition, its context, or the end of a process that the
//     condition needs; then the error quotes that process's log.
package testbed
