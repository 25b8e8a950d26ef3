// Package serviceimport makes exported services reachable in this cluster: the
// ServiceImport, its derived Service, and EndpointSlices that name the local
// gateways.
//
// It owns those objects and the allotment of egress ports. It leaves to the
// gateways where a connection goes, and alone whatever it did not create.
//
// Reconcile is called by controller-runtime's workers, on every replica: standbys
// tell their engine the ports that the leader allotted, and write nothing.
//
// Invariants:
//  1. A service port keeps its egress port as long as it is imported, over restarts
//     too: the annotation is written before any gateway is told to listen.
//  2. Slices never become empty on account of gateways: one is taken out only if
//     another is left, and 3 s after it was last seen.
//  3. An import is deleted only if the store has been read in full and holds no
//     export of it.
package serviceimport
