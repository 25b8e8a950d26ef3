// Package server runs the policy store itself: one etcd member inside our own
// process (`causeway-operator store`), alone for a try-out or a small fleet, or one of
// three or five.
//
// It owns the member's configuration and life. It leaves to others everything
// about keys and values (policystore), and users, backups and membership
// (policystore/admin).
//
// New starts nothing; Run blocks until the member has stopped. Ready may be read
// from any goroutine.
//
// Invariants:
//  1. With certificates given, nobody without a certificate of the client CA gets in.
//  2. A peer needs a certificate of the peer CA with the peers' common name, which no
//     client has. Without certificates both ports listen on loopback only.
//  3. An error of Run says what to do about it.
package server
