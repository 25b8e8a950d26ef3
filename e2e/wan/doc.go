// Package wan emulates the wide-area network between sites on one machine: delay,
// jitter, loss, reordering, duplication, bandwidth and black holes per direction, as
// packets see them, changeable while traffic flows.
//
// It owns the devices, the routes through them, and a router in this process that moves
// IP packets from one to another. What becomes of a packet is decided in package link;
// the language of changes is package script's. It leaves to others what the sites are
// and what runs in them.
//
// New joins network namespaces, with a TUN device in each; where /dev/net/tun is closed
// to the user they are veth pairs whose other end the router reads with packet sockets,
// which a user namespace allows. NewRouted joins networks of one namespace through one
// TUN device; without TUN it is not available. All carry segmentation-offloaded frames
// of up to 64 KiB, which are taken apart only where their packets fare differently. IPv4
// only.
//
// New, Run and Close belong to one owner; everything else may be called from any
// goroutine at any time.
//
// Invariants:
//  1. Within one direction packets arrive in the order in which they left, unless
//     reordering was asked for.
//  2. A dropped direction delivers nothing: not what comes, not what is under way.
//  3. What is under way in a direction is bounded by Config.QueueBytes.
//  4. No byte of a packet is believed before its length has been checked.
//  5. A buffer goes back to its pool when the last piece of its frame has gone.
package wan
