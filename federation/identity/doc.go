// Package identity says who is at the other end of a connection, and proves who
// we are: SPIFFE IDs, trust bundles keyed by trust domain, and tls.Configs that
// follow a rotation without a restart.
//
// It owns the ID scheme, the verification of peers and the reload of key pairs
// and bundles. It leaves to others whether a verified peer may do what it asks:
// an Authorizer is the caller's, and a gateway checks each stream again.
//
// A Source may be used from any goroutine; handshakes read an immutable value.
//
// Invariants:
//  1. A peer's chain is verified against the bundle of the trust domain that its
//     own URI SAN names, and against no other (SPIFFE Federation: bundles MUST NOT
//     be merged).
//  2. Verification runs in VerifyConnection, so for resumed sessions too; tickets
//     are off all the same.
//  3. A bad key pair or bundle leaves the previous one in force.
//  4. A process never becomes somebody else: what Expect refuses is a bad key pair.
//  5. Without a key pair or a bundle every handshake fails: identity fails closed.
package identity
