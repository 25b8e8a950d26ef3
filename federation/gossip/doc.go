// Package gossip carries what must be fast: who is alive, and how many
// endpoints of each exported service port are ready in every cluster.
//
// It owns the cluster's one seat in memberlist, the transport under it (mTLS
// streams through the peers' gateway port, never UDP), and the book of health
// records with their merge rules. It leaves to others what a record is worth:
// ages become verdicts in federation/liveness, and whether a peer may be a
// member at all is decided by SetPeers' caller and by the TLS configurations.
//
// New starts nothing; Run starts everything and ends it. All other methods may
// be called from any goroutine, before, during and after Run, and never block
// on the network.
//
// Invariants:
//  1. A node's name is its cluster's name; a connection is used only if the
//     verified cluster at its other end is the one that was meant.
//  2. Writing a packet never blocks: a full queue drops it, and counts that.
//  3. Merging statements is commutative, associative and idempotent.
//  4. A relayed statement never makes a record younger: the age travels with it,
//     of two ages for one statement the older holds, and time that a frame spent
//     waiting on a connection is added.
//  5. Only the owner's newer statement renews a record, and only if the reader
//     provably holds all that the statement speaks of (equal digests).
//  6. Everything from a peer is bounded: message, clusters, services, queue.
//  7. A standby's Follower sends nothing that its leader takes in, and what it hands to a
//     seat is never younger than the leader held it.
package gossip
