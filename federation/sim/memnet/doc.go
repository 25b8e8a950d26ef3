// Package memnet is a network in memory for simulations in testing/synctest bubbles:
// sites some way apart, hosts on them, and byte streams between hosts as TCP makes
// them.
//
// It owns delay, loss, slowness, one-way cuts and the death of hosts. It leaves to
// others what is said on a stream (TLS and all above it run over it unchanged), and
// who is cut from whom when.
//
// Everything that arrives is delivered by one goroutine, New's, in the order of virtual
// time; Close ends it. All methods may be called from any goroutine of the bubble.
//
// What is left out of TCP: windows (a write never blocks), lost acknowledgements, fast
// retransmission, and the reset that answers data for a closed connection.
//
// Invariants:
//  1. A stream delivers every byte once and in order, or stops: nothing that was
//     written is skipped. A lost segment is late, with all that is behind it.
//  2. Nothing arrives sooner than the sites' one-way delay after it was written.
//  3. Nothing leaves a site for another while that direction is cut; what was
//     written meanwhile leaves at the first retransmission after the cut has ended.
//  4. Nothing leaves a dead host, and nothing reaches it.
//  5. Each direction of each connection draws its losses from a source of its own,
//     seeded by the network's seed, the two sites and the connection's number.
package memnet
