// Package egress takes local clients of imported services and carries them to the
// best gateway that accepts them.
//
// It owns a listener per imported service port, the attempts for one client, and
// what of a client's bytes may be sent twice. It leaves the order of the attempts
// to gateway/balance and the tunnels to gateway/tunnel.
//
// Sync and FailedPorts may be called from any goroutine.
//
// Invariants:
//  1. Without EarlyData no client byte is read before an endpoint has accepted, so
//     every attempt before that can be repeated elsewhere.
//  2. With EarlyData at most MaxEarly bytes are read before that, and all of them
//     are sent to each candidate in turn.
//  3. After an endpoint has accepted, nothing is ever tried again: a failure resets
//     the client.
//  4. An attempt that was given up is reset before the next one begins.
//  5. A client that nobody accepts is reset, not closed: no answer is never taken
//     for an empty answer.
//  6. Opening and closing ports never touches a connection.
package egress
