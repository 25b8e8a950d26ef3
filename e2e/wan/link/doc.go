// Package link is the queue discipline of one direction of the link emulator: which
// packets are lost, late, doubled or kept waiting, and when each one arrives.
//
// It owns the decisions and the packets that are under way. It leaves to others the
// devices, the bytes of a packet and the clock: frames go in with the time of now, and
// pieces of them come out when they are due; randomness is passed in.
//
// It starts nothing and locks nothing: one goroutine at a time may use a Line.
//
// Invariants:
//  1. No packet is invented: what entered and what was doubled is what was delivered,
//     lost, swallowed, refused or is still under way.
//  2. Packets leave in the order in which they came, but for those that Reorder held back.
//  3. A direction that is down delivers nothing: not what comes, not what is under way.
//  4. What is under way is bounded by the bytes given to New.
//  5. The same seed, settings, times and frames make the same decisions.
package link
