// Package routing decides where traffic goes. Compute turns what is known (the
// members, their exports, the policies in force, health records, verdicts) into
// the route table of one consumer cluster, and into the trace that explains it.
//
// It owns the order of targets and the reasons for it. It leaves to others how
// the inputs came about, how the table travels, and what a gateway makes of its
// own evidence at the moment of a connection (gateway/balance).
//
// Everything is a pure function of its arguments: no I/O, no clock, no
// randomness, no goroutine; callable from anywhere at once. Results share no
// memory with later results, but may share slices with the inputs, which must
// not be changed afterwards.
//
// Invariants:
//  1. Equal inputs give equal tables.
//  2. A target is in a table only if its cluster is a member and exports the port.
//  3. A cluster whose owner says that nothing is ready is no target; a cluster
//     that only others call dead stays, as a last resort (fail static), and so does
//     one whose record is old, unless a policy's onPartition or maxRecordAge says
//     otherwise. A dead control plane changes nothing.
//  4. The decision's candidates and the route's tiers tell the same story: a
//     candidate is In exactly if it is a target.
package routing
