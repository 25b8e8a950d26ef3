// Package wan emulates the wide-area network between sites that are network
// namespaces on one machine: delay and loss per direction, as packets see them.
//
// It owns one device per site, the routes to the other sites through it, and a
// router in this process that moves IP packets from one device to another after the
// direction's delay, or drops them without a word. It leaves to others what the
// sites are and what runs in them.
//
// Devices are TUN devices; where /dev/net/tun is closed to the user they are veth
// pairs whose other end the router reads with packet sockets, which a user namespace
// allows. Both carry segmentation-offloaded frames of up to 64 KiB, and both go
// through the same queues.
//
// New, Run and Close belong to one owner; everything else may be called from any
// goroutine at any time.
//
// Invariants:
//  1. Within one direction packets arrive in the order in which they left.
//  2. A dropped direction delivers nothing: not what comes, not what is under way.
//  3. What is under way in a direction is bounded by Config.QueueBytes.
//  4. No byte of a packet is believed before its length has been checked.
package wan
