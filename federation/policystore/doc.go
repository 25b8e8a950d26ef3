// Package policystore keeps what must agree: registrations, exports and
// policies, in an etcd that all clusters of a federation share.
//
// It owns the keys, the values' encoding and the global order; it publishes,
// watches, resumes and relists. It leaves to others what the content means, and
// the server itself to policystore/server.
//
// New starts nothing; Run connects and never gives up until its context ends.
// All other methods may be called from any goroutine; each request has a
// deadline. OnChange is called by one goroutine, one call at a time.
//
// Invariants:
//  1. A State is immutable and stands for one revision of the store.
//  2. Losing the store, a compaction or a gap never removes anything from the
//     State; only a deletion that the store confirms does.
//  3. A value's place in the order is written once, when its key first appears.
//  4. Nothing is written that would not change the store.
//  5. A value that can't be read is refused and counted; the last good one stays.
//  6. A value is believed only if the cluster that its key belongs to has signed it, for
//     that key, and its chain leads to an authority that is trusted now. Nothing else of
//     a refused value is used, not even when it is written over.
//  7. A store that does not fit what is known of it is neither followed nor written to
//     until a person accepts it. What can't be told: one that keeps its ID, went back and
//     grew past what is known, if it has also compacted away the change that we remember
//     and changed that key since; or that does all this within one ProofInterval.
//  8. Presence and elections are the only keys with a lease. Neither is content, and
//     neither is signed: they are hints.
package policystore
