// Package liveness fuses what several witnesses saw of another cluster into one
// verdict with a cause and an age: the local gateways' tunnel probes, the
// membership that gossip keeps, and the owner's own statements.
//
// It owns the reading of evidence. It leaves to others how evidence is gathered
// and what a verdict means for traffic (federation/routing).
//
// Judge is pure: no clock, no I/O; callable from any goroutine.
//
// Invariants:
//  1. No verdict but Unknown without evidence, and Reachable only with a live
//     data path: status never lies.
//  2. A silent control plane alone never makes a data path dead.
//  3. When every peer falls silent at once, the verdict is Unknown: the fault is
//     most likely ours.
package liveness
