// Package balance orders the gateways that could take a new connection: the first
// is the best, and each of the others is worth a try when those before it fail.
//
// It owns the order. It leaves the table to federation/routing, the state of paths
// to gateway/tunnel and the trying to gateway/egress.
//
// Everything here is a pure function; randomness is passed in.
//
// Invariants:
//  1. Every gateway of every target is a candidate exactly once: a wrong verdict
//     can make one the last, never remove it (fail static).
//  2. A path that is known to be down comes after all that are not, and a table's
//     last resort after what is no last resort, whatever the tiers say.
//  3. Otherwise a later tier never comes before an earlier one.
package balance
