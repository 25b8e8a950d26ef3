// Package federation is Causeway's vocabulary: the words of docs/architecture.md
// as Go types. Every other package speaks in them, so that a cluster name can
// never be taken for a region, nor a service for one of its ports.
//
// It owns names and small values. It leaves to others everything that acts:
// what a health record is worth is federation/liveness's to say, where traffic
// goes federation/routing's.
//
// All types are plain values, safe to copy and to share between goroutines as
// long as nobody changes a map or slice that somebody else can see.
//
// Invariants:
//  1. This package imports nothing of ours and nothing but the standard library.
//  2. Ages are durations on the reader's own monotonic clock; no type here holds
//     a wall-clock time of another cluster.
package federation
