// Package ingress is the gateway's one port for other clusters: it tells tunnels
// from gossip by their ClientHello, authorizes the tunnels' callers and carries
// their streams to local endpoints.
//
// It owns admission: who may connect, what may be opened, and how much of it. It
// leaves the frames to gateway/tunnel and the identity of a peer to
// federation/identity.
//
// Announce, Review and Drop may be called from any goroutine.
//
// Invariants:
//  1. No byte of a connection is answered before its ClientHello is complete, and
//     nothing of it is kept beyond MaxHello bytes or HelloTimeout.
//  2. What is neither a tunnel to us nor gossip for our seat is refused with one
//     and the same alert, whatever it was.
//  3. Gossip is passed on unread; the bytes that were peeked at go first.
//  4. Every OPEN is authorized anew against the table in force; a service that does
//     not exist and one that the caller may not reach get the same answer.
//  5. A stream whose opener has given up is not served.
//  6. What failed at an endpoint is counted as such; what the client or the way between
//     the gateways has ended is not.
package ingress
