// Package routefeed carries route tables from a cluster's operators to its
// gateways, and the gateways' evidence back: one gRPC stream per pair, a full
// table first, then deltas, acknowledged by the version in the next report.
//
// It owns the wire format and the diff between two tables. It leaves to others
// what a table says (federation/routing) and which of several feeders a gateway
// obeys (gateway).
//
// Server.Publish and Client.Poke may be called from any goroutine; Client.Apply
// is called from one goroutine per operator, never twice at once.
//
// Invariants:
//  1. Apply(base, Diff(base, next)) equals next.
//  2. A gateway that is given a delta on a base it does not have asks for a full
//     table; it never guesses.
//  3. A feeder that has nothing new says so every AliveEvery, with an empty delta on its
//     table: the gateway can tell a quiet feeder from a dead one, and is offered the
//     table of a standby again after the leader's silence.
//  4. The end of a stream changes nothing at the gateway: the last table stays.
package routefeed
