// Package tunnel carries one client connection after another over a warm,
// mutually authenticated connection between two gateways, in wire version 1.
//
// It owns the frames, the life of a stream on a tunnel, the pool of warm tunnels
// to each peer gateway, and the beats that say whether a peer gateway can be
// reached. It leaves to others who may call (gateway/ingress), where to go
// (gateway/balance) and when to try again elsewhere (gateway/egress).
//
// A Tunnel, a Stream, a Path and a Set may be used from any goroutine. Run of each
// blocks until everything it started has ended.
//
// Invariants:
//  1. At most one stream holds a tunnel at any time. When both ends open at once
//     the dialer's stream wins and the acceptor's is refused with NACK(Busy).
//  2. A tunnel is used again only after both ends have sent FIN, or after a NACK.
//     Anything else closes it.
//  3. The goroutine that reads a tunnel never waits to write to it, so two ends
//     whose buffers are full cannot block each other.
//  4. No clock is compared with another machine's: lateness is what a frame took
//     beyond the fastest frame seen lately on the same tunnel.
//  5. A path is Up only with a proof: two PONGs on a connection dialled since it
//     was last down.
//  6. A path is Down when two independent connections are silent, or one is and a
//     fresh dial has failed. While one answers, it is not: streams on it live on (a
//     peer that drains answers and takes no dials); but nothing new is expected of it
//     while dials fail (View.NoDial).
//  7. A connection that is silent by itself is found and replaced: a beat within the
//     silence, a data tunnel within two keepalives. A slow reader is not silence.
//  8. Every length from the wire is checked before a byte of it is stored.
package tunnel
