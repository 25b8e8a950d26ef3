// Package engine is where an operator's knowledge meets: settings and local
// facts from the controllers, members, exports and policies from the policy
// store, health from the gossip, evidence from the gateways. Each change is one
// round: verdicts, routing.Compute, a table to the gateways, a View to readers.
//
// It owns the life of the store client and of the cluster's seat in the gossip,
// and the order in which the pure cores are asked. It leaves to others the
// decisions themselves (federation/liveness, federation/routing) and everything
// that is written to the API server (controllers).
//
// All methods may be called from any goroutine. Run is the only writer of View;
// View never blocks.
//
// Invariants:
//  1. No table and no health is published before the store has been read in full
//     and the local facts are there: a cold operator never empties a gateway or a
//     peer's book.
//  2. Losing the store, the gossip or every gateway removes no member, export,
//     policy or target.
//  3. Only an engine that leads publishes, gossips or writes to the store.
//  4. Tables of one epoch have growing sequences, and a table is sent only when
//     it differs from the last one.
package engine
